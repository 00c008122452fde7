package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"provision/components"
	"provision/provisioner/plan"
)

// maxSideBySide bounds the machines that are worked on at once.
const maxSideBySide = 32

// stage runs every job of a stage and waits for all; failures land in r.failed.
func (r *runner) stage(phase string, stage plan.Stage) {
	start := time.Now()
	r.tell(Event{Kind: StageStart, Phase: phase, Stage: stage.Name})
	errs := make([]error, len(stage.Jobs))
	slots := make(chan struct{}, maxSideBySide)
	var jobs sync.WaitGroup
	for i, job := range stage.Jobs {
		if r.failed[job.Machine] != nil {
			continue
		}
		jobs.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = r.job(phase, stage.Name, job)
		})
	}
	jobs.Wait()
	for i, err := range errs {
		if err != nil {
			r.failed[stage.Jobs[i].Machine] = err
		}
	}
	r.tell(Event{Kind: StageDone, Phase: phase, Stage: stage.Name, Took: time.Since(start)})
}

// job runs one machine's actions in order, after it has written the journal.
func (r *runner) job(phase, stage string, job plan.Job) error {
	on, err := r.env.Machine(job.Machine)
	if err != nil {
		return r.fail(phase, stage, job.Machine, nil, err)
	}
	var generation uint64 // 0 before the lock is held, when nothing that is journaled happens
	if r.lock != nil {
		generation = r.lock.generation
		if err := r.lock.enter(r.hard, on); err != nil {
			return r.fail(phase, stage, job.Machine, nil, err)
		}
	}
	if err := record(r.hard, on, generation, job.Actions); err != nil {
		return r.fail(phase, stage, job.Machine, nil, fmt.Errorf("journal: %w", err))
	}
	for i, action := range job.Actions {
		if r.soft.Err() != nil {
			return nil // the phase says that the run was stopped
		}
		if r.lock != nil {
			if err := r.lock.check(r.hard, on); err != nil {
				return r.fail(phase, stage, job.Machine, action, err)
			}
		}
		start := time.Now()
		event := Event{Phase: phase, Stage: stage, Machine: job.Machine, Component: action.Component(), Action: action.String()}
		event.Kind = ActionStart
		r.tell(event)
		ctx := r.hard
		if i, ok := action.(Interruptible); ok && i.Interruptible() {
			ctx = r.soft
		}
		site := meter{r.env.Site, func(done, total int64) {
			moved := event
			moved.Kind, moved.Bytes, moved.Of = ActionMoved, done, total
			r.tell(moved)
		}}
		if err := action.Apply(ctx, on, site); err != nil {
			if ctx == r.soft && r.soft.Err() != nil {
				event.Kind = ActionStopped
				r.tell(event)
				return nil // the phase says so too: see above
			}
			if cause := context.Cause(r.hard); cause != nil && errors.Is(err, context.Canceled) {
				err = cause
			}
			return r.fail(phase, stage, job.Machine, action, rescue(r.hard, on, r.env.Site, job.Actions[i+1:], err))
		}
		if c, ok := action.(Clears); ok && c.Clears() {
			r.lock.without(job.Machine)
		}
		event.Kind, event.Took = ActionDone, time.Since(start)
		r.tell(event)
	}
	return nil
}

// rescue has the rest of a job undo what it began.
func rescue(ctx context.Context, on components.Machine, site components.Site, rest []components.Action, failed error) error {
	for _, action := range rest {
		if a, ok := action.(Rescuer); ok {
			failed = a.Rescue(ctx, on, site, failed)
		}
	}
	return failed
}

// fail tells the observer and returns the error in its full words.
func (r *runner) fail(phase, stage, machine string, action components.Action, err error) error {
	event := Event{Kind: ActionFailed, Phase: phase, Stage: stage, Machine: machine, Err: err}
	words := []string{machine, stage}
	if action != nil {
		event.Component, event.Action = action.Component(), action.String()
		words = append(words, action.String())
	}
	r.tell(event)
	return fmt.Errorf("%s: %w", strings.Join(words, ": "), err)
}
