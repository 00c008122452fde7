// Package fanout decides from whom each machine gets the agent, or the bundle, so that
// the operator's link carries it a few times, however many machines there are: the
// first get it from the operator, and every machine that has it hands it on to the
// next, a few at once.
//
// It knows names and outcomes alone. Whoever cannot reach another machine, or is
// given something else there, gets it from the operator: no
// network between machines is needed, it is only used.
package fanout

import (
	"context"
	"errors"
	"slices"
	"sync"

	"provision/components"
	"provision/components/handover"
)

const (
	// Few machines all get it from the operator.
	Few = 3
	// seeds is how many the operator sends to at once, while no machine has it.
	seeds = 2
	// each is how many takers a machine has at once.
	each = 2
	// tries is how many machines are tried before the operator is asked.
	tries = 2
	// doubt is how many takers that got nothing, where nobody got anything yet, mean
	// that these machines do not reach each other.
	doubt = 4
)

// Offer has a machine offer it to one other, and says where; end takes the
// offer back.
type Offer func(ctx context.Context, from string, without map[string]bool) (source handover.Source, end func(), err error)

// Queue is the machines that need it. It is safe for concurrent use.
type Queue struct {
	needed int
	offer  Offer

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when something below has changed
	seeding int           // sends of the operator's under way, of those that wait for each other
	givers  []*giver
	tried   map[string][]string // by taker: givers that it got nothing from
	failed  int                 // takers that got nothing, while none got anything
	worked  bool                // somebody got it from another machine
}

// giver is a machine that has it.
type giver struct {
	name   string
	takers int
	served int // well
	failed int
}

// New is a queue for so many machines; holders have it already.
func New(needed int, holders []string, offer Offer) *Queue {
	q := &Queue{needed: needed, offer: offer, changed: make(chan struct{}), tried: map[string][]string{}}
	for _, name := range holders {
		q.givers = append(q.givers, &giver{name: name})
	}
	return q
}

// Turn waits until it is a machine's turn. The error is ctx's cause.
func (q *Queue) Turn(ctx context.Context, taker string, have map[string]bool) (components.Turn, error) {
	for {
		turn, giver, wait := q.next(taker)
		switch {
		case turn != nil:
			return *turn, nil
		case giver == nil:
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return components.Turn{}, context.Cause(ctx)
			}
		}
		source, end, err := q.offer(ctx, giver.name, have)
		if err == nil {
			return components.Turn{From: &source, Done: func(err error) {
				end() // first: until then the giver has this taker, and is given no more than it may
				q.taken(giver, taker, err)
			}}, nil
		}
		q.refused(giver)
		if ctx.Err() != nil {
			return components.Turn{}, context.Cause(ctx)
		}
	}
}

// next is a turn of the operator's, or a machine to ask, or a wait.
func (q *Queue) next(taker string) (*components.Turn, *giver, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.needed <= Few || len(q.tried[taker]) >= tries || !q.worked && q.failed >= doubt {
		return &components.Turn{Done: func(err error) { q.sent(taker, err, 0) }}, nil, nil
	}
	chosen, others := q.choose(taker)
	switch {
	case chosen != nil:
		chosen.takers++
		return nil, chosen, nil
	case !others && q.seeding < seeds:
		q.seeding++
		return &components.Turn{Done: func(err error) { q.sent(taker, err, 1) }}, nil, nil
	}
	return nil, nil, q.changed
}

// choose returns the giver with the fewest takers, and whether any could be one
// for this taker, now or later.
func (q *Queue) choose(taker string) (chosen *giver, others bool) {
	for _, g := range q.givers {
		if g.name == taker || slices.Contains(q.tried[taker], g.name) {
			continue
		}
		others = true
		if g.takers < each && (chosen == nil || g.takers < chosen.takers) {
			chosen = g
		}
	}
	return chosen, others
}

// sent is the end of a send of the operator's.
func (q *Queue) sent(taker string, err error, seeding int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seeding -= seeding
	q.holds(taker, err)
	q.tell()
}

// taken is the end of a transfer between machines. What is wrong on the taker's own
// side says nothing of the giver.
func (q *Queue) taken(from *giver, taker string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from.takers--
	switch {
	case err == nil:
		from.served++
		q.worked = true
	case errors.As(err, new(handover.Problem)):
		from.failed++
		q.failed++
		q.tried[taker] = append(q.tried[taker], from.name)
		if from.served == 0 && from.failed >= tries {
			q.drop(from)
		}
	}
	q.holds(taker, err)
	q.tell()
}

// refused is a machine that cannot offer anything.
func (q *Queue) refused(from *giver) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from.takers--
	q.drop(from)
	q.tell()
}

func (q *Queue) holds(taker string, err error) {
	if err == nil {
		q.givers = append(q.givers, &giver{name: taker})
	}
}

func (q *Queue) drop(from *giver) {
	q.givers = slices.DeleteFunc(q.givers, func(g *giver) bool { return g == from })
}

// tell wakes whoever waits.
func (q *Queue) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}
