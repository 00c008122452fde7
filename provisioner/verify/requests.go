package verify

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How a drill's client asks: steadily, each time over a new connection, and
// without waiting for earlier answers, as many clients would.
const (
	askEvery   = 50 * time.Millisecond
	askTimeout = time.Second
)

// answer is how one request ended.
type answer struct {
	at  time.Time // when it ended
	pod string    // who answered; "" where it failed
}

// requests is a client that keeps asking, and what became of it.
type requests struct {
	mu      sync.Mutex
	answers []answer

	stop context.CancelFunc
	done sync.WaitGroup
}

// ask begins to call fetch until ctx ends or finish is called.
func ask(ctx context.Context, fetch func(ctx context.Context) (pod string, err error)) *requests {
	ctx, cancel := context.WithCancel(ctx)
	r := &requests{stop: cancel}
	r.done.Go(func() {
		ticker := time.NewTicker(askEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				r.done.Go(func() {
					once, cancel := context.WithTimeout(ctx, askTimeout)
					defer cancel()
					pod, err := fetch(once)
					if ctx.Err() != nil {
						return // it was we who ended it
					}
					if err != nil {
						pod = ""
					}
					r.mu.Lock()
					defer r.mu.Unlock()
					r.answers = append(r.answers, answer{time.Now(), pod})
				})
			}
		}
	})
	return r
}

func (r *requests) finish() {
	r.stop()
	r.done.Wait()
}

// since returns what ended from a moment on, in order.
func (r *requests) since(begin time.Time) []answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	var result []answer
	for _, a := range r.answers {
		if !a.at.Before(begin) {
			result = append(result, a)
		}
	}
	slices.SortFunc(result, func(a, b answer) int { return a.at.Compare(b.at) })
	return result
}

// steady says that requests were answered lately and none failed.
func (r *requests) steady(over time.Duration) bool {
	lately := r.since(time.Now().Add(-over))
	return len(lately) > int(over/askEvery)/2 && !slices.ContainsFunc(lately, func(a answer) bool { return a.pod == "" })
}

// clientView is what a client saw from begin to end.
type clientView struct {
	total, failed int
	gap           time.Duration // the longest time without an answer
	lastFailure   time.Duration // after begin; 0: none failed
	first         map[string]time.Duration
}

func look(answers []answer, begin, end time.Time) clientView {
	v := clientView{first: map[string]time.Duration{}}
	last := begin
	for _, a := range answers {
		if a.at.Before(begin) || a.at.After(end) {
			continue
		}
		v.total++
		if a.pod == "" {
			v.failed++
			v.lastFailure = a.at.Sub(begin)
			continue
		}
		v.gap, last = max(v.gap, a.at.Sub(last)), a.at
		if _, is := v.first[a.pod]; !is {
			v.first[a.pod] = a.at.Sub(begin)
		}
	}
	v.gap = max(v.gap, end.Sub(last))
	return v
}
