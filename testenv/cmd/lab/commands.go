package main

import (
	"fmt"

	"provision/testenv"

	"github.com/spf13/cobra"
)

// failure is an error of the work itself. Every other error that cobra returns
// is about how the command was called.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

const about = `lab makes machines to test on: Debian with systemd and sshd, each booted in a
container of its own, on a network that leads nowhere else.

    lab up --masters 1 --workers 2 --dir .lab    machines m1, w1, w2; writes .lab/cluster.hcl
    lab ssh w1 --dir .lab -- uname -a
    lab kill w1 --dir .lab                       power loss;  lab start w1  brings it back
    lab down --dir .lab                          everything goes

A machine's default gateway is an "outside" host that plays the internet. It
answers HTTP and DNS at 203.0.113.10 (outside.test) and has no way out. With
--ip both or --ip 6 machines have IPv6, which looks like their IPv4 (fd00:192:168:56::11
is 192.168.56.11), and the outside host is at 2001:db8::10 as well.

Needs root. testenv/prepare.sh installs the Debian packages it uses.`

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "Machines to test on",
		Long:          about,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			cmd.Help()
			return fmt.Errorf("a command is missing")
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(upCommand(), downCommand(), listCommand(), sshCommand(), execCommand(),
		cutCommand(), joinCommand(), killCommand(), startCommand(), replaceCommand(), imageCommand(), sweepCommand())
	return root
}

// dirFlag gives a command the flag that says which lab.
func dirFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("dir", ".lab", "the lab's `directory`")
}

func upCommand() *cobra.Command {
	var o testenv.Options
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make a lab and boot its machines",
		Long: `up makes a lab and returns when every machine answers SSH. Masters are m1, m2, ...
and workers w1, w2, ... The machines are reached from the network namespace that up is
called in; two labs can stand side by side. The first up on a host builds the
root image, which takes about a minute and needs a Debian mirror.

In the directory: cluster.hcl (the machines, with their host keys), id_ed25519 and
known_hosts. The machines' disks are in /var/lib/provision-lab.`,
		Example: "  lab up --masters 3 --workers 2 --dir .lab\n  lab up --workers 1 --user --no-default-route --dir /tmp/bare",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			o.Log = cmd.ErrOrStderr()
			_, err := testenv.Up(cmd.Context(), o)
			return failed(err)
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", ".lab", "the lab's `directory`")
	cmd.Flags().IntVar(&o.Masters, "masters", 1, "how many masters")
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "how many workers")
	cmd.Flags().BoolVar(&o.User, "user", false, `the only login is "admin", with sudo; root's is off`)
	cmd.Flags().BoolVar(&o.NoDefaultRoute, "no-default-route", false, "machines know their own subnet only, and no name server")
	cmd.Flags().BoolVar(&o.Bastion, "bastion", false, `one machine more, "bastion"; the others are reached only through it`)
	cmd.Flags().StringVar(&o.IP, "ip", "4", `addresses of the machines: "4"; "6", IPv6 alone; or "both". With IPv6, cluster.hcl
gives pods and Services both families`)
	cmd.Flags().StringVar(&o.Flavor, "flavor", "", flavorHelp)
	cmd.Flags().StringVar(&o.Driver, "driver", "nspawn", `what machines are: "nspawn", containers; or "qemu", emulated computers
with a kernel and a clock of their own, many times slower`)
	return cmd
}

func downCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove a lab and all that belongs to it",
		Long: `down removes the machines, their disks and network, the keys and cluster.hcl. It also removes a
lab whose up was killed half way, and may be called again. Where there is no lab it does nothing.`,
		Args: cobra.NoArgs,
	}
	dir := dirFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error { return failed(testenv.Down(*dir)) }
	return cmd
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print each machine's name and address",
		Args:  cobra.NoArgs,
	}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lab, err := testenv.Open(*dir)
		if err != nil {
			return failed(err)
		}
		for _, m := range lab.Machines {
			fmt.Fprintln(cmd.OutOrStdout(), m.Name, m.Address)
		}
		return nil
	}
	return cmd
}

func imageCommand() *cobra.Command {
	var flavor string
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Build the machines' root image, if it is not there",
		Long: `image builds the root image that machines are copied from and prints its folder. It is kept below
/var/cache/provision-lab (or PROVISION_LAB_CACHE), under a name made of its recipe's hash.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			image, err := testenv.Image(cmd.Context(), flavor, cmd.ErrOrStderr())
			if err != nil {
				return failed(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), image)
			return nil
		},
	}
	cmd.Flags().StringVar(&flavor, "flavor", "", flavorHelp)
	return cmd
}

const flavorHelp = `what machines have besides Debian and sshd: nothing, "docker" (an engine that runs, and nft), or
"kernel" (which the driver qemu boots)`

func sweepCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sweep",
		Short: "Remove what crashed labs left",
		Long: `sweep removes every lab whose directory is gone, whose up was killed, or whose machines
ended with a reboot of this host. It leaves labs alone that stand, and prints what it removed. Root
images that nobody used for a week go as well.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			swept, err := testenv.Sweep()
			for _, line := range swept {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return failed(err)
		},
	}
}
