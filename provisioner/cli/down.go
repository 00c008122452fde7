package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"provision/components/removal"
	"provision/provisioner/plan"
	"provision/provisioner/run"
)

func (a *app) downCommand() *cobra.Command {
	var yes bool
	cmd := a.withFile(&cobra.Command{
		Use:   "down FILE",
		Short: "Take the cluster, with all its data, away from its machines",
		Long: `Stop everything that up started, delete everything that it made, and put back what it
changed, as the journal on each machine says. The cluster's data is lost. In the end it says
of each machine what went, what was put back, and what stays and why: what somebody changed
since is left as it is, and where something of ours is in use, the exit status is 1 and running
it again goes on. Folders and disks of yours that are mounted below ours are unmounted, and
nothing in them is touched. It needs no API server, no etcd, and no room on the disk.

    provision down cluster.hcl
    provision down cluster.hcl --yes

Running it twice, or on machines that are half set up, does no harm. Machines that were set
up for a cluster of another name stop it: nothing is taken from them with the wrong file.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.down(cmd.Context(), args[0], yes) },
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes)")
	return cmd
}

// reports collects what machines say that they removed.
type reports struct {
	mu  sync.Mutex
	all map[string]removal.Report
}

func (r *reports) told(machine string, report removal.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[machine] = report
}

func (a *app) down(ctx context.Context, path string, yes bool) error {
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.look(ctx)
	errs := []error{err, s.strangers()}
	for _, problem := range plan.Strangers(s.cluster, found) {
		errs = append(errs, problem)
	}
	for _, m := range plan.Leaving(s.cluster, found.Cluster) {
		errs = append(errs, fmt.Errorf("%s: is a machine of the cluster, and %s does not name it: it would be left as it is, with nobody to know of it; `provision up` takes it out, or name it again", m.Name, path))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	told := &reports{all: map[string]removal.Report{}}
	p := plan.Down(s.cluster, found, told.told)
	printer := a.printer()
	if s.reached() == 0 {
		return fmt.Errorf("%w\nno machine answers: nothing was done, and what is on them is not known", s.silent())
	}
	if p.Empty() {
		return errors.Join(printer.NothingThere(s.reached()), s.leftOut())
	}
	if err := s.consent(ctx, printer, p, "Take all this away, with the cluster's data? "+strings.Join(p.Machines(), ", "), yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env("down", observer, func(found plan.Facts) plan.Plan { return plan.Down(s.cluster, found, told.told) })
	err = run.Apply(ctx, p, env)
	finish(err)
	for _, machine := range p.Machines() {
		if report, ok := told.all[machine]; ok {
			err = errors.Join(err, printer.Removed(machine, report))
		}
	}
	return errors.Join(err, s.leftOut())
}
