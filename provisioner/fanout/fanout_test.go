package fanout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"provision/components/handover"
)

// network is machines that take some time for each transfer.
type network struct {
	mu       sync.Mutex
	sent     int            // by the operator
	sending  int            // at once
	most     int            // of sending
	takers   map[string]int // of each giver, at once
	mostEach int
	given    map[string]int
	broken   func(from, to string) bool
	mute     map[string]bool // these cannot offer
}

func (n *network) offer(_ context.Context, from string, _ map[string]bool) (handover.Source, func(), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mute[from] {
		return handover.Source{}, nil, errors.New("no agent")
	}
	n.takers[from]++
	n.mostEach = max(n.mostEach, n.takers[from])
	return handover.Source{Token: from}, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.takers[from]--
	}, nil
}

// serve brings it to that many machines side by side, and returns how long that took.
func (n *network) serve(t *testing.T, machines, sideBySide int, holders ...string) time.Duration {
	t.Helper()
	n.takers, n.given = map[string]int{}, map[string]int{}
	q := New(machines, holders, n.offer)
	began := time.Now()
	slots := make(chan struct{}, sideBySide)
	var all sync.WaitGroup
	for i := range machines {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			name := fmt.Sprint("w", i)
			for {
				turn, err := q.Turn(t.Context(), name, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if turn.From == nil {
					n.mu.Lock()
					n.sent, n.sending = n.sent+1, n.sending+1
					n.most = max(n.most, n.sending)
					n.mu.Unlock()
					time.Sleep(10 * time.Second)
					n.mu.Lock()
					n.sending--
					n.mu.Unlock()
					turn.Done(nil)
					return
				}
				if n.broken != nil && n.broken(turn.From.Token, name) {
					time.Sleep(3 * time.Second)
					turn.Done(handover.Problem("no route to host"))
					continue
				}
				time.Sleep(time.Second)
				n.mu.Lock()
				n.given[turn.From.Token]++
				n.mu.Unlock()
				turn.Done(nil)
				return
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

func TestTheOperatorSendsAFewTimes(t *testing.T) {
	for _, machines := range []int{4, 10, 100, 500} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{}
			took := n.serve(t, machines, 32)
			if n.sent > seeds || n.mostEach > each {
				t.Errorf("%d machines: sent %d times, %d takers at once", machines, n.sent, n.mostEach)
			}
			if longest := 30 * time.Second; took > longest {
				t.Errorf("%d machines: %s", machines, took)
			}
		})
	}
}

func TestAFewMachinesAllGetItFromTheOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		if took := n.serve(t, Few, 32); n.sent != Few || n.most != Few || took != 10*time.Second {
			t.Errorf("sent %d times, %d at once, in %s", n.sent, n.most, took)
		}
	})
}

// Machines that join a cluster get it from those that have it.
func TestWhoHasItGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		if took := n.serve(t, 20, 32, "m1", "m2"); n.sent != 0 || took > 5*time.Second || n.given["m1"] == 0 {
			t.Errorf("sent %d times, in %s: %v", n.sent, took, n.given)
		}
	})
}

// Where machines do not reach each other, that is found out once and not by each.
func TestWithoutANetworkBetweenMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{broken: func(string, string) bool { return true }}
		if took := n.serve(t, 32, 32); n.sent != 32 || took > 40*time.Second {
			t.Errorf("sent %d times, in %s", n.sent, took)
		}
	})
}

// One that nobody reaches, and one that cannot offer, are passed by.
func TestOneGiverIsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{broken: func(from, _ string) bool { return from == "w0" || from == "w1" }, mute: map[string]bool{"w2": true}}
		if n.serve(t, 100, 32, "w3"); n.sent > 4 || n.given["w0"]+n.given["w1"]+n.given["w2"] > 0 {
			t.Errorf("sent %d times: %v", n.sent, n.given)
		}
	})
}

// One machine that reaches none of the others gets it from the operator.
func TestOneTakerIsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{broken: func(_, to string) bool { return to == "w9" }}
		if n.serve(t, 20, 32); n.sent > seeds+1 {
			t.Errorf("sent %d times", n.sent)
		}
	})
}

func TestAWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(10, nil, nil)
		for i := range seeds {
			if _, err := q.Turn(t.Context(), fmt.Sprint(i), nil); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("interrupted")) })
		if _, err := q.Turn(ctx, "late", nil); err == nil || err.Error() != "interrupted" {
			t.Error(err)
		}
	})
}

// A send of the operator's that fails lets the next begin.
func TestAFailedSeedIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(10, nil, nil)
		first, _ := q.Turn(t.Context(), "w0", nil)
		q.Turn(t.Context(), "w1", nil)
		time.AfterFunc(time.Second, func() { first.Done(errors.New("no space left")) })
		turn, err := q.Turn(t.Context(), "w2", nil)
		if err != nil || turn.From != nil {
			t.Errorf("%+v, %v", turn, err)
		}
	})
}
