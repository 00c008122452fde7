// Package cli is provision's commands: their help, flags and exit codes. A
// command reads the file, has facts gathered, a plan made and carried out by
// the packages that do so, and hands what came out to view; it holds no
// knowledge of clusters of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitDone    = 0
	exitFailed  = 1
	exitPending = 2 // plan: there are changes
	exitMisuse  = 64
	exitStopped = 130 // by Ctrl-C or SIGTERM
)

// app is what every command shares: its streams and the flags that all know.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	bundles        string
	vars, varFiles []string
	json           bool

	watched, healthy bool // status --watch has looked, and what it saw last
}

// Main runs one command line (without the program's name) and returns the exit
// status. It never calls os.Exit.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	code := a.exit(root.ExecuteContext(ctx))
	if code == exitFailed && ctx.Err() != nil && !a.watched {
		return exitStopped
	}
	return code
}

func (a *app) root() *cobra.Command {
	var root *cobra.Command
	root = &cobra.Command{
		Use:   "provision",
		Short: "Turn machines that answer SSH into a Kubernetes cluster, and keep it right",
		Long: `provision turns bare machines into a real, verified Kubernetes cluster.

It reads one file that says what is wanted, looks at the machines over SSH, plans
the difference and carries it out. A machine needs systemd and sshd, nothing else:
no internet, no package, no agent. Nothing is kept on this side: the file and SSH
access are enough from any computer.

    provision init > cluster.hcl       a commented file to start from
    provision plan cluster.hcl         what would be done
    provision up cluster.hcl           do it
    provision kubectl cluster.hcl -- get nodes
    provision verify cluster.hcl       prove that it works
    provision down cluster.hcl         take everything away again

Exit status: 0 done, 1 failed, 2 changes pending (plan only), 64 misuse,
130 stopped by Ctrl-C.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown(root, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse{err} })
	root.PersistentFlags().StringVar(&a.bundles, "bundles", "", "folder to look for bundles in (default: $PROVISION_BUNDLES, else dist/ beside the program or its folder, or in this one)")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand(root))
	for _, command := range []*cobra.Command{
		a.initCommand(), a.validateCommand(), a.planCommand(), a.upCommand(), a.statusCommand(),
		a.kubeconfigCommand(), a.kubectlCommand(), a.sshCommand(), a.logsCommand(), a.verifyCommand(), a.overlayCommand(), a.certsCommand(), a.fenceCommand(), a.downCommand(), a.upgradeCommand(), a.backupCommand(), a.restoreCommand(), a.inspectCommand(), a.recoverCommand(), a.unlockCommand(), a.completionCommand(), a.versionCommand(),
	} {
		root.AddCommand(command)
	}
	return root
}

// unknown is the error for a command that is not there.
func unknown(root *cobra.Command, name string) error {
	var names []string
	for _, command := range root.Commands() {
		names = append(names, command.Name())
	}
	text := fmt.Sprintf("there is no command %q", name)
	if close := closest(name, names); close != "" {
		text += "; did you mean " + close + "?"
	}
	return misuse{errors.New(text)}
}

// helpCommand is cobra's, but that it knows misuse.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		Long: `Print what a command does and which flags it takes.

    provision help up`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return misuse{errors.New("help takes one command at most: provision help up")}
			}
			command, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknown(root, args[0])
			}
			command.InitDefaultHelpFlag()
			return command.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, command := range root.Commands() {
				if len(args) == 0 && command.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(command.Name(), command.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// withFile makes a command take the cluster file as its first argument.
func (a *app) withFile(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return misuse{fmt.Errorf("%s takes the cluster file and nothing else: %s%s", cmd.Name(), cmd.CommandPath(), strings.TrimPrefix(cmd.Use, cmd.Name()))}
		}
		return nil
	}
	cmd.ValidArgsFunction = a.completeMachines
	return a.withVariables(cmd)
}

// withVariables gives a command that reads the cluster file its variables.
func (a *app) withVariables(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringArrayVar(&a.vars, "var", nil, "set a variable of the file, as `name=value` (may be repeated)")
	cmd.Flags().StringArrayVar(&a.varFiles, "var-file", nil, "set variables of the file from a `file` of name = value lines (may be repeated; --var wins)")
	return cmd
}

// misuse is a command line that cannot be meant.
type misuse struct{ error }

// status is an exit status that needs no words: they were said already.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// exit says what is wrong and returns the exit status for it.
func (a *app) exit(err error) int {
	var code status
	var wrong misuse
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &wrong):
		a.printer().Say("error: ", err)
		fmt.Fprintln(a.stderr, "Run 'provision --help' for the commands.")
		return exitMisuse
	default:
		a.printer().Say("error: ", err)
		return exitFailed
	}
}
