package run

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience bounds the wait for leases that nobody renews; one lasts leaseFor.
const patience = leaseFor + 2*renewEvery

// outlive goes on from a take that ended with err: as long as the reason is a
// lease whose owner died, it takes again.
func (l *Lock) outlive(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for held := (*LockedError)(nil); errors.As(err, &held); held = nil {
		// What a minority granted must not stand in anybody's way meanwhile.
		if releaseErr := l.Release(); releaseErr != nil {
			return errors.Join(err, releaseErr)
		}
		l.on, l.unclear, l.generation = nil, nil, 0
		over, lookErr := l.outlast(ctx, held)
		if !over {
			return errors.Join(err, lookErr)
		}
		err = l.take(ctx)
	}
	return err
}

// outlast says whether a lease stands in the way no longer, once that is known.
func (l *Lock) outlast(ctx context.Context, held *LockedError) (over bool, err error) {
	on, err := l.env.Machine(held.Machine)
	if err != nil {
		return false, err
	}
	if l.env.Alive != nil {
		switch alive, known := l.env.Alive(held.Owner); {
		case known && alive:
			return false, nil
		case known:
			l.notice(held.Machine, fmt.Sprintf("the lock was %s's (%s), which no longer runs; taking it over", held.Owner, held.Reason))
			err := l.giveBack(ctx, on, held.generation)
			return err == nil, err
		}
	}
	l.notice(held.Machine, fmt.Sprintf("the cluster is being changed by %s (%s); waiting, %s at most, to see whether it is still alive",
		held.Owner, held.Reason, held.left.Round(time.Second)))
	for left := held.left; ; {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(time.Second):
		}
		present, err := l.agent(ctx, on, "show")
		switch {
		case err != nil:
			return false, err
		case !present.Held:
			return true, nil
		case present.Generation != held.generation || present.left() > left:
			return false, nil // it was renewed, or somebody came after it
		}
		left = present.left()
	}
}

func (l *Lock) notice(machine, text string) {
	if l.env.Observer != nil {
		l.env.Observer.Observe(Event{Time: time.Now(), Kind: Notice, Machine: machine, Action: text})
	}
}
