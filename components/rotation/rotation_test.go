package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/overlay"
)

// mesh is machines whose agents learn of keys after a while, as the API lets them.
type mesh struct {
	components.Site
	machines map[string]*machine
	learn    time.Duration
}

func (m *mesh) Machine(name string) (components.Machine, error) {
	if on, there := m.machines[name]; there {
		return on, nil
	}
	return nil, errors.New(name + ": no route to host")
}

type machine struct {
	mesh      *mesh
	name      string
	key, next overlay.Key
	told      time.Time // when the keys last changed
	steps     []string
	deaf      bool // its agent learns nothing
}

func newMesh(names ...string) *mesh {
	m := &mesh{machines: map[string]*machine{}, learn: 2 * time.Second}
	for i, name := range names {
		m.machines[name] = &machine{mesh: m, name: name, key: overlay.Key{byte(i + 1)}}
	}
	return m
}

func (m *machine) Name() string { return m.name }

func (m *machine) Run(_ context.Context, argv []string, _ io.Reader) ([]byte, error) {
	m.steps = append(m.steps, strings.Join(argv[1:], " "))
	switch argv[3] {
	case "prepare":
		if m.next == (overlay.Key{}) {
			m.next, m.told = overlay.Key{m.key[0] + 100}, time.Now()
		}
		return []byte(m.next.String() + "\n"), nil
	default:
		m.key, m.next, m.told = m.next, overlay.Key{}, time.Now()
		return []byte(m.key.String() + "\n"), nil
	}
}

// ReadFile gives the status: what it knows of itself at once, of others later.
func (m *machine) ReadFile(_ context.Context, name string) ([]byte, error) {
	if name != overlay.StatusFile {
		return nil, fs.ErrNotExist
	}
	s := overlay.Status{Node: m.name, PublicKey: m.key, NextKey: m.next, Announced: time.Since(m.told) >= m.mesh.learn/2}
	for _, other := range m.mesh.machines {
		if other == m {
			continue
		}
		p := overlay.PeerStatus{Name: other.name, Key: overlay.Key{99}}
		if time.Since(other.told) >= m.mesh.learn && !m.deaf {
			p.Key, p.NextKey, p.Handshake = other.key, other.next, time.Now()
		}
		s.Peers = append(s.Peers, p)
	}
	return json.Marshal(s)
}

func (m *machine) WriteFile(context.Context, string, fs.FileMode, []byte) error {
	return errors.New("not expected")
}

func rotate(t *testing.T, m *mesh, name string, others ...string) error {
	t.Helper()
	for _, action := range Actions("/agent", others) {
		if err := action.Apply(t.Context(), m.machines[name], m); err != nil {
			return err
		}
	}
	return nil
}

func TestTheOthersKnowBeforeTheKeyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh("m1", "w1", "w2")
		start := time.Now()
		if err := rotate(t, m, "w1", "m1", "w2"); err != nil {
			t.Fatal(err)
		}
		w1 := m.machines["w1"]
		if w1.key != (overlay.Key{102}) || w1.next != (overlay.Key{}) || strings.Join(w1.steps, ", ") != "overlay rotate prepare, overlay rotate commit" {
			t.Errorf("key %v, %q", w1.key, w1.steps)
		}
		if took := time.Since(start); took < 2*m.learn {
			t.Errorf("it took %v, and the others learn a key in %v", took, m.learn)
		}
		if len(m.machines["m1"].steps) > 0 {
			t.Error("another machine was touched")
		}
	})
}

// Killed after any step, what is left is done by beginning again.
func TestItGoesOnAfterAKill(t *testing.T) {
	for died := range 4 {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh("m1", "w1")
			for _, action := range Actions("/agent", []string{"m1"})[:died+1] {
				if err := action.Apply(t.Context(), m.machines["w1"], m); err != nil {
					t.Fatal(err)
				}
			}
			if err := rotate(t, m, "w1", "m1"); err != nil {
				t.Errorf("after %d actions: %v", died+1, err)
			}
			if w1 := m.machines["w1"]; w1.next != (overlay.Key{}) || w1.key[0] < 100 {
				t.Errorf("after %d actions: %v and then %v", died+1, w1.key, w1.next)
			}
		})
	}
}

// A key that somebody does not know does not take over, and he is named.
func TestWhoDoesNotKnowIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh("m1", "w1", "w2", "w3")
		m.machines["w2"].deaf = true
		delete(m.machines, "w3")
		err := rotate(t, m, "w1", "m1", "w2", "w3")
		const want = "after 30s: not every machine knows the next key: w2, w3 (w3: no route to host)"
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if w1 := m.machines["w1"]; w1.key != (overlay.Key{2}) {
			t.Errorf("the key took over: %v", w1.key)
		}
		m.machines["w2"].deaf = false
		if err := rotate(t, m, "w1", "m1", "w2"); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAPIThatIsAwayIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh("m1", "w1")
		m.learn = time.Hour
		if err := rotate(t, m, "w1", "m1"); err == nil || !strings.Contains(err.Error(), "is the API server away?") {
			t.Errorf("%v", err)
		}
	})
}

func TestWaitingEndsWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh("m1", "w1")
		m.machines["m1"].deaf = true
		m.machines["w1"].next = overlay.Key{5}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := AwaitKnown{By: []string{"m1"}}.Apply(ctx, m.machines["w1"], m)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
