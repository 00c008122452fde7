package actions

import (
	"context"
	"fmt"
	"time"

	"provision/components"
)

// WaitAPI waits until an API server of the cluster answers and is ready.
type WaitAPI struct {
	Of      string // component
	Own     bool   // the one on the machine, which is a master; else any
	Timeout time.Duration
}

// pollEvery is short: what waits here is the whole run.
const pollEvery = 100 * time.Millisecond

// Component is the component it belongs to.
func (a WaitAPI) Component() string { return a.Of }

func (a WaitAPI) String() string { return "wait until the API server is ready" }

// Touches is empty.
func (WaitAPI) Touches() []components.Touch { return nil }

// mostRestarts is how often an API server may end while it is waited for. One whose
// etcd is not there yet tries for half a minute before it ends; one that does not
// like its flags ends at once.
const mostRestarts = 5

// oneTry is how long one question waits for an answer: a client may itself ask again
// until then. restartsEvery is the time between two looks at the unit.
const (
	oneTry        = 5 * time.Second
	restartsEvery = 2 * time.Second
)

// Apply asks again and again; the last answer is the error, with what the machine's
// own API server said last.
func (a WaitAPI) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	var last error
	before := 0
	if a.Own {
		before, _ = restarted(ctx, on, Service("apiserver"))
	}
	looked := time.Now()
	for {
		err := a.try(ctx, on, site)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // what was wrong, not that time was up
		}
		if a.Own && time.Since(looked) >= restartsEvery {
			looked = time.Now()
			if now, _ := restarted(ctx, on, Service("apiserver")); now-before >= mostRestarts {
				cancel()
			}
		}
		select {
		case <-ctx.Done():
			if words := a.words(on); words != "" {
				return fmt.Errorf("the API server is not ready: %w; the last that it said: %s", last, words)
			}
			return fmt.Errorf("the API server is not ready: %w", last)
		case <-time.After(pollEvery):
		}
	}
}

func (a WaitAPI) try(ctx context.Context, on components.Machine, site components.Site) error {
	api, err := a.api(ctx, on, site)
	if err != nil {
		return err
	}
	if a.Own { // another master's answer is waited for as long as it takes
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, oneTry)
		defer cancel()
	}
	return api.Ready(ctx)
}

func (a WaitAPI) api(ctx context.Context, on components.Machine, site components.Site) (components.API, error) {
	if a.Own {
		return site.APIOf(ctx, on.Name())
	}
	return site.API(ctx)
}

// words are asked for when the time to wait is over, and are not waited for long.
func (a WaitAPI) words(on components.Machine) string {
	if !a.Own {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return LastWords(ctx, on, Service("apiserver"))
}
