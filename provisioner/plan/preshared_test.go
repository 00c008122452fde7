package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
	"provision/components/pki"
	"provision/overlay"
)

// carryOut does one plan after another as run does, and returns what was said.
func carryOut(t *testing.T, c components.Cluster, s *componentstest.Site) string {
	t.Helper()
	var told strings.Builder
	for _, phase := range []string{"agent", "machines", "cluster"} {
		p := Make(c, look(s), time.Now())
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		told.Write(text)
		at := slices.IndexFunc(p.Phases, func(p Phase) bool { return p.Name == phase })
		if at < 0 {
			continue
		}
		for machine, action := range (Plan{Phases: p.Phases[at : at+1]}).all() {
			fmt.Fprintf(&told, "%s: %#v: %s\n", machine, action, action)
			if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
				t.Fatalf("%s: %s: %v", machine, action, err)
			}
		}
	}
	for machine, action := range Make(c, look(s), time.Now()).all() {
		if _, wait := action.(addons.WaitReady); !wait {
			t.Errorf("left to do: %s: %s: %s", machine, action.Component(), action)
		}
	}
	return told.String()
}

// The key is born once, is the same everywhere, and is in no plan.
func TestPresharedKey(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2")
	s := site(c)
	carryOut(t, c, s)
	if _, there := s.Machines["w1"].File(components.PresharedKey); there {
		t.Fatal("a key that nobody asked for")
	}
	if p := Make(c, look(s), time.Now()); strings.Contains(fmt.Sprint(p), "pre-shared") {
		t.Errorf("the plan speaks of it: %v", p)
	}

	c.Overlay.PSK = true
	told := carryOut(t, c, s)
	if n := strings.Count(told, "the pre-shared key comes into use"); n < len(c.Machines) {
		t.Errorf("the interruption is named %d times:\n%s", n, told)
	}
	born := key(t, s, "m1")
	if told += carryOut(t, c, s); strings.Contains(told, strings.TrimSpace(born)) {
		t.Errorf("the key is in a plan:\n%s", told)
	}
	for _, name := range []string{"w1", "w2"} {
		if key(t, s, name) != born || s.Machines[name].Facts().Files[components.PresharedKey].Mode != 0o600 {
			t.Errorf("%s has another key, or for everybody", name)
		}
	}

	// One that is gone or another's is put right; the first master's is not made anew.
	s.Machines["w1"].Remove(components.PresharedKey)
	if err := s.Machines["w2"].WriteFile(t.Context(), components.PresharedKey, 0o600, overlay.NewPresharedKey().PresharedKeyText()); err != nil {
		t.Fatal(err)
	}
	carryOut(t, c, s)
	for _, name := range []string{"m1", "w1", "w2"} {
		if key(t, s, name) != born {
			t.Errorf("%s: the key did not come back", name)
		}
	}

	// To remove the only master's is to ask for another one, everywhere.
	s.Machines["m1"].Remove(components.PresharedKey)
	carryOut(t, c, s)
	next := key(t, s, "m1")
	if next == born || key(t, s, "w1") != next || key(t, s, "w2") != next {
		t.Error("the key was not changed on every machine")
	}

	c.Overlay.PSK = false
	if told := carryOut(t, c, s); !strings.Contains(told, "the pre-shared key goes out of use") {
		t.Errorf("switching it off is not named:\n%s", told)
	}
}

// With several masters a key that one of them lost comes back from another; where
// all have lost it, which is how it is changed, there is a new one.
func TestPresharedKeyOfSeveralMasters(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "w1")
	c.Overlay.PSK = true
	s := site(c)
	var places []string
	for machine, action := range Make(c, look(s), time.Now()).all() {
		if _, makes := action.(pki.MakePresharedKey); makes {
			places = append(places, machine)
		}
	}
	if !slices.Equal(places, []string{"m1"}) {
		t.Errorf("it is born on %v", places)
	}
	carryOut(t, c, s)
	born := key(t, s, "m1")
	s.Machines["m1"].Remove(components.PresharedKey)
	carryOut(t, c, s)
	for _, m := range c.Machines {
		if key(t, s, m.Name) != born {
			t.Errorf("%s: the key did not come back", m.Name)
		}
	}
	for _, m := range c.Masters() {
		s.Machines[m.Name].Remove(components.PresharedKey)
	}
	carryOut(t, c, s)
	next := key(t, s, "m1")
	for _, m := range c.Machines {
		if next == born || key(t, s, m.Name) != next {
			t.Errorf("%s: the key was not changed", m.Name)
		}
	}
}

// What a machine has in the place of a key is not passed on, and not quoted.
func TestWhatIsNoKeyStays(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	c.Overlay.PSK = true
	s := site(c)
	if err := s.Machines["m1"].WriteFile(t.Context(), components.PresharedKey, 0o600, []byte("hunter2\n")); err != nil {
		t.Fatal(err)
	}
	for machine, action := range Make(c, look(s), time.Now()).all() {
		if !strings.Contains(action.String(), "copy the overlay's pre-shared key from m1") {
			continue
		}
		err := action.Apply(t.Context(), s.Machines[machine], s)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), components.PresharedKey) {
			t.Errorf("%s: %v", machine, err)
		}
		if _, there := s.Machines["w1"].File(components.PresharedKey); there {
			t.Error("it was passed on")
		}
		return
	}
	t.Error("nobody copies")
}

func key(t *testing.T, s *componentstest.Site, machine string) string {
	t.Helper()
	text, there := s.Machines[machine].File(components.PresharedKey)
	if _, err := overlay.ParsePresharedKey(text); !there || err != nil {
		t.Fatalf("%s has no key: %v", machine, err)
	}
	return string(text)
}
