package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/provisioner/kube"
)

func (a *app) kubeconfigCommand() *cobra.Command {
	var merge, direct bool
	cmd := a.withFile(&cobra.Command{
		Use:   "kubeconfig FILE",
		Short: "Print a kubeconfig with full rights, or merge it into yours",
		Long: `Print a kubeconfig with full rights on the cluster. It holds a private key: keep it as
you keep the key that opens the machines.

    provision kubeconfig cluster.hcl > admin.kubeconfig
    provision kubeconfig cluster.hcl --merge      into $KUBECONFIG or ~/.kube/config

A kubeconfig names one server: the file's api.endpoint or, where it has none or with
--direct, the first master of the file whose API server is ready now. It must be reachable
from here; where it is not, and where masters come and go, 'provision kubectl' goes through
SSH to any that answers.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if merge && os.Getenv("KUBECONFIG") == "" {
				if _, err := os.UserHomeDir(); err != nil {
					return fmt.Errorf("no place for ~/.kube/config: %w; name the file in KUBECONFIG", err)
				}
			}
			s, client, err := a.openAPI(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer s.close()
			server, whose := "", "with the API server of "+client.Master()
			if endpoint := s.file.Cluster.API.Endpoint; endpoint != "" && !direct {
				server, whose = "https://"+endpoint, "with the API at "+endpoint
			}
			text, err := client.Kubeconfig(s.cluster.Name, server)
			if err != nil {
				return err
			}
			if !merge {
				_, err = a.stdout.Write(text)
				return err
			}
			into := kube.KubeconfigFile()
			if err := kube.MergeKubeconfig(cmd.Context(), into, text); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "merged into %s as context %q, %s\n", into, s.cluster.Name, whose)
			return nil
		},
	})
	cmd.Flags().BoolVar(&merge, "merge", false, "merge into $KUBECONFIG or ~/.kube/config instead of printing")
	cmd.Flags().BoolVar(&direct, "direct", false, "name a master's own API server, though the file has an api.endpoint")
	return cmd
}

// afterDash makes a command take the words before "--" and a command after it.
func (a *app) afterDash(cmd *cobra.Command, before int) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		at := cmd.ArgsLenAtDash()
		if at < 0 {
			at = len(args)
		}
		if at != before {
			takes := []string{"", "the cluster file", "the cluster file and a machine's name"}[before]
			return misuse{fmt.Errorf("%s takes %s, and what is to be run after --: provision %s", cmd.Name(), takes, cmd.Use)}
		}
		return nil
	}
	cmd.ValidArgsFunction = a.completeMachines
	return a.withVariables(cmd)
}

func (a *app) kubectlCommand() *cobra.Command {
	return a.afterDash(&cobra.Command{
		Use:   "kubectl FILE -- ARGS...",
		Short: "Run kubectl against the cluster, through SSH",
		Long: `Run kubectl (upstream's, built in) against the cluster. Connections go through SSH to a
master that answers, with its admin identity, which is never written to a disk here.
Your own kubeconfig is not read.

    provision kubectl cluster.hcl -- get nodes -o wide
    provision kubectl cluster.hcl -- apply -f site.yaml
    provision kubectl cluster.hcl -- exec -it web-0 -- sh`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, client, err := a.openAPI(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer s.close()
			if code := kube.Kubectl(cmd.Context(), client, args[1:], a.stdin, a.stdout, a.stderr); code != 0 {
				return status(code)
			}
			return nil
		},
	}, 1)
}

func (a *app) sshCommand() *cobra.Command {
	return a.afterDash(&cobra.Command{
		Use:   "ssh FILE MACHINE [-- COMMAND...]",
		Short: "Log in to a machine, or run one command there",
		Long: `Log in to a machine of the cluster as the file says (user, key, host key, bastions), or
run one command there and return its exit status.

    provision ssh cluster.hcl w1
    provision ssh cluster.hcl w1 -- journalctl -u provision-kubelet -n 50`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.ssh(cmd.Context(), args[0], args[1], args[2:]) },
	}, 2)
}

func (a *app) ssh(ctx context.Context, path, name string, argv []string) error {
	file, err := a.load(path)
	if err != nil {
		return err
	}
	m, err := find(file, name)
	if err != nil {
		return err
	}
	client, err := a.dial(ctx, m)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer client.Close()
	in, _ := a.stdin.(*os.File)
	return exitOf(client.Shell(ctx, argv, in, a.stdout, a.stderr))
}

// exitOf turns a remote command's exit status into ours.
func exitOf(err error) error {
	exit, ok := err.(*components.ExitError)
	if ok && exit.Code > 0 {
		return status(exit.Code)
	}
	return err
}
