package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"provision/components"
)

func three() (m1, m2, m3 *box, env Env) {
	m1, m2, m3 = newBox("m1"), newBox("m2"), newBox("m3")
	env = site(m1, m2, m3)
	env.Masters = []string{"m1", "m2", "m3"}
	return m1, m2, m3, env
}

func TestTheLockDoesWithoutAMasterThatKeepsSilent(t *testing.T) {
	m1, m2, m3, env := three()
	m2.silent = errors.New("the connection was lost")
	m3.files[lockDir+"/generation"] = "6\n"
	lock, err := Acquire(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if lock.generation != 7 || m1.lease == nil || m2.lease != nil || m3.lease == nil {
		t.Errorf("generation %d, leases %v, %v, %v", lock.generation, m1.lease, m2.lease, m3.lease)
	}
	if err := lock.Release(); err != nil || m1.lease != nil || m3.lease != nil {
		t.Errorf("released with %v, leases %v, %v", err, m1.lease, m3.lease)
	}
}

func TestTheLockIsNotHeldByAMinority(t *testing.T) {
	m1, m2, m3, env := three()
	m2.silent = errors.New("the connection was lost")
	m3.lease = map[string]string{"owner": "anna@laptop"}
	_, err := Acquire(t.Context(), env)
	var locked *LockedError
	if !errors.As(err, &locked) || !strings.Contains(err.Error(), "m2: the connection was lost") {
		t.Errorf("error %v", err)
	}
	if m1.lease != nil || m3.lease == nil {
		t.Errorf("leases %v, %v", m1.lease, m3.lease)
	}
}

// TestALeaseOfAnotherGenerationIsGivenBack is two runs at the same moment: the
// other comes and goes between our look and our request.
func TestALeaseOfAnotherGenerationIsGivenBack(t *testing.T) {
	m1 := newBox("m1")
	m1.before = func(verb string) {
		if verb == "acquire" {
			m1.files[lockDir+"/generation"] = "4\n"
		}
	}
	if _, err := Acquire(t.Context(), site(m1)); err == nil || !strings.Contains(err.Error(), "run again") {
		t.Errorf("error %v", err)
	}
	if m1.lease != nil {
		t.Errorf("the lease stays: %v", m1.lease)
	}
}

func TestALeaseThatMayHaveBeenGrantedIsGivenBack(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	m1 := newBox("m1")
	m1.after = func(verb string) error {
		if verb != "acquire" {
			return nil
		}
		interrupt()
		return ctx.Err()
	}
	if _, err := Acquire(ctx, site(m1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if m1.lease != nil {
		t.Errorf("the lease stays: %v", m1.lease)
	}
}

func TestALostConnectionFreesNobodyElsesLease(t *testing.T) {
	m1 := newBox("m1")
	m1.after = func(verb string) error {
		if verb == "acquire" {
			m1.lease["owner"] = "anna@laptop"
			return errors.New("the connection was lost")
		}
		return nil
	}
	if _, err := Acquire(t.Context(), site(m1)); err == nil || m1.lease == nil {
		t.Errorf("error %v, lease %v", err, m1.lease)
	}
}

func TestAnOldGenerationIsNoForeignLease(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	lock, err := Acquire(t.Context(), site(m1, w1))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	w1.after = func(string) error {
		return &components.ExitError{Code: exitTaken, Stderr: []byte("generation 1 is older than 2")}
	}
	if err := lock.enter(t.Context(), w1); err == nil || !strings.Contains(err.Error(), "is older than") {
		t.Errorf("error %v", err)
	}
}

// A worker that was off while down cleaned the masters remembers what they forgot.
func TestTheLockIsNewerThanWhatAnyMachineHasSeen(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	env := site(m1, w1)
	env.Generation = 7
	lock, err := Acquire(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if lock.generation != 8 {
		t.Errorf("generation %d", lock.generation)
	}
}

// A computer that slept wakes up with its lease run out and no renewal due yet.
func TestALeaseThatRanOutWhileTheComputerSlept(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	lock, err := Acquire(t.Context(), site(m1, w1))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	slept := time.Duration(0)
	lock.clock = func() time.Duration { return awake() + slept }
	slept = leaseFor - 5*time.Second
	if err := lock.check(t.Context(), w1); err != nil {
		t.Errorf("before its end: %v", err)
	}
	slept = leaseFor + 30*time.Minute
	if err := lock.check(t.Context(), w1); err == nil || !strings.Contains(err.Error(), "ran out 30m0s ago") {
		t.Errorf("after its end: %v", err)
	}
	if err := lock.renewOnce(); err != nil {
		t.Fatal(err)
	}
	if err := lock.check(t.Context(), w1); err != nil {
		t.Errorf("renewed, as nobody came in between: %v", err)
	}
}

func TestTheLeasesClockGoesOn(t *testing.T) {
	before := awake()
	time.Sleep(20 * time.Millisecond)
	if passed := awake() - before; passed < 20*time.Millisecond || passed > 10*time.Second {
		t.Errorf("%s passed in 20 ms", passed)
	}
}

func TestABrokenLockIsSaidInWords(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	lock, err := Acquire(t.Context(), site(m1, w1))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	w1.after = func(string) error {
		w1.files[lockDir+"/generation"] = "2\n"
		return &components.ExitError{Code: exitTaken, Stderr: []byte("generation 1 is older than 2")}
	}
	const want = "lock: a later run (generation 2, ours is 1) has changed this machine, or 'provision unlock' broke this one's lock"
	if err := lock.enter(t.Context(), w1); err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
}

// cut is the error of a connection that ended.
type cut struct{ error }

func (cut) ConnectionEnded() {}

func TestALostConnectionIsNotLamentedByTheUnlock(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"lost", fmt.Errorf("m1: %w", cut{errors.New("the connection was lost")}), ""},
		{"other", errors.New("no space left"), "unlock: "},
	} {
		m1 := newBox("m1")
		lock, err := Acquire(t.Context(), site(m1))
		if err != nil {
			t.Fatal(err)
		}
		m1.after = func(string) error { return test.err }
		err = lock.Release()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
