package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"provision/components/actions"
	"provision/provisioner/plan"
	"provision/provisioner/run"
)

func (a *app) rotateCommand() *cobra.Command {
	var yes bool
	cmd := a.withVariables(&cobra.Command{
		Use:   "rotate FILE [MACHINE...]",
		Short: "Give machines new keys, without a connection lost",
		Long: `Re-key the tunnels of the machines named, of all where none is, one machine after the
other: it makes its next key, all others learn it, then it takes over, and the others have
spoken with it before the next machine's turn. Connections between pods go on.

    provision overlay rotate cluster.hcl
    provision overlay rotate cluster.hcl w1 w2 --yes

A machine that does not answer keeps its key, and learns the others' when it comes back.
A run that was stopped is made good by running it again, which gives those machines that
were done a new key once more.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 {
				return misuse{errors.New("rotate takes the cluster file, and the machines to re-key: provision overlay rotate FILE [MACHINE...]")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rotate(cmd.Context(), args[0], args[1:], yes)
		},
		ValidArgsFunction: a.completeEveryMachine,
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes)")
	return cmd
}

// completeEveryMachine completes FILE, then machines that are not named yet.
func (a *app) completeEveryMachine(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	machines, directive := a.completeMachines(cmd, args[:min(len(args), 1)], word)
	return slices.DeleteFunc(machines, func(line string) bool {
		name, _, _ := strings.Cut(line, "\t")
		return len(args) > 1 && slices.Contains(args[1:], name)
	}), directive
}

func (a *app) rotate(ctx context.Context, path string, names []string, yes bool) error {
	if err := a.know(path, names); err != nil {
		return err
	}
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.look(ctx)
	if err := errors.Join(err, s.lostMasters(), s.strangers(), s.canRotate(found)); err != nil {
		return err
	}
	p := plan.Rotate(s.cluster, found, names)
	if p.Empty() {
		return s.notRotated(names)
	}
	printer := a.printer()
	if err := s.consent(ctx, printer, p, "Do this?", yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env("overlay rotate", observer, nil)
	env.Replan = func(context.Context, []string) (plan.Plan, error) { return p, nil } // nothing in it depends on what was done
	err = run.Apply(ctx, p, env)
	finish(err)
	return errors.Join(err, s.notRotated(names))
}

// notRotated says which machines should have a new key and could not be reached.
// One that was only to learn of others' is no failure: it asks the API.
func (s *session) notRotated(names []string) error {
	var errs []error
	for _, m := range s.cluster.Machines {
		if err, lost := s.unreach[m.Name]; lost && (len(names) == 0 || slices.Contains(names, m.Name)) {
			errs = append(errs, fmt.Errorf("%s: keeps its key: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// know refuses names that the file does not have, before any machine is asked. A
// file that is wrong is left to whoever opens it.
func (a *app) know(path string, names []string) error {
	quiet := app{stdin: a.stdin, stdout: io.Discard, stderr: io.Discard, vars: a.vars, varFiles: a.varFiles}
	file, err := quiet.load(path)
	if err != nil {
		return nil
	}
	var there []string
	for _, m := range file.Machines {
		there = append(there, m.Name)
	}
	var errs []error
	for _, name := range names {
		if !slices.Contains(there, name) {
			errs = append(errs, fmt.Errorf("%s: no machine of that name in %s%s", name, path, meant(name, there)))
		}
	}
	if len(errs) > 0 {
		return misuse{errors.Join(errs...)}
	}
	return nil
}

// canRotate says which machines are not set up with what a rotation needs.
func (s *session) canRotate(found plan.Facts) error {
	var errs []error
	for _, m := range s.cluster.Machines {
		f, answered := found.Machines[m.Name]
		switch {
		case !answered:
		case f.Units[actions.Service("overlay")].Active != "active":
			errs = append(errs, fmt.Errorf("%s: its overlay agent does not run: 'provision up' starts it", m.Name))
		case !f.Agents[s.cluster.Agent()]:
			errs = append(errs, fmt.Errorf("%s: its agent is not the one of this bundle: 'provision up' comes first", m.Name))
		}
	}
	return errors.Join(errs...)
}
