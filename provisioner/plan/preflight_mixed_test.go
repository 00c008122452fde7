package plan

import (
	"strings"
	"testing"
	"testing/synctest"

	"provision/components"
	"provision/components/componentstest"
)

// The pre-shared key and the bundle change one after the other, in either order, and
// also where a run of one was broken off.
func TestThePresharedKeyDoesNotChangeWithTheBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1")
		old, next := of(c, "1.35.4"), of(c, "1.36.3")
		s := site(c)
		if _, err := upgradeOnce(t, old, s); err != nil {
			t.Fatal(err)
		}
		both := next
		both.Overlay.PSK = true
		refused := func(what string) {
			t.Helper()
			want := "m1: its overlay is to have psk = true, and the bundle " + old.Bundle.ID + " is to become " + next.Bundle.ID
			if problems := Preflight(both, look(s)); len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), want) {
				t.Errorf("%s: %v", what, problems)
			}
		}
		refused("both at once")
		found := look(s)
		for name, f := range found.Machines {
			f.Units = nil
			found.Machines[name] = f
		}
		if problems := Mixed(both, found); problems != nil {
			t.Errorf("a new cluster: %v", problems)
		}

		s.Machines["w1"].Fail = func(effect string) error {
			if strings.HasSuffix(effect, "write /etc/systemd/system/provision-kubelet.service") {
				return errDied
			}
			return nil
		}
		if _, err := upgradeOnce(t, next, s); err == nil {
			t.Fatal("it was not broken off")
		}
		refused("in the middle of an upgrade")
		s.Machines["w1"].Fail = nil
		for _, psk := range []bool{false, true} {
			next.Overlay.PSK = psk
			if _, err := upgradeOnce(t, next, s); err != nil {
				t.Fatal(err)
			}
		}
		if !look(s).Machines["w1"].Preshared {
			t.Error("w1 does not have the key")
		}

		// One that was off all the while is brought along.
		found = look(s)
		f := found.Machines["w1"]
		units := f.Units
		f.Units = map[string]components.UnitFact{}
		for name, unit := range units {
			if unit.Bundle != "" {
				unit.Bundle = old.Bundle.ID
			}
			f.Units[name] = unit
		}
		f.Preshared = false
		found.Machines["w1"] = f
		if problems := Mixed(next, found); problems != nil {
			t.Errorf("a machine that comes back: %v", problems)
		}
		// Out of use is a change as well.
		both.Overlay.PSK, both.Bundle.ID, both.Version = false, "1.36.4-0123456789ab", "1.36.4"
		if problems := Preflight(both, look(s)); len(problems) != 1 || !strings.Contains(problems[0].Text, "psk = false") {
			t.Errorf("switched off: %v", problems)
		}
	})
}
