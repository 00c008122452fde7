package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print what completes commands, flags and machines' names in a shell",
		Long: `Print a script that has your shell complete provision's commands and flags, and the
names of a cluster file's machines.

    source <(provision completion bash)                       for this shell
    provision completion fish > ~/.config/fish/completions/provision.fish`,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse{fmt.Errorf("completion takes the name of a shell: bash, zsh or fish")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(a.stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(a.stdout, true)
			}
			return misuse{fmt.Errorf("completion %s: no such shell here%s", args[0], meant(args[0], shells))}
		},
	}
}

// completeMachines completes FILE with files, MACHINE with the names in it, and
// what may follow with that machine's components. It asks no machine, and says
// nothing of a file that is wrong.
func (a *app) completeMachines(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []string{"hcl"}, cobra.ShellCompDirectiveFilterFileExt
	}
	quiet := app{stdin: a.stdin, stdout: io.Discard, stderr: io.Discard, vars: a.vars, varFiles: a.varFiles}
	file, err := quiet.load(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, m := range file.Machines {
		switch {
		case len(args) == 1:
			words = append(words, m.Name+"\t"+string(m.Role)+" "+m.Address.String())
		case len(args) == 2 && cmd.Name() == "logs" && m.Name == args[1]:
			words = unitsOf(m.Role)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
