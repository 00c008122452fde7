package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"provision/components"
	"provision/components/reach"
	"provision/provisioner/plan"
	"provision/provisioner/view"
)

// A trial has machines try to reach each other, with the agents that were just
// sent, before anything is installed or the lock is taken. Where it fails, the
// agents go from the machines that had nothing of ours before.
type trial struct {
	machine func(name string) (components.Machine, error)
	cluster components.Cluster
	found   plan.Facts // as it was before the agents were sent
}

// grace is what starting the agent and answering may take beside the dialling.
const grace = 10 * time.Second

// run returns what stands in the way. failed are machines that have no agent.
func (t trial) run(ctx context.Context, failed []string) error {
	found := plan.Facts{Machines: map[string]components.Facts{}}
	for name, f := range t.found.Machines {
		found.Machines[name] = f
	}
	for _, name := range failed {
		delete(found.Machines, name)
	}
	requests := plan.Reach(t.cluster, found)
	if len(requests) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reach.Patience+grace, errors.New("no answer to whether it reaches the other machines"))
	defer cancel()
	reports, err := t.reports(ctx, requests)
	errs := []error{err}
	for _, problem := range plan.Unreached(t.cluster, reports) {
		errs = append(errs, view.Refuse(problem))
	}
	if err := errors.Join(errs...); err != nil {
		left := t.clean(context.WithoutCancel(ctx))
		if left == nil {
			left = errors.New("nothing was installed, and the agents that tried it are gone again")
		}
		return errors.Join(err, left)
	}
	return nil
}

// reports has every machine listen until all have dialled, and joins what each
// says of both.
func (t trial) reports(ctx context.Context, requests map[string]reach.Request) (map[string]reach.Report, error) {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	reports := map[string]reach.Report{}
	var errs []error
	var mu sync.Mutex
	ask := func(name, verb string, stdin io.Reader) {
		report, err := t.ask(ctx, name, verb, stdin)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: probe %s: %w", name, verb, err))
			return
		}
		joined := reports[name]
		joined.Failures = append(joined.Failures, report.Failures...)
		reports[name] = joined
	}
	var listeners, diallers sync.WaitGroup
	var held []io.Closer
	for name, request := range requests {
		request.Key = key
		text, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		line := string(append(text, '\n'))
		if len(request.Listen) > 0 {
			open, hold := io.Pipe()
			held = append(held, hold)
			listeners.Go(func() { ask(name, "listen", io.MultiReader(strings.NewReader(line), open)) })
		}
		if len(request.Dial) > 0 {
			diallers.Go(func() { ask(name, "reach", strings.NewReader(line)) })
		}
	}
	diallers.Wait()
	for _, hold := range held {
		hold.Close()
	}
	listeners.Wait()
	return reports, errors.Join(errs...)
}

func (t trial) ask(ctx context.Context, name, verb string, stdin io.Reader) (reach.Report, error) {
	on, err := t.machine(name)
	if err != nil {
		return reach.Report{}, err
	}
	out, err := on.Run(ctx, []string{t.cluster.Agent(), "probe", verb}, stdin)
	if err != nil {
		return reach.Report{}, err
	}
	var report reach.Report
	if err := json.Unmarshal(out, &report); err != nil {
		return reach.Report{}, fmt.Errorf("answer: %w", err)
	}
	if len(report.Failures) > reach.MaxAnswer {
		return reach.Report{}, fmt.Errorf("answer: more than %d failures", reach.MaxAnswer)
	}
	return report, nil
}

// clean takes the agent away again where nothing of ours was before.
func (t trial) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, f := range t.found.Machines {
		if !plan.Untouched(f) {
			continue
		}
		all.Go(func() {
			on, err := t.machine(name)
			if err == nil {
				_, err = on.Run(ctx, []string{"rm", "-rf", path.Dir(t.cluster.Agent())}, nil)
			}
			if err == nil {
				_, err = on.Run(ctx, []string{"rmdir", "--ignore-fail-on-non-empty", components.Root}, nil)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: take the agent away again: %w", name, err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
