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

// Apply asks again and again; the last answer is the error.
func (a WaitAPI) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	var last error
	for {
		api, err := a.api(ctx, on, site)
		if err == nil {
			err = api.Ready(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // what was wrong, not that time was up
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w", last)
		case <-time.After(pollEvery):
		}
	}
}

func (a WaitAPI) api(ctx context.Context, on components.Machine, site components.Site) (components.API, error) {
	if a.Own {
		return site.APIOf(ctx, on.Name())
	}
	return site.API(ctx)
}
