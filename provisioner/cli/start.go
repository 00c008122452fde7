package cli

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"provision/provisioner/bundle"
	"provision/provisioner/config"
)

// Version is the program's own, set by the linker.
var Version = "development"

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [NAME]",
		Short: "Print a commented cluster file to start from",
		Long: `Print a commented cluster file to start from. Nothing is written: redirect it.

    provision init home > cluster.hcl
    provision validate cluster.hcl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return misuse{fmt.Errorf("init takes the cluster's name at most: provision init home > cluster.hcl")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			name := "home"
			if len(args) == 1 {
				name = args[0]
			}
			text, err := config.Starter(name)
			if err != nil {
				return misuse{fmt.Errorf("init: %w", err)}
			}
			_, err = fmt.Fprint(a.stdout, text)
			return err
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and the bundles it finds",
		Long: `Print the version of this program, and the newest bundle that it finds: the one that
commands use where a cluster file names no version of Kubernetes.

    provision version
    provision version --bundles /srv/bundles`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misuse{errors.New("version takes nothing: provision version")}
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			if _, err := fmt.Fprintf(a.stdout, "provision %s %s/%s\nbuilt with %s\n", Version, runtime.GOOS, runtime.GOARCH, runtime.Version()); err != nil {
				return err
			}
			return a.printBundles()
		},
	}
}

// printBundles says which bundle commands would use where the file names no version.
func (a *app) printBundles() error {
	found, err := bundle.Find(a.bundleDirs(), "")
	if err != nil {
		_, err = fmt.Fprintln(a.stdout, err) // it is asked what there is; nothing is an answer
		return err
	}
	b, err := bundle.Open(found)
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = fmt.Fprintf(a.stdout, "newest bundle: %s (%s)\n", b.ID(), found)
	return err
}
