package plan

import (
	"testing"
	"testing/synctest"
	"time"

	"provision/components/componentstest"
)

func TestTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1")
		old, next := of(c, "1.35.4"), of(c, "1.36.3")
		s := site(c)
		if _, err := WayBack(next, look(s)); err == nil {
			t.Error("there is a way back from nothing")
		}
		if _, err := upgradeOnce(t, old, s); err != nil {
			t.Fatal(err)
		}
		if back, err := WayBack(next, look(s)); err == nil {
			t.Errorf("a cluster that was never upgraded goes back to %+v", back)
		}
		if _, err := upgradeOnce(t, next, s); err != nil {
			t.Fatal(err)
		}
		back, err := WayBack(next, look(s))
		if err != nil || back != (Back{Bundle: old.Bundle.ID, Version: "1.35.4", Machine: "m1", Present: "1.36.3", Finalised: true}) {
			t.Fatalf("got %+v, %v", back, err)
		}
		now := time.Now()
		from := Snapshot{"m2", "upgrade-20260101T000000Z.db"}
		for _, phase := range []string{"machines", "back", "cluster", "kubelets"} {
			for _, planned := range RollBack(old, look(s), from, now).Phases {
				if planned.Name != phase {
					continue
				}
				for machine, action := range (Plan{Phases: []Phase{planned}}).all() {
					if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
						t.Fatalf("%s: %s: %v", machine, action, err)
					}
				}
			}
		}
		for name, m := range s.Machines {
			if f := m.Facts(); kubeletBundle(f) != old.Bundle.ID || unsettled(f) {
				t.Errorf("%s runs %s", name, kubeletBundle(f))
			}
		}
		if problems := Preflight(old, look(s)); problems != nil {
			t.Error(problems)
		}
		if left := Make(old, look(s), now); !left.Empty() {
			t.Errorf("left to do: %+v", left)
		}
	})
}

func TestNewer(t *testing.T) {
	for _, pair := range [][2]string{{"1.36.10", "1.36.9"}, {"1.36.0", "1.35.12"}, {"1.36.3", ""}} {
		if !newer(pair[0], pair[1]) || newer(pair[1], pair[0]) {
			t.Error(pair)
		}
	}
}
