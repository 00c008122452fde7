//go:build lab

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// patience is how long a client waits for an answer: long enough for one packet that is
// lost where machines share two cores, which TCP sends again after a second.
const patience = 2 * time.Second

// tally is what a client met with.
type tally struct {
	done, failed int
	gap          time.Duration // the longest between two successes
	slowest      time.Duration // of those that succeeded
	failures     []string      // the first few
}

func (s tally) String() string {
	text := fmt.Sprintf("%d requests, %d failed, longest gap %.2f s, slowest answer %.2f s", s.done, s.failed, s.gap.Seconds(), s.slowest.Seconds())
	if s.failed > 0 {
		text += ": " + strings.Join(s.failures, "; ")
	}
	return text
}

// every asks again and again until ctx is done, and then says how that went.
func every(ctx context.Context, interval time.Duration, ask func(context.Context) error) <-chan tally {
	result := make(chan tally, 1)
	go func() {
		var s tally
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		success := time.Now()
		for {
			select {
			case <-ctx.Done():
				result <- s
				return
			case <-ticks.C:
			}
			asked := time.Now()
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			err := ask(bounded)
			cancel()
			if s.done++; err != nil {
				if s.failed++; len(s.failures) < 5 {
					s.failures = append(s.failures, fmt.Sprintf("at %s, after %.2f s: %v", asked.Format("15:04:05.0"), time.Since(asked).Seconds(), err))
				}
				continue
			}
			s.slowest = max(s.slowest, time.Since(asked))
			s.gap, success = max(s.gap, time.Since(success)), time.Now()
		}
	}()
	return result
}
