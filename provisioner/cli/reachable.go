package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"provision/provisioner/plan"
)

// apiReturns is how long a run waits for an API server that has answered before,
// and apiPause the time between two looks for it.
const (
	apiReturns = 2 * time.Minute
	apiPause   = time.Second
)

var errSilentAPI = errors.New("the API server does not answer any more")

// untilReachable looks until the API answers, for so long: what a silent one has would
// be planned again.
func untilReachable(ctx context.Context, within time.Duration, look func() (plan.Facts, error)) (plan.Facts, error) {
	for end := time.Now().Add(within); ; {
		found, err := look()
		switch {
		case err != nil || found.Cluster.Reachable:
			return found, err
		case time.Now().After(end):
			return found, fmt.Errorf("%w: %s", errSilentAPI, found.Cluster.Problem)
		}
		select {
		case <-ctx.Done():
			return found, context.Cause(ctx)
		case <-time.After(apiPause):
		}
	}
}
