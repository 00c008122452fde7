package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/provisioner/run"
)

func (a *app) unlockCommand() *cobra.Command {
	var yes bool
	cmd := a.withFile(&cobra.Command{
		Use:   "unlock FILE",
		Short: "Break the lock of a run that died elsewhere",
		Long: `Say who holds the cluster's lock, ask, and break it. A run that died lets go of the lock
by itself: the next one on the same computer takes it over, any other waits for a minute
at most. So this is for a run that hangs. If it still lives, it is refused from then on,
before its next change.

    provision unlock cluster.hcl`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.unlock(cmd.Context(), args[0], yes) },
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) unlock(ctx context.Context, path string, yes bool) error {
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.look(ctx)
	if err = errors.Join(err, s.strangers()); err != nil {
		return err
	}
	agents := map[string]string{}
	for name, f := range found.Machines {
		if agent, ok := anyAgent(f, s.cluster.Agent()); ok {
			agents[name] = agent
		}
	}
	var holders []*run.Holder
	var rows [][]string
	for _, m := range s.cluster.Masters() {
		agent, ok := agents[m.Name]
		if !ok {
			continue // nobody can have a lease where there is no agent to give it
		}
		holder, err := run.Holds(ctx, s.clients[m.Name], agent)
		if err != nil {
			return err
		}
		if holder != nil {
			holders = append(holders, holder)
			rows = append(rows, []string{m.Name, holder.Owner, holder.Reason, holder.Left.Round(time.Second).String()})
		}
	}
	if lost := s.lostMasters(); len(holders) == 0 && lost != nil {
		return fmt.Errorf("%w\nwho holds the lock is for the masters to say", lost)
	}
	if len(holders) == 0 {
		_, err := fmt.Fprintln(a.stdout, "nobody holds the lock")
		return errors.Join(err, s.leftOut())
	}
	if err := a.printer().Table([]string{"MASTER", "HELD BY", "FOR", "RUNS OUT IN"}, rows); err != nil {
		return err
	}
	if !yes {
		if err := a.agree(ctx, "Break the lock?"); err != nil {
			return err
		}
	}
	var errs []error
	for _, holder := range holders {
		errs = append(errs, holder.Break(ctx, s.clients[holder.Machine], agents[holder.Machine]))
		for name, agent := range agents {
			errs = append(errs, holder.Fence(ctx, s.clients[name], agent))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "the lock is broken")
	return errors.Join(err, s.leftOut())
}

// anyAgent returns the path of an agent on the machine, that one if it is there.
func anyAgent(f components.Facts, wanted string) (string, bool) {
	if f.Agents[wanted] {
		return wanted, true
	}
	for _, agent := range slices.Sorted(maps.Keys(f.Agents)) {
		return agent, true
	}
	return "", false
}
