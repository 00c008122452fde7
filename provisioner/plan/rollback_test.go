package plan

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
	"provision/components/etcd"
	"provision/components/master"
	"provision/components/upgrade"
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
		from := keptOn(t, s, "m2")
		whole, _ := s.Machines["m2"].File(from.path())
		damage := slices.Clone(whole)
		damage[3] ^= 1
		for _, content := range [][]byte{damage, whole[:len(whole)-1], whole[:20], nil} {
			if err := s.Machines["m2"].WriteFile(t.Context(), from.path(), 0o600, content); err != nil {
				t.Fatal(err)
			}
			err := carry(t, RollBack(old, look(s), from, now), s)
			if err == nil || !strings.Contains(err.Error(), "is damaged or cut short") {
				t.Errorf("a snapshot of %d bytes: %v", len(content), err)
			}
			for name, m := range s.Machines {
				if f := m.Facts(); name != "w1" && (f.Etcd.Leader == "" || planeBundle(f) != next.Bundle.ID || f.Units[master.APIServer].Active != "active") {
					t.Errorf("%s: something was stopped for it: %+v", name, f.Etcd)
				}
			}
		}
		if err := s.Machines["m2"].WriteFile(t.Context(), from.path(), 0o600, whole); err != nil {
			t.Fatal(err)
		}
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

// keptOn is the snapshot that a master keeps of before the upgrade.
func keptOn(t *testing.T, s *componentstest.Site, machine string) Snapshot {
	t.Helper()
	out, err := s.Machines[machine].Run(t.Context(), []string{"find", etcd.SnapshotFolder}, nil)
	names := strings.Fields(string(out))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s keeps %q, %v", machine, names, err)
	}
	return Snapshot{machine, names[0]}
}

func TestNewer(t *testing.T) {
	for _, pair := range [][2]string{{"1.36.10", "1.36.9"}, {"1.36.0", "1.35.12"}, {"1.36.3", ""}} {
		if !newer(pair[0], pair[1]) || newer(pair[1], pair[0]) {
			t.Error(pair)
		}
	}
}

// upgraded is a cluster that was upgraded, with word of the old version left on masters,
// as a run leaves it that was killed while it finalised.
func upgraded(t *testing.T, emulating ...string) (old, next components.Cluster, found Facts) {
	t.Helper()
	c := componentstest.Cluster("m1", "m2", "m3", "w1")
	old, next = of(c, "1.35.4"), of(c, "1.36.3")
	s := site(c)
	for _, version := range []components.Cluster{old, next} {
		if _, err := upgradeOnce(t, version, s); err != nil {
			t.Fatal(err)
		}
	}
	found = look(s)
	for _, name := range emulating {
		f := found.Machines[name]
		f.Files = maps.Clone(f.Files)
		f.Files[upgrade.EmulateFile] = components.FileFact{SHA256: components.Sum(upgrade.Emulate("1.35")), Mode: 0o644}
		found.Machines[name] = f
	}
	return old, next, found
}

// One control plane that behaves as the new version may have stored what the old one
// cannot read; and it stays so.
func TestHalfFinalisedIsFinalised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next, found := upgraded(t, "m2", "m3")
		if back, err := WayBack(next, found); err != nil || !back.Finalised {
			t.Errorf("got %+v, %v", back, err)
		}
		if problems := Preflight(old, found); len(problems) == 0 || problems[0].Machine != "m1" {
			t.Errorf("back: %v", problems)
		}
		for machine, action := range Make(next, found, time.Now()).all() {
			if _, wait := action.(addons.WaitReady); machine == "m1" && !wait {
				t.Errorf("m1: %s", action)
			}
		}
		_, next, found = upgraded(t, "m1", "m2", "m3")
		if back, err := WayBack(next, found); err != nil || back.Finalised {
			t.Errorf("got %+v, %v", back, err)
		}
	})
}

func TestUpgradesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, next, found := upgraded(t, "m1", "m2", "m3")
		refused := func(c components.Cluster, found Facts, want string) {
			t.Helper()
			var all []string
			for _, problem := range Preflight(c, found) {
				all = append(all, problem.Error())
			}
			if !slices.ContainsFunc(all, func(text string) bool { return strings.HasPrefix(text, want) }) {
				t.Errorf("got %q, want one that begins with %q", all, want)
			}
		}
		silent := Facts{Machines: maps.Clone(found.Machines), Cluster: found.Cluster}
		delete(silent.Machines, "m3")
		refused(next, silent, "m3: does not answer, and the control plane of m1 is to change its version")
		more := next
		more.Machines = append(slices.Clone(next.Machines), components.MachineSpec{Name: "w9", Role: components.Worker, Address: netip.MustParseAddr("192.0.2.99")})
		blank := Facts{Machines: maps.Clone(found.Machines), Cluster: found.Cluster}
		blank.Machines["w9"] = componentstest.New("w9").Facts()
		refused(more, blank, "w9: is new, and an upgrade to another minor version is under way")
		// Without the API it is known as well what runs.
		_, _, found = upgraded(t)
		found.Cluster = components.ClusterFacts{}
		refused(of(next, "1.38.0"), found, "m1: runs the control plane of Kubernetes 1.36.3, and the bundle is of 1.38.0")
	})
}
