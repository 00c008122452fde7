package main

import (
	"context"
	"time"

	"provision/testenv"

	"github.com/spf13/cobra"
)

// onMachines makes a command that takes machines' names.
func onMachines(use, short, long string, args cobra.PositionalArgs, do func(context.Context, *testenv.Lab, []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: args}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		lab, err := testenv.Open(*dir)
		if err != nil {
			return failed(err)
		}
		return failed(do(cmd.Context(), lab, names))
	}
	return cmd
}

func cutCommand() *cobra.Command {
	return onMachines("cut NAME...", "Pull machines' cables at the switch",
		`cut takes machines off the switch; their own link keeps its carrier. Machines that are cut
off still reach each other, so that cutting half of them makes two halves. join undoes it.`,
		cobra.MinimumNArgs(1),
		func(_ context.Context, lab *testenv.Lab, names []string) error { return lab.Cut(names...) })
}

func joinCommand() *cobra.Command {
	return onMachines("join NAME...", "Plug machines' cables in again", "", cobra.MinimumNArgs(1),
		func(_ context.Context, lab *testenv.Lab, names []string) error { return lab.Join(names...) })
}

func killCommand() *cobra.Command {
	return onMachines("kill NAME...", "Take machines' power away",
		`kill ends machines as a power failure does: no packet says goodbye, nothing is written any more,
and what their kernel knew is gone. Their disks stay; start boots them again.`,
		cobra.MinimumNArgs(1),
		func(_ context.Context, lab *testenv.Lab, names []string) error { return lab.Kill(names...) })
}

func startCommand() *cobra.Command {
	var ahead time.Duration
	cmd := onMachines("start NAME", "Switch a machine on again",
		`start boots a machine that was killed, or that halted or rebooted itself (which leaves it off), from the
disk that it had. It returns when the machine answers SSH. With --clock, which machines of the driver qemu
take, it boots with a clock that is wrong by so much: -24h is a day behind.`,
		cobra.ExactArgs(1),
		func(ctx context.Context, lab *testenv.Lab, names []string) error {
			return lab.StartAt(ctx, names[0], ahead)
		})
	cmd.Flags().DurationVar(&ahead, "clock", 0, "how far its clock is ahead of the host's")
	return cmd
}

func replaceCommand() *cobra.Command {
	return onMachines("replace NAME", "Put a blank machine in the place of one that is off",
		`replace gives a machine that was killed a new disk, as if another had been bought: the name, the address
and the host key stay, everything else is a bare Debian's. It returns when the machine answers SSH.`,
		cobra.ExactArgs(1),
		func(ctx context.Context, lab *testenv.Lab, names []string) error { return lab.Replace(ctx, names[0]) })
}

func sshCommand() *cobra.Command {
	return onMachines("ssh NAME [-- COMMAND...]", "Log in to a machine, or run a command there",
		`ssh works from everywhere on this host. A single word after -- is a line for the machine's shell; several
are a command and its arguments, passed on as they are. It exits as the command does.`,
		cobra.MinimumNArgs(1),
		func(_ context.Context, lab *testenv.Lab, args []string) error { return lab.Login(args[0], args[1:]) })
}

func execCommand() *cobra.Command {
	return onMachines("exec -- COMMAND...", "Run a command where machines are reachable",
		`exec runs a command of this host in the network namespace that up was called in, and
exits as the command does.`,
		cobra.MinimumNArgs(1),
		func(_ context.Context, lab *testenv.Lab, argv []string) error { return lab.Exec(argv) })
}
