package master

import (
	"context"
	"strings"

	"provision/components"
)

// TryFlags has a component read flags of the cluster file and do nothing: whether it
// knows them, and whether their values are of the right kind, is the component's own
// to say, and it is better said before a unit with them is written.
type TryFlags struct {
	Program string // path
	Command string // "apiserver"
	Flags   []components.Flag
}

// Component is "master".
func (TryFlags) Component() string { return "master" }

func (a TryFlags) String() string {
	names := make([]string, len(a.Flags))
	for i, flag := range a.Flags {
		names[i] = "--" + flag.Name
	}
	return "try flags of " + a.Command + ": " + strings.Join(names, ", ")
}

// Touches is empty: it changes nothing.
func (TryFlags) Touches() []components.Touch { return nil }

// Interruptible says that nothing is lost by not trying.
func (TryFlags) Interruptible() bool { return true }

// Apply asks for the component's help, which it gives after it read the other flags.
func (a TryFlags) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	argv := []string{a.Program, a.Command}
	for _, flag := range a.Flags {
		argv = append(argv, "--"+flag.Name+"="+flag.Value)
	}
	_, err := on.Run(ctx, append(argv, "--help"), nil)
	return err
}
