package etcd_test

import (
	"strings"
	"testing"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/etcd"
)

// cluster is three masters of which the first serves etcd alone.
func cluster(t *testing.T) (components.Cluster, *componentstest.Site) {
	t.Helper()
	c := componentstest.Cluster("m1", "m2", "m3")
	s := componentstest.NewSite(c)
	for _, m := range c.Machines {
		on := s.Machines[m.Name]
		if err := on.WriteFile(t.Context(), c.BundleDir()+"/bin/node", 0o755, []byte("node")); err != nil {
			t.Fatal(err)
		}
		step := etcd.Enter
		if m.Name == "m1" {
			step = etcd.Begin
		}
		for _, action := range etcd.Actions(c, m, on.Facts(), step) {
			if err := action.Apply(t.Context(), on, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c, s
}

func join(t *testing.T, c components.Cluster, s *componentstest.Site, name string) (etcd.View, error) {
	t.Helper()
	facts := map[string]components.Facts{}
	for _, m := range c.Machines {
		facts[m.Name] = s.Machines[m.Name].Facts()
	}
	view := etcd.Look(c, facts)
	for _, m := range c.Machines {
		if m.Name == name {
			return view, view.Join(m).Apply(t.Context(), s.Machines[name], s)
		}
	}
	panic(name)
}

// TestAMemberThatLostItsDataIsNotReplacedUnseen: who made the plan did not know of
// the loss, so nobody agreed to the removal.
func TestAMemberThatLostItsDataIsNotReplacedUnseen(t *testing.T) {
	c, s := cluster(t)
	for _, name := range []string{"m2", "m3"} {
		if _, err := join(t, c, s, name); err != nil {
			t.Fatal(err)
		}
	}
	known, err := join(t, c, s, "m2") // again: nothing is left to do
	if err != nil {
		t.Fatal(err)
	}
	planned := known.Join(c.Machines[2])
	s.Machines["m3"].Stop(etcd.Unit)
	s.Machines["m3"].Remove(components.State + "/etcd/member/wal")
	if err := planned.Apply(t.Context(), s.Machines["m3"], s); err == nil || !strings.Contains(err.Error(), "run again to see what is to be done") {
		t.Errorf("got %v", err)
	}
	facts := map[string]components.Facts{"m1": s.Machines["m1"].Facts()}
	if view := etcd.Look(c, facts); len(view.Members) != 3 {
		t.Errorf("a member was removed: %v", view.Members)
	}
	// The next plan does know.
	if _, err := join(t, c, s, "m3"); err != nil {
		t.Fatal(err)
	}
	view, _ := join(t, c, s, "m3")
	if member, there := view.Member(c.Machines[2]); !there || member.Learner {
		t.Errorf("m3 is %+v, there: %v", member, there)
	}
}
