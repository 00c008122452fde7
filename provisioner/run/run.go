// Package run carries a plan out: phases in order, stages as barriers, machines
// side by side. It keeps the journal, holds the cluster's lock, and looks again
// between phases. It decides nothing (that is plan's) and prints nothing (that
// is view's, through the Observer).
package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"provision/components"
	"provision/provisioner/plan"
)

// Env is what a run works with.
type Env struct {
	// Machine returns the connection to a machine of the plan.
	Machine func(name string) (components.Machine, error)
	Site    components.Site
	// Masters are the machines that keep the lock, in the file's order.
	Masters []string
	Agent   string // path of the agent's binary on every machine
	Owner   string // who runs this, for whoever finds the lock taken
	Reason  string // what for: "up"
	// Generation is the highest that any machine is known to have seen: a master that
	// was cleaned knows none, and the lock's must be higher wherever the run comes.
	Generation uint64
	// Alive says whether the process of an owner, as a lease names it, still
	// runs, where that can be known for certain. nil: it never can.
	Alive func(owner string) (alive, known bool)
	// Replan looks at the machines and plans again, without those that failed.
	Replan   func(ctx context.Context, failed []string) (plan.Plan, error)
	Observer Observer
	// Try, where it is set, is asked once, with the agents in place and before
	// the lock is taken; its error ends the run. failed are without an agent.
	Try func(ctx context.Context, failed []string) error
	// Grace is how long the action at hand may go on when ctx is cancelled; 0 is 10 s.
	Grace time.Duration
}

// Early marks an action that may happen before the lock is held, because it
// puts something named by its content where nothing reads it yet.
type Early interface{ Early() bool }

// Clears marks an action after which a machine has nothing of the cluster's any more:
// a master that had a share in the lock has none, and the others keep it.
type Clears interface{ Clears() bool }

// Rescuer is an action that, where one before it in its job has failed, undoes what its
// job began. It returns failed, and what became of it.
type Rescuer interface {
	Rescue(ctx context.Context, on components.Machine, site components.Site, failed error) error
}

// Interruptible marks an action that may end in its middle: it only waits, or
// the next run goes on where it was.
type Interruptible interface{ Interruptible() bool }

// Apply carries out p, and what is left of it as replanned after each phase.
//
// A machine whose action failed runs nothing after it; its neighbours finish
// their part of the stage. A failed worker is then left out; a failed master stops
// the run, and so does any machine in a careful stage. The error joins one error for each failed machine.
func Apply(ctx context.Context, p plan.Plan, env Env) (err error) {
	r := &runner{env: env, announced: announce(p), done: map[string]bool{}, failed: map[string]error{}}
	hard, stop := outlive(ctx, env.Grace)
	defer stop()
	r.soft, r.hard = ctx, hard
	told := make(chan struct{})
	quiet := context.AfterFunc(ctx, func() {
		defer close(told)
		r.tell(Event{Kind: Notice, Action: "stopping after the actions at hand; once more ends at once"})
	})
	defer func() {
		if !quiet() {
			<-told // nobody is told anything after the end
		}
	}()

	defer func() {
		if r.lock != nil {
			err = errors.Join(err, r.lock.Release())
		}
	}()
	for !p.Empty() {
		if r.lock == nil && !early(p.Phases[0]) {
			if env.Try != nil {
				if err := env.Try(ctx, slices.Sorted(maps.Keys(r.failed))); err != nil {
					return errors.Join(r.failures(), err)
				}
			}
			if r.lock, err = Acquire(ctx, env); err != nil {
				return errors.Join(r.failures(), err)
			}
			// Whoever held it until now may have changed what the plan was made from.
			if p, err = r.again("the lock was taken"); err != nil {
				return errors.Join(r.failures(), err)
			}
			continue
		}
		phase := p.Phases[0]
		if err := r.phase(phase); err != nil {
			return err
		}
		r.done[phase.Name] = true
		p.Phases = p.Phases[1:]
		if p.Empty() || r.lock == nil && !early(p.Phases[0]) {
			continue // the last phase needs no look, and the lock brings its own
		}
		if p, err = r.again(phase.Name); err != nil {
			return errors.Join(r.failures(), err)
		}
	}
	return r.failures()
}

type runner struct {
	env       Env
	soft      context.Context // no new action once it is done
	hard      context.Context // ends the action at hand
	lock      *Lock
	announced map[announcement]bool
	done      map[string]bool  // phases, by name
	failed    map[string]error // by machine
}

func (r *runner) failures() error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(r.failed)) {
		all = append(all, r.failed[name])
	}
	return errors.Join(all...)
}

// phase runs the stages of one phase and says whether the run may go on.
func (r *runner) phase(phase plan.Phase) error {
	start := time.Now()
	r.tell(Event{Kind: PhaseStart, Phase: phase.Name})
	for _, stage := range phase.Stages {
		failed := len(r.failed)
		r.stage(phase.Name, stage)
		if err := context.Cause(r.soft); err != nil {
			return errors.Join(r.failures(), fmt.Errorf("stopped in %s: %w", stage.Name, err))
		}
		if stage.Careful && len(r.failed) > failed {
			return errors.Join(r.failures(), fmt.Errorf("stopped after %s: nothing more is done to the others until it is well there", stage.Name))
		}
		for _, master := range r.env.Masters {
			if r.failed[master] != nil {
				return r.failures()
			}
		}
	}
	r.tell(Event{Kind: PhaseDone, Phase: phase.Name, Took: time.Since(start)})
	return nil
}

// announcement is what a plan says it will do, without the particulars that
// only the run itself can settle.
type announcement struct {
	machine, component, verb string
}

func announce(p plan.Plan) map[announcement]bool {
	all := map[announcement]bool{}
	for _, phase := range p.Phases {
		for _, stage := range phase.Stages {
			for _, job := range stage.Jobs {
				for _, action := range job.Actions {
					all[announcement{job.Machine, action.Component(), fmt.Sprintf("%T", action)}] = true
				}
			}
		}
	}
	return all
}

// again looks at the machines and plans what is left.
func (r *runner) again(after string) (plan.Plan, error) {
	p, err := r.env.Replan(r.soft, slices.Sorted(maps.Keys(r.failed)))
	if err != nil {
		return plan.Plan{}, fmt.Errorf("look again after %s: %w", after, err)
	}
	return r.rest(p)
}

// rest returns what is left of a new plan: without the failed machines, and
// only if it holds nothing that was done already or was not announced.
func (r *runner) rest(p plan.Plan) (plan.Plan, error) {
	var rest plan.Plan
	for _, phase := range p.Phases {
		kept := plan.Phase{Name: phase.Name}
		for _, stage := range phase.Stages {
			left := plan.Stage{Name: stage.Name, Careful: stage.Careful}
			for _, job := range stage.Jobs {
				if r.failed[job.Machine] != nil {
					continue
				}
				for _, action := range job.Actions {
					if r.done[phase.Name] {
						return plan.Plan{}, fmt.Errorf("%s: %s: did not last: it was done and is to be done again", job.Machine, action)
					}
					if !r.announced[announcement{job.Machine, action.Component(), fmt.Sprintf("%T", action)}] {
						return plan.Plan{}, fmt.Errorf("%s: %s: was not in the plan; run again to see it and agree to it", job.Machine, action)
					}
				}
				left.Jobs = append(left.Jobs, job)
			}
			if len(left.Jobs) > 0 {
				kept.Stages = append(kept.Stages, left)
			}
		}
		if len(kept.Stages) > 0 {
			rest.Phases = append(rest.Phases, kept)
		}
	}
	return rest, nil
}

func early(phase plan.Phase) bool {
	for _, stage := range phase.Stages {
		for _, job := range stage.Jobs {
			for _, action := range job.Actions {
				if e, ok := action.(Early); !ok || !e.Early() {
					return false
				}
			}
		}
	}
	return true
}

// outlive returns a context that ends some time after ctx does, so that an
// action is not torn in two by an interrupt.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	if grace == 0 {
		grace = 10 * time.Second
	}
	hard, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-hard.Done():
		case <-time.After(grace):
			cancel(context.Cause(ctx))
		}
	})
	return hard, func() { stop(); cancel(context.Canceled) }
}
