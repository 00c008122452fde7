package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/componentstest"
)

// TestOldBundlesGo at the end of an upgrade, but for the one before it, and for those
// that pods began with which still run. What is left then is no reason for a run.
func TestOldBundlesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1", "w2")
		s := site(c)
		bundles := func(machine string) string { return strings.Join(look(s).Machines[machine].Bundles, " ") }
		for _, step := range []struct{ version, m1, w1 string }{
			{"1.34.9", "1.34.9", "1.34.9"},
			{"1.35.4", "1.34.9 1.35.4", "1.34.9 1.35.4"},
			{"1.36.3", "1.35.4 1.36.3", "1.34.9 1.35.4 1.36.3"},
			{"1.36.4", "1.36.3 1.36.4", "1.34.9 1.36.3 1.36.4"},
		} {
			next := of(c, step.version)
			s.Machines["w1"].Shims = map[string]bool{of(c, "1.34.9").Bundle.ID: true}
			said, err := upgradeOnce(t, next, s)
			if err != nil {
				t.Fatal(err)
			}
			want := func(list string) string {
				return strings.ReplaceAll(list+" ", " ", "-0123456789ab ")
			}
			if m1, w1 := bundles("m1")+" ", bundles("w1")+" "; m1 != want(step.m1) || w1 != want(step.w1) {
				t.Errorf("%s: m1 has %s, w1 %s", step.version, m1, w1)
			}
			if i := slices.IndexFunc(said, func(line string) bool { return strings.Contains(line, "remove old bundle") }); i >= 0 {
				for _, line := range said[i:] {
					if !strings.Contains(line, "remove old bundle") {
						t.Errorf("after it: %s", line)
					}
				}
			}
			if left := Make(next, look(s), time.Now()); !left.Empty() {
				t.Errorf("%s: left to do: %+v", step.version, left)
			}
		}
		if back, err := WayBack(of(c, "1.36.4"), look(s)); err != nil || back.Version != "1.36.3" {
			t.Errorf("back to %+v, %v", back, err)
		}
	})
}

func TestWhichBundlesStay(t *testing.T) {
	w := world{Cluster: of(componentstest.Cluster("m1"), "1.36.3")}
	id := func(version, sum string) string { return version + "-" + strings.Repeat(sum, 12) }
	now := w.Bundle.ID
	for _, test := range []struct{ has, goes []string }{
		{nil, nil},
		{[]string{now}, nil},
		{[]string{id("1.35.4", "a")}, nil}, // the wanted one is yet to come
		{[]string{id("1.34.1", "a"), id("1.35.4", "a")}, []string{id("1.34.1", "a")}},
		{[]string{id("1.34.1", "a"), id("1.35.4", "a"), now}, []string{id("1.34.1", "a")}},
		{[]string{id("1.35.4", "b"), id("1.35.4", "a"), now}, []string{id("1.35.4", "b")}},
		// Built again: what a rollback goes back to stays as well.
		{[]string{id("1.35.4", "a"), id("1.36.3", "b"), id("1.36.3", "c"), now}, []string{id("1.36.3", "b")}},
		// Gone back: so does the later one.
		{[]string{id("1.34.1", "a"), now, id("1.35.4", "a"), id("1.37.0", "a")}, []string{id("1.34.1", "a")}},
	} {
		var goes []string
		for _, action := range prune(w, components.MachineSpec{}, components.Facts{Bundles: test.has}) {
			goes = action.(actions.Prune).IDs
		}
		if !slices.Equal(goes, test.goes) {
			t.Errorf("of %v go %v, want %v", test.has, goes, test.goes)
		}
	}
}
