// Package lock is one machine's part of the cluster's lock: a lease with an
// owner, an expiry and a generation that only rises.
//
// It decides for one machine. That a majority of the masters must agree, and
// when to renew, is provisioner/run's affair; so is asking every machine, worker
// or master, to remember the generation before the first change to it (Check).
package lock

import (
	"fmt"
	"time"
)

// Lease is who may change the cluster, until when.
type Lease struct {
	Owner      string `json:"owner"`
	Reason     string `json:"reason"`
	Generation uint64 `json:"generation"`
	// Expires is on the machine's boot clock, which runs through suspend and
	// which nobody sets: nanoseconds of CLOCK_BOOTTIME in the boot named.
	Expires time.Duration `json:"expires"`
	Boot    string        `json:"boot_id"`
}

// clock is the machine's boot clock at one moment.
type clock struct {
	boot string
	now  time.Duration
}

// left is how long the lease still counts. One of another boot does not: its
// clock is gone, and so is whatever its owner was doing here.
func (l Lease) left(at clock) time.Duration {
	if l.Owner == "" || l.Boot != at.boot || l.Expires <= at.now {
		return 0
	}
	return l.Expires - at.now
}

// state is what is on disk.
type state struct {
	lease      Lease  // zero where there is none
	generation uint64 // the highest seen here; never falls
}

// RefusedError is a request that the present lease or generation forbids.
type RefusedError struct {
	Why string
}

func (e *RefusedError) Error() string { return e.Why }

// ExitCode is EX_TEMPFAIL: ask again later.
func (e *RefusedError) ExitCode() int { return 75 }

func refuse(format string, args ...any) error {
	return &RefusedError{fmt.Sprintf(format, args...)}
}

// acquire gives the lease to a new owner, with a generation that is higher than
// any seen here and at least minimum.
func (s state) acquire(owner, reason string, ttl time.Duration, minimum uint64, at clock) (state, error) {
	if left := s.lease.left(at); left > 0 {
		return s, refuse("held by %s (%s) for another %s", s.lease.Owner, s.lease.Reason, left.Round(time.Second))
	}
	s.generation = max(s.generation+1, minimum)
	s.lease = Lease{Owner: owner, Reason: reason, Generation: s.generation, Expires: at.now + ttl, Boot: at.boot}
	return s, nil
}

// renew extends the lease of a generation. That it ran out, or that the machine
// was restarted, does no harm as long as nobody else came: whoever had come
// would have raised the generation.
func (s state) renew(generation uint64, ttl time.Duration, at clock) (state, error) {
	if s.lease.Owner == "" || s.lease.Generation != generation || s.generation != generation {
		return s, refuse("generation %d is no longer the lease's", generation)
	}
	s.lease.Expires, s.lease.Boot = at.now+ttl, at.boot
	return s, nil
}

// release ends the lease of a generation. Where there is none any more, that
// is what was wanted; another's stays.
func (s state) release(generation uint64) (state, error) {
	if s.lease.Owner != "" && s.lease.Generation != generation {
		return s, refuse("generation %d is no longer the lease's", generation)
	}
	s.lease = Lease{}
	return s, nil
}

// check remembers a generation, and refuses one below the highest seen.
func (s state) check(generation uint64) (state, error) {
	if generation < s.generation {
		return s, refuse("generation %d is older than %d, which has changed this machine", generation, s.generation)
	}
	s.generation = generation
	return s, nil
}
