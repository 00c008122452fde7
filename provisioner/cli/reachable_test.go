package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/provisioner/plan"
)

// TestAnAPIThatFallsSilentIsWaitedFor: a plan made from its silence would do
// everything again.
func TestAnAPIThatFallsSilentIsWaitedFor(t *testing.T) {
	gone := errors.New("stopped")
	for name, test := range map[string]struct {
		back  time.Duration // after which it answers
		stop  time.Duration // after which the run is stopped
		want  string        // of the error
		looks int           // at most
	}{
		"it comes back":      {30 * time.Second, time.Hour, "", 31},
		"it does not":        {time.Hour, time.Hour, "the API server does not answer any more: refused", 122},
		"the run is stopped": {time.Hour, 5 * time.Second, "stopped", 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(test.stop, func() { stop(gone) })
			begin, looks := time.Now(), 0
			found, err := untilReachable(ctx, apiReturns, func() (plan.Facts, error) {
				looks++
				return plan.Facts{Cluster: components.ClusterFacts{Reachable: time.Since(begin) >= test.back, Problem: "refused"}}, nil
			})
			stop(nil)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || found.Cluster.Reachable != (err == nil) {
				t.Errorf("%s: %v, reachable %v", name, err, found.Cluster.Reachable)
			}
			if looks > test.looks {
				t.Errorf("%s: %d looks", name, looks)
			}
		})
	}
}
