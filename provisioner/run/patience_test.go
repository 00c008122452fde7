package run

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// leased is a master whose lease somebody holds, and who does not say whether
// the holder lives.
func leased(until time.Duration) (*box, Env) {
	m1 := newBox("m1")
	m1.files[lockDir+"/generation"] = "3\n"
	m1.lease = map[string]string{"owner": "anna@laptop", "reason": "up", "until": time.Now().Add(until).Format(time.RFC3339Nano)}
	env := site(m1)
	env.Alive = nil
	return m1, env
}

func TestALeaseThatNobodyRenewsIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, env := leased(40 * time.Second)
		var told notices
		env.Observer = &told
		began := time.Now()
		lock, err := Acquire(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release()
		if took := time.Since(began); took < 39*time.Second || took > 42*time.Second || lock.generation != 4 {
			t.Errorf("after %s, with generation %d", took, lock.generation)
		}
		if said := told.said; len(said) != 1 || !strings.Contains(said[0], "m1: the cluster is being changed by anna@laptop (up); waiting, 40s at most") {
			t.Errorf("said %q", said)
		}
	})
}

func TestALeaseThatIsRenewedIsRespectedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m1, env := leased(55 * time.Second)
		renewal := time.AfterFunc(10*time.Second, func() {
			m1.mu.Lock()
			defer m1.mu.Unlock()
			m1.lease["until"] = time.Now().Add(time.Minute).Format(time.RFC3339Nano)
		})
		defer renewal.Stop()
		began := time.Now()
		_, err := Acquire(t.Context(), env)
		var locked *LockedError
		if !errors.As(err, &locked) || time.Since(began) > 15*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if m1.lease["owner"] != "anna@laptop" {
			t.Error("the lease is gone")
		}
	})
}

func TestWaitingForALeaseCanBeInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m1, env := leased(time.Minute)
		ctx, interrupt := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { interrupt(errors.New("interrupted")) })
		if _, err := Acquire(ctx, env); err == nil || !strings.Contains(err.Error(), "interrupted") || m1.lease == nil {
			t.Errorf("error %v, lease %v", err, m1.lease)
		}
	})
}

func TestTheLeaseOfADeadRunIsTakenOver(t *testing.T) {
	m1, env := leased(time.Minute)
	env.Alive = func(owner string) (alive, known bool) { return false, owner == "anna@laptop" }
	lock, err := Acquire(t.Context(), env)
	if err != nil || lock.generation != 4 || m1.lease["owner"] != "test" {
		t.Fatalf("error %v, lease %v", err, m1.lease)
	}
	if err := lock.Release(); err != nil || m1.lease != nil {
		t.Errorf("error %v, lease %v", err, m1.lease)
	}
}

// A run that was taken over is refused, by the generation, should it live after all.
func TestABrokenLockIsFenced(t *testing.T) {
	m1, env := leased(time.Minute)
	holder, err := Holds(t.Context(), m1, "/agent")
	if err != nil || holder == nil || holder.Owner != "anna@laptop" || holder.Left < 50*time.Second {
		t.Fatalf("holder %+v, error %v", holder, err)
	}
	if err := errors.Join(holder.Break(t.Context(), m1, "/agent"), holder.Fence(t.Context(), m1, "/agent")); err != nil {
		t.Fatal(err)
	}
	if m1.lease != nil || m1.files[lockDir+"/generation"] != "4\n" {
		t.Errorf("lease %v, generation %s", m1.lease, m1.files[lockDir+"/generation"])
	}
	if holder, err := Holds(t.Context(), m1, "/agent"); holder != nil || err != nil {
		t.Errorf("holder %+v, error %v", holder, err)
	}
	lock, err := Acquire(t.Context(), env)
	if err != nil || lock.generation != 5 {
		t.Fatalf("error %v", err)
	}
	lock.Release()
}

// upload is an action that may end in its middle.
type upload struct{ step }

func (upload) Interruptible() bool { return true }

func TestAnUploadEndsAtOnceAndIsNoFailure(t *testing.T) {
	m1 := newBox("m1")
	ctx, interrupt := context.WithCancelCause(t.Context())
	slow := upload{step{name: "upload", apply: func(ctx context.Context, _ *box) error {
		interrupt(errors.New("interrupted"))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Second):
			return nil
		}
	}}}
	p := phases("one", stage("x", job("m1", slow, step{name: "never"})))
	env := site(m1)
	env.Grace = time.Minute
	env.Replan = same(p)
	var told notices
	env.Observer = &told
	began := time.Now()
	err := Apply(ctx, p, env)
	if err == nil || err.Error() != "stopped in x: interrupted" || time.Since(began) > 3*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	said := slices.Sorted(slices.Values(told.said))
	if len(said) != 2 || !strings.Contains(said[0], "once more ends at once") || said[1] != "m1: upload stopped" {
		t.Errorf("said %q", said)
	}
	if m1.lease != nil {
		t.Error("the lock is still held")
	}
}

// notices collects the sentences that a run says, and what it says has not ended well.
type notices struct {
	mu   sync.Mutex
	said []string
}

func (n *notices) Observe(e Event) {
	text := e.Machine + ": " + e.Action
	switch e.Kind {
	default:
		return
	case Notice:
	case ActionStopped:
		text += " stopped"
	case ActionFailed:
		text += " failed"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, text)
}
