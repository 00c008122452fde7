package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
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
	Machine string
	Owner   string
	Reason  string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s: the cluster is being changed by %s (%s); wait for it to end, or if it died, for its lease to run out (%s)",
		e.Machine, e.Owner, e.Reason, leaseFor)
}

type lease struct {
	Owner      string `json:"owner"`
	Reason     string `json:"reason"`
	Generation uint64 `json:"generation"`
}

// Lock is a held lock.
type Lock struct {
	env        Env
	on         []components.Machine // masters that granted it
	generation uint64
	stop       func()
	lost       context.Context // done, with its cause, when a renewal failed
}

// Acquire takes the lock and keeps renewing it until Release.
func Acquire(ctx context.Context, env Env) (*Lock, error) {
	var masters []components.Machine
	var errs []error
	for _, name := range env.Masters {
		on, err := env.Machine(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		masters = append(masters, on)
	}
	l := &Lock{env: env}
	highest, err := l.highest(ctx, masters)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	l.generation = highest + 1
	for _, on := range masters {
		_, err := l.agent(ctx, on, "acquire", "--owner", env.Owner, "--reason", env.Reason,
			"--ttl", leaseFor.String(), "--minimum-generation", strconv.FormatUint(l.generation, 10))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l.on = append(l.on, on)
	}
	if !l.majority(len(l.on)) {
		return nil, errors.Join(l.Release(), fmt.Errorf("lock: %w", errors.Join(errs...)))
	}
	l.renew()
	if env.Observer != nil {
		env.Observer.Observe(Event{Time: time.Now(), Kind: LockHeld})
	}
	return l, nil
}

func (l *Lock) majority(n int) bool { return n > len(l.env.Masters)/2 }

// highest returns the highest generation that any master has seen.
func (l *Lock) highest(ctx context.Context, masters []components.Machine) (uint64, error) {
	var highest uint64
	for _, on := range masters {
		generation, err := seen(ctx, on)
		if err != nil {
			return 0, err
		}
		highest = max(highest, generation)
	}
	return highest, nil
}

// agent runs one lock command on a machine and returns the lease it prints.
func (l *Lock) agent(ctx context.Context, on components.Machine, verb string, args ...string) (lease, error) {
	argv := append([]string{l.env.Agent, "lock", verb, "--dir", lockDir}, args...)
	out, err := on.Run(ctx, argv, nil)
	var present lease
	if exit := (*components.ExitError)(nil); errors.As(err, &exit) && exit.Code == exitTaken && json.Unmarshal(out, &present) == nil {
		return present, &LockedError{Machine: on.Name(), Owner: present.Owner, Reason: present.Reason}
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

func (l *Lock) renewOnce() error {
	ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
	defer cancel()
	kept := 0
	var errs []error
	for _, on := range l.on {
		if _, err := l.agent(ctx, on, "renew", "--ttl", leaseFor.String(), "--generation", strconv.FormatUint(l.generation, 10)); err != nil {
			errs = append(errs, err)
			continue
		}
		kept++
	}
	if !l.majority(kept) {
		return fmt.Errorf("lock: lost: %w", errors.Join(errs...))
	}
	return nil
}

// enter makes a machine remember the generation, before its first change.
func (l *Lock) enter(ctx context.Context, on components.Machine) error {
	_, err := l.agent(ctx, on, "check", "--generation", strconv.FormatUint(l.generation, 10))
	return err
}

// check makes sure, before a change, that the lock is still ours here.
func (l *Lock) check(ctx context.Context, on components.Machine) error {
	if l.lost.Err() != nil {
		return context.Cause(l.lost)
	}
	generation, err := seen(ctx, on)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if generation > l.generation {
		return fmt.Errorf("lock: a later run (generation %d, ours is %d) has changed this machine", generation, l.generation)
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
		return 0, fmt.Errorf("%s: %s: not a generation", on.Name(), path.Join(lockDir, "generation"))
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
	var errs []error
	for _, on := range l.on {
		if generation, err := seen(ctx, on); err == nil && generation == 0 {
			continue // the run took the lock away with everything else
		}
		if _, err := l.agent(ctx, on, "release", "--generation", strconv.FormatUint(l.generation, 10)); err != nil {
			errs = append(errs, fmt.Errorf("unlock: %w", err))
		}
	}
	return errors.Join(errs...)
}
