package run

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"provision/components"
)

// The lock is a lease on a majority of the masters, kept there by the agent. It
// is renewed while the run goes on, and carries a generation that only rises:
// a machine that has seen a higher one refuses the changes of an older run.
const (
	leaseFor   = 60 * time.Second
	renewEvery = 15 * time.Second
	lockDir    = components.State + "/lock"
)

// exitTaken is the agent's exit status for a lease that somebody else holds.
const exitTaken = 75

// LockedError is a lock that somebody else holds.
type LockedError struct {
	Machine    string
	Owner      string
	Reason     string
	generation uint64
	left       time.Duration
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s: the cluster is being changed by %s (%s); run again when that has ended, or break its lock with 'provision unlock'",
		e.Machine, e.Owner, e.Reason)
}

type lease struct {
	Owner      string `json:"owner"`
	Reason     string `json:"reason"`
	Generation uint64 `json:"generation"`
	// Held and Remaining say for how long it counts unless it is renewed.
	Held      bool    `json:"held"`
	Remaining float64 `json:"remaining_seconds"`
}

func (l lease) left() time.Duration { return time.Duration(l.Remaining * float64(time.Second)) }

// Lock is a held lock.
type Lock struct {
	env Env

	on         []components.Machine // masters that granted it
	unclear    []components.Machine // masters that may have granted it
	generation uint64
	stop       func()
	lost       context.Context // done, with its cause, when a renewal failed

	mu      sync.Mutex
	cleared map[string]bool // masters that this run cleaned, and that keep no lock since

	clock func() time.Duration
	until atomic.Int64 // by clock: the moment from which the masters may give the lease to others
}

// Acquire takes the lock and keeps renewing it until Release. A lease that its
// owner no longer renews is waited for, or given back where the owner is known
// to be gone; any other is a *LockedError.
func Acquire(ctx context.Context, env Env) (*Lock, error) {
	l := &Lock{env: env, generation: env.Generation, clock: awake, cleared: map[string]bool{}}
	if err := l.outlive(ctx, l.take(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), l.Release())
	}
	l.renew()
	if env.Observer != nil {
		env.Observer.Observe(Event{Time: time.Now(), Kind: LockHeld})
	}
	return l, nil
}

func (l *Lock) majority(n int) bool { return n > len(l.env.Masters)/2 }

// take asks the masters for the lease, with one generation for all of them. A
// master that does not answer is done without as long as a majority does.
func (l *Lock) take(ctx context.Context) error {
	masters, errs := l.answering(ctx)
	if !l.majority(len(masters)) {
		return errors.Join(errs...)
	}
	l.generation++
	asked := l.clock()
	for _, on := range masters {
		granted, err := l.agent(ctx, on, "acquire", "--owner", l.env.Owner, "--reason", l.env.Reason,
			"--ttl", leaseFor.String(), "--minimum-generation", strconv.FormatUint(l.generation, 10))
		locked := (*LockedError)(nil)
		switch {
		case err == nil && granted.Generation == l.generation:
			l.on = append(l.on, on)
			continue
		case err == nil:
			err = fmt.Errorf("%s: another run came and went at this very moment; run again", on.Name())
		}
		if errs = append(errs, err); !errors.As(err, &locked) {
			l.unclear = append(l.unclear, on)
		}
	}
	if !l.majority(len(l.on)) {
		return errors.Join(errs...)
	}
	l.until.Store(int64(asked + leaseFor))
	return nil
}

// answering returns the masters that say which generation they have seen, and
// sets the lock's own to the highest.
func (l *Lock) answering(ctx context.Context) (masters []components.Machine, errs []error) {
	for _, name := range l.env.Masters {
		on, err := l.env.Machine(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		generation, err := seen(ctx, on)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		l.generation = max(l.generation, generation)
		masters = append(masters, on)
	}
	return masters, errs
}

// agent runs one lock command on a machine and returns the lease it prints.
func (l *Lock) agent(ctx context.Context, on components.Machine, verb string, args ...string) (lease, error) {
	argv := append([]string{l.env.Agent, "lock", verb, "--dir", lockDir}, args...)
	out, err := on.Run(ctx, argv, nil)
	var present lease
	var exit *components.ExitError
	if verb == "acquire" && errors.As(err, &exit) && exit.Code == exitTaken && json.Unmarshal(out, &present) == nil {
		return present, &LockedError{
			Machine: on.Name(), Owner: present.Owner, Reason: present.Reason,
			generation: present.Generation, left: present.left(),
		}
	}
	if err == nil {
		err = json.Unmarshal(out, &present)
	}
	if err != nil {
		return lease{}, fmt.Errorf("%s: %w", on.Name(), err)
	}
	return present, nil
}

// renew keeps the lease until Release, and ends l.lost when a majority is gone.
func (l *Lock) renew() {
	lost, lose := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	l.lost = lost
	ticker := time.NewTicker(renewEvery)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if err := l.renewOnce(); err != nil {
					lose(err)
					return
				}
			}
		}
	}()
	l.stop = func() { close(done); <-ended; lose(nil) }
}

// without goes on without a machine that was cleaned, and with it of its share: the
// majority is one of those masters that are left.
func (l *Lock) without(machine string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.env.Masters, machine) {
		l.cleared[machine] = true
	}
}

func (l *Lock) renewOnce() error {
	ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
	defer cancel()
	asked := l.clock()
	errs := each(l.on, func(on components.Machine) error {
		_, err := l.agent(ctx, on, "renew", "--ttl", leaseFor.String(), "--generation", strconv.FormatUint(l.generation, 10))
		return err
	})
	l.mu.Lock() // after they were asked: one may have been cleaned meanwhile
	kept, left := 0, len(l.env.Masters)-len(l.cleared)
	for i, err := range errs {
		if err == nil && !l.cleared[l.on[i].Name()] {
			kept++
		}
	}
	l.mu.Unlock()
	if left > 0 && kept <= left/2 {
		return fmt.Errorf("lock: lost: %d of %d masters keep it: %w", kept, left, cmp.Or(errors.Join(errs...), errors.New("the others were taken away")))
	}
	l.until.Store(int64(asked + leaseFor))
	return nil
}

// each asks machines side by side: one that keeps silent must not use up the
// time of the others.
func each(machines []components.Machine, ask func(components.Machine) error) []error {
	errs := make([]error, len(machines))
	var all sync.WaitGroup
	for i, on := range machines {
		all.Go(func() { errs[i] = ask(on) })
	}
	all.Wait()
	return errs
}

// enter makes a machine remember the generation, before its first change.
func (l *Lock) enter(ctx context.Context, on components.Machine) error {
	_, err := l.agent(ctx, on, "check", "--generation", strconv.FormatUint(l.generation, 10))
	if exit := (*components.ExitError)(nil); errors.As(err, &exit) && exit.Code == exitTaken {
		if older := l.check(ctx, on); older != nil {
			return older // the same in words for people
		}
	}
	return err
}

// check makes sure, before a change, that the lock is still ours here. The
// generation alone does not: a computer that slept wakes up beside a new owner
// who has not come to this machine yet, and whose plan rests on what is there.
func (l *Lock) check(ctx context.Context, on components.Machine) error {
	if l.lost.Err() != nil {
		return context.Cause(l.lost)
	}
	if late := l.clock() - time.Duration(l.until.Load()); late >= 0 {
		return fmt.Errorf("lock: it ran out %s ago, unrenewed: this computer slept, or did not reach the masters; another run may have begun, so run again",
			late.Round(time.Second))
	}
	generation, err := seen(ctx, on)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if generation > l.generation {
		return fmt.Errorf("lock: a later run (generation %d, ours is %d) has changed this machine, or 'provision unlock' broke this one's lock",
			generation, l.generation)
	}
	return nil
}

// seen reads the highest generation that a machine knows; 0 where none.
func seen(ctx context.Context, on components.Machine) (uint64, error) {
	text, err := on.ReadFile(ctx, path.Join(lockDir, "generation"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	generation, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: not a generation", path.Join(lockDir, "generation"))
	}
	return generation, nil
}

// Release gives the lease back, also when only some masters granted it.
func (l *Lock) Release() error {
	if l.stop != nil {
		l.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
	defer cancel()
	errs := each(l.on, func(on components.Machine) error {
		if generation, err := seen(ctx, on); err == nil && generation == 0 {
			return nil // the run took the lock away with everything else
		}
		return l.giveBack(ctx, on, l.generation)
	})
	each(l.unclear, func(on components.Machine) error {
		present, err := l.agent(ctx, on, "show")
		if err != nil || present.Owner != l.env.Owner {
			return err // nothing of ours, or it will run out
		}
		return l.giveBack(ctx, on, present.Generation)
	})
	return errors.Join(errs...)
}

// ended is an error of a connection that is no more.
type ended interface {
	error
	ConnectionEnded()
}

func (l *Lock) giveBack(ctx context.Context, on components.Machine, generation uint64) error {
	_, err := l.agent(ctx, on, "release", "--generation", strconv.FormatUint(generation, 10))
	if _, lost := errors.AsType[ended](err); lost {
		return nil // the run's own error says so, and the lease runs out
	}
	if err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}
