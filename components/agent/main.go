// Command agent is everything of ours that runs on a machine: the overlay and
// the API balancer as daemons, and small commands that the provisioner calls
// through SSH. It links no Kubernetes but client-go's REST client, starts fast,
// and is named by its content, so that a Kubernetes upgrade leaves it running.
//
// This package only puts the commands together; each has a package of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/transport"

	"provision/components/agent/approval"
	"provision/components/agent/balancer"
	"provision/components/agent/certificates"
	"provision/components/agent/grant"
	"provision/components/agent/lock"
	"provision/components/agent/probe"
	"provision/components/agent/remove"
	"provision/components/agent/serve"
	"provision/components/agent/sftp"
	"provision/components/agent/sniff"
	"provision/components/agent/unpack"
	overlay "provision/overlay/agent"
	"provision/overlay/userspace"
)

// refreshCertificates is how often clients look whether their certificate is another
// by now; client-go's five minutes are for those that live for hours.
const refreshCertificates = 20 * time.Second

func main() {
	transport.CertCallbackRefreshDuration = refreshCertificates
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// misuse is the exit status of a command line that makes no sense.
const misuse = 64

// run carries out one command line and returns its exit status: 0 done,
// 1 failed, 64 misuse, or what the error itself says (lock: 75).
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := false
	prepare(root, &started)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "agent:", err)
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case !started:
		return misuse
	default:
		return 1
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "agent",
		Short:             "What provision runs on a machine",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	identities := certificates.NewCommand()
	identities.AddCommand(approval.NewCommand(), certificates.RenewCommand(approval.Renewer))
	root.AddCommand(
		balancer.NewCommand(),
		identities,
		grant.NewCommand(),
		lock.NewCommand(),
		overlay.NewCommand(),
		probe.NewCommand(),
		remove.NewCommand(),
		remove.NewFenceCommand(),
		serve.NewCommand(),
		sftp.NewCommand(),
		sniff.NewCommand(),
		unpack.NewCommand(),
		unpack.NewImportCommand(),
		userspace.NewCommand(),
		newVersionCommand(),
	)
	return root
}

// prepare notes when a command's own work begins, which is when an error stops
// being misuse, and has a group that is called without one of its verbs say so.
func prepare(command *cobra.Command, started *bool) {
	for _, child := range command.Commands() {
		prepare(child, started)
	}
	work := command.RunE
	if work == nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%s: unknown command %.40q", command.CommandPath(), args[0])
			}
			return fmt.Errorf("%s: which command? see --help", command.CommandPath())
		}
		return
	}
	command.RunE = func(command *cobra.Command, args []string) error {
		*started = true
		return work(command, args)
	}
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which source this was built from",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			revision := "unknown"
			info, ok := debug.ReadBuildInfo()
			if ok {
				for _, setting := range info.Settings {
					if setting.Key == "vcs.revision" {
						revision = setting.Value
					}
				}
			}
			_, err := fmt.Fprintf(command.OutOrStdout(), "agent %s %s\n", revision, info.GoVersion)
			return err
		},
	}
}
