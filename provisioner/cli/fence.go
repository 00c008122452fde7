package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"provision/provisioner/plan"
	"provision/provisioner/run"
)

// fenceOptions are what fence is told beside the file and the machine.
type fenceOptions struct {
	dead string // the machine's name once more: somebody's word that it is dead
	undo bool
	yes  bool
}

func (a *app) fenceCommand() *cobra.Command {
	var o fenceOptions
	cmd := a.withVariables(&cobra.Command{
		Use:   "fence FILE MACHINE",
		Short: "Say that a machine is out of service, so that its volumes and pods move",
		Long: `Mark a machine's Node as out of service (node.kubernetes.io/out-of-service). Kubernetes then
deletes its pods by force and detaches its volumes, so that a StatefulSet's pod starts
elsewhere: for a machine that is only silent it waits for ever, because the pod may run on.

That is done on evidence only. Where SSH reaches the machine, everything of Kubernetes on it
is stopped, its pods' processes are ended, their volumes unmounted, and all that is checked;
it stays so over a reboot. Where SSH does not, silence proves nothing: you type the machine's
name, or say --dead with it, and --yes is not enough. Where you are wrong, the same pod runs
twice and volumes are written from two sides. A Node that is Ready is not taken for dead, and
no master is fenced whose etcd the others need for their quorum.

    provision fence cluster.hcl w1
    provision fence cluster.hcl w1 --dead w1      its power is off, and stays off
    provision fence cluster.hcl w1 --undo         it is back

With --undo whatever ran there before is ended first, then kubelet starts, and once it is
ready the mark is taken away. Until then 'provision up' leaves the machine as it is.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return misuse{errors.New("fence takes the cluster file and one machine's name: provision fence FILE MACHINE")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.dead != "" && o.dead != args[1]:
				return misuse{fmt.Errorf("--dead says %s, and the machine is %s", o.dead, args[1])}
			case o.dead != "" && o.undo:
				return misuse{errors.New("--dead and --undo exclude each other")}
			}
			return a.fence(cmd.Context(), args[0], args[1], o)
		},
		ValidArgsFunction: a.completeMachines,
	})
	cmd.Flags().StringVar(&o.dead, "dead", "", "the machine's `name` once more: you know that its power is off")
	cmd.Flags().BoolVar(&o.undo, "undo", false, "take the machine back")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask, where SSH reaches the machine")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes)")
	return cmd
}

func (a *app) fence(ctx context.Context, path, name string, o fenceOptions) error {
	if err := a.know(path, []string{name}); err != nil {
		return err
	}
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.look(ctx)
	if err != nil {
		return err
	}
	if err := s.tooManyLost(); err != nil {
		return err
	}
	p, err := s.fencing(found, name, o)
	if err != nil {
		return err
	}
	printer := a.printer()
	if p.Empty() {
		_, err := fmt.Fprintln(a.stdout, map[bool]string{false: name + " is fenced already", true: name + " is not fenced"}[o.undo])
		return err
	}
	_, answered := found.Machines[name]
	switch {
	case answered:
		err = s.consent(ctx, printer, p, "Do this?", o.yes)
	case o.dead == "":
		printer.Say("", fmt.Errorf("%s: %w", name, s.unreach[name]))
		printer.Say("", fmt.Errorf(unproven, name))
		err = a.typed(ctx, name)
	}
	if err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env("fence", observer, nil)
	silent := map[string]bool{}
	for _, m := range s.cluster.Masters() {
		silent[m.Name] = s.unreach[m.Name] != nil
	}
	env.Replan = func(ctx context.Context, failed []string) (plan.Plan, error) {
		found, err := s.lookAgain(ctx, failed, silent)
		if err != nil {
			return plan.Plan{}, err
		}
		o := o
		if _, answers := found.Machines[name]; !answers {
			o.dead = name // it was typed
		}
		if answered != (o.dead == "") {
			return plan.Plan{}, fmt.Errorf("%s does not answer SSH any more: nothing was marked", name)
		}
		return s.fencing(found, name, o)
	}
	err = run.Apply(ctx, p, env)
	finish(err)
	return err
}

// unproven is what somebody agrees to who says that a machine is dead.
const unproven = `That it does not answer is no proof that %[1]s is dead: it may run on, cut off from here alone.
Fenced, Kubernetes takes it for granted that nothing runs there any more, starts its pods
elsewhere and mounts their volumes there. Where that is wrong, the same StatefulSet pod runs
twice and volumes are written from two sides. Make sure that its power is off, or that it
cannot reach the volumes, and that this stays so until 'provision fence FILE %[1]s --undo'.`

// typed wants the machine's name typed on the terminal.
func (a *app) typed(ctx context.Context, name string) error {
	line, err := a.ask(ctx, "Type the machine's name to go on: ",
		"standard input is no terminal to type the machine's name on; whoever knows that it is dead says --dead "+name)
	if err == nil && line != name {
		err = errors.New("that is not its name; nothing was changed")
	}
	return err
}

// fencing is the plan, or why there is none.
func (s *session) fencing(found plan.Facts, name string, o fenceOptions) (plan.Plan, error) {
	if s.clients[name] != nil && s.unreach[name] != nil {
		return plan.Plan{}, fmt.Errorf("%s lets SSH in and cannot be looked at: it runs, and nothing was marked; cut its power first: %w", name, s.unreach[name])
	}
	if o.undo {
		err := plan.RefuseUnfence(s.cluster, found, name)
		if lost := s.unreach[name]; err != nil && lost != nil {
			err = fmt.Errorf("%w: %w", err, lost)
		}
		return plan.Unfence(s.cluster, found, name), err
	}
	if err := plan.RefuseFence(s.cluster, found, name, o.dead != "" || s.unreach[name] != nil); err != nil {
		return plan.Plan{}, err
	}
	return plan.Fence(s.cluster, found, name), nil
}

// leaveFenced has what is fenced left as it is, and said so in the end.
func (s *session) leaveFenced(found plan.Facts) {
	for _, m := range s.cluster.Machines {
		err := plan.Fenced(found, m.Name)
		if err == nil {
			continue
		}
		if lost := s.unreach[m.Name]; lost != nil {
			err = fmt.Errorf("%w; %w", err, lost)
		}
		s.unreach[m.Name] = err
		delete(found.Machines, m.Name)
	}
}
