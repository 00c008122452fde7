package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
	format "provision/components/bundle"
	"provision/components/etcd"
	"provision/provisioner/bundle"
	"provision/provisioner/plan"
	"provision/provisioner/run"
)

// upgrade is what the command's flags say.
type upgrade struct {
	to                  string
	rollback, hold, dry bool
	yes                 bool
	snapshot            string
}

func (a *app) upgradeCommand() *cobra.Command {
	var u upgrade
	cmd := a.withFile(&cobra.Command{
		Use:   "upgrade FILE [--to VERSION]",
		Short: "Bring the cluster to another version of Kubernetes, or back",
		Long: `Take the cluster to a bundle's version, the file's or --to's. All machines get the bundle
first, then masters keep a snapshot of etcd. Masters change one at a time, and behave as
the old version until all have changed; one whose control plane does not come to serve
goes back by itself, and nothing more is done. Then the upgrade is finalised and kubelets
follow, workers in batches of max_unavailable, emptied of pods before (one at a time of
each Deployment, and as PodDisruptionBudgets allow) and opened again.

    provision upgrade cluster.hcl --to 1.36.3 --dry-run
    provision upgrade cluster.hcl --to 1.36.3
    provision upgrade cluster.hcl --rollback

'up' with an edited version does the same. Run it again to go on after an interruption.
With --no-finalize it ends when all masters have changed, and the next run goes on.
--rollback goes back to the version before: until the upgrade is finalised without
touching data; after that only to the snapshot of before, and all that was written since
is lost, so it asks for the cluster's name.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case u.rollback && (u.to != "" || u.hold):
				return misuse{errors.New("--rollback knows which version to go back to: leave --to and --no-finalize out")}
			case u.snapshot != "" && !u.rollback:
				return misuse{errors.New("--snapshot goes with --rollback")}
			case u.to != "" && !versionForm.MatchString(u.to):
				return misuse{fmt.Errorf("--to %.40q: a version is like 1.36.3", u.to)}
			}
			return a.upgrade(cmd.Context(), args[0], u)
		},
	})
	cmd.Flags().StringVar(&u.to, "to", "", "the `version` of Kubernetes (default: the file's, else the newest bundle's)")
	cmd.Flags().BoolVar(&u.rollback, "rollback", false, "go back to the version before")
	cmd.Flags().StringVar(&u.snapshot, "snapshot", "", "with --rollback of a finalised upgrade: the `name` of the snapshot (default: the newest of before an upgrade)")
	cmd.Flags().BoolVar(&u.hold, "no-finalize", false, "end when all masters have changed; kubelets stay, and --rollback touches no data")
	cmd.Flags().BoolVar(&u.dry, "dry-run", false, "show the plan and change nothing")
	cmd.Flags().BoolVar(&u.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes), or the plan")
	return cmd
}

var versionForm = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(-[0-9a-z.]{1,20})?$`)

func (a *app) upgrade(ctx context.Context, path string, u upgrade) error {
	file, err := a.load(path)
	if err != nil {
		return err
	}
	if u.rollback {
		return a.rollBack(ctx, path, u)
	}
	asked := file.Cluster.Version
	if u.to != "" {
		file.Cluster.Version = u.to
	}
	b, err := a.bundle(file.Cluster.Version)
	if err != nil {
		return err
	}
	s, err := a.with(file, b)
	if err != nil {
		return err
	}
	s.connect(ctx, file.Machines)
	found, p, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if !plan.Begun(s.cluster, found) {
		return errors.New("there is no cluster yet that could be upgraded: `provision up` makes one")
	}
	part := func(p plan.Plan) plan.Plan { return p }
	if u.hold {
		part = plan.UntilFinal
	}
	if u.dry {
		return s.show(part(p))
	}
	if err := s.carryOut(ctx, found, p, "upgrade", u.yes, part); err != nil {
		return err
	}
	s.sayVersion(path, asked)
	return nil
}

// sayVersion tells who has a version in the file that it is another now.
func (s *session) sayVersion(path, asked string) {
	if !s.app.json && asked != "" && asked != s.cluster.Version {
		fmt.Fprintf(s.app.stdout, "The cluster is of %s now: put version = %q into %s, or the next run refuses it.\n", s.cluster.Version, s.cluster.Version, path)
	}
}

// rollBack goes back to the version before.
func (a *app) rollBack(ctx context.Context, path string, u upgrade) error {
	before, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer before.close()
	found, err := before.lookAtMachines(ctx)
	if err := errors.Join(err, before.lostMasters(), before.strangers()); err != nil {
		return err
	}
	if err := problems(plan.Strangers(before.cluster, found)); err != nil {
		return err
	}
	back, err := plan.WayBack(before.cluster, found)
	if err != nil {
		return err
	}
	b, err := before.earlier(ctx, back)
	if err != nil {
		return err
	}
	asked := before.file.Cluster.Version
	before.file.Cluster.Version = b.Manifest().Kubernetes
	s, err := a.with(before.file, b)
	if err != nil {
		return err
	}
	s.connect(ctx, s.file.Machines)
	defer s.close()
	if back.Finalised {
		err = s.toSnapshot(ctx, back, u)
	} else {
		err = s.backBefore(ctx, u)
	}
	if err == nil && !u.dry {
		s.sayVersion(path, asked)
	}
	return err
}

// earlier is the bundle to go back to: one of that id or version that is here, else
// what a machine says of the one that it has.
func (s *session) earlier(ctx context.Context, back plan.Back) (*bundle.Bundle, error) {
	if b, err := s.app.bundle(back.Version); err == nil {
		return b, nil
	}
	text, err := s.clients[back.Machine].ReadFile(ctx, path.Join(components.Root, back.Bundle, format.ManifestName))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", back.Machine, err)
	}
	return bundle.Placed(text)
}

// backBefore goes back while no data are touched by it: what `up` does with the older
// version.
func (s *session) backBefore(ctx context.Context, u upgrade) error {
	found, p, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	if u.dry {
		return s.show(p)
	}
	return s.carryOut(ctx, found, p, "upgrade --rollback", u.yes, func(p plan.Plan) plan.Plan { return p })
}

// toSnapshot goes back to what a master kept before the upgrade.
func (s *session) toSnapshot(ctx context.Context, back plan.Back, u upgrade) error {
	kept, err := s.keptSnapshots(ctx)
	if err != nil {
		return err
	}
	from, err := plan.ChooseSnapshot(kept, u.snapshot, back.Version)
	if err != nil {
		return err
	}
	found, err := s.look(ctx)
	if err := errors.Join(err, s.lostMasters(), s.strangers(), problems(plan.Mixed(s.cluster, found))); err != nil {
		return err
	}
	s.leaveFenced(found)
	s.answered = false // it is about to go, and comes back
	now := time.Now()
	p := plan.RollBack(s.cluster, found, from, now)
	if u.dry {
		return s.show(p)
	}
	printer := s.app.printer()
	if !s.app.json {
		if err := printer.Plan(p); err != nil {
			return err
		}
		fmt.Fprintf(s.app.stdout, "\nThe upgrade to %s is finalised: going back is to %s on %s.\nEverything that was written since is lost: objects made since are gone, those deleted since are back.\n",
			back.Present, from.Name, from.Machine)
	}
	if err := s.agreeByName(ctx, u.yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env("upgrade --rollback", observer, func(found plan.Facts) plan.Plan {
		return plan.RollBack(s.cluster, found, from, now)
	})
	err = run.Apply(ctx, p, env)
	finish(err)
	return errors.Join(err, s.leftOut())
}

// keptSnapshots are those that masters keep, by the machines that answer.
func (s *session) keptSnapshots(ctx context.Context) ([]plan.Snapshot, error) {
	var all []plan.Snapshot
	for _, m := range s.cluster.Masters() {
		client := s.clients[m.Name]
		if client == nil {
			continue
		}
		out, err := client.Run(ctx, []string{"find", etcd.SnapshotFolder, "-maxdepth", "1", "-type", "f", "-printf", `%f\n`}, nil)
		if err != nil {
			continue // there is no such folder
		}
		for name := range strings.FieldsSeq(string(out)) {
			if _, _, is := etcd.ParseSnapshot(name); is {
				all = append(all, plan.Snapshot{Machine: m.Name, Name: name})
			}
		}
	}
	return all, context.Cause(ctx)
}
