package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/etcd"
)

// The newest snapshot counts that was kept before an upgrade from that minor version: one
// of a later version holds what the earlier one cannot read.
func TestWhichSnapshotToGoBackTo(t *testing.T) {
	kept := []Snapshot{
		{Machine: "m1", Name: "upgrade-1.35.4-20260101T000000Z.db"}, {Machine: "m2", Name: "upgrade-1.35.4-20260101T000001Z.db"},
		{Machine: "m1", Name: "upgrade-1.36.3-20260301T000000Z.db"}, {Machine: "m3", Name: "etcd-20260401T000000Z.db"},
	}
	for _, test := range []struct{ name, version, want string }{
		{"", "1.35.4", "m2 upgrade-1.35.4-20260101T000001Z.db"},
		{"", "1.36.2", "m1 upgrade-1.36.3-20260301T000000Z.db"},
		{"etcd-20260401T000000Z.db", "1.35.4", "m3 etcd-20260401T000000Z.db"},
		{"", "1.34.1", "no master keeps a snapshot of before an upgrade from that version"},
		{"gone.db", "1.35.4", `no master keeps a snapshot called "gone.db"; there are: etcd-20260401T000000Z.db on m3`},
	} {
		got, err := ChooseSnapshot(kept, test.name, test.version)
		text := got.Machine + " " + got.Name
		if err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(text, test.want) {
			t.Errorf("%q back to %s: %s, want %s", test.name, test.version, text, test.want)
		}
	}
}

// snapshotOn has a master keep a snapshot, as it does before an upgrade from the version.
func snapshotOn(t *testing.T, c components.Cluster, s *componentstest.Site, machine, version string) Snapshot {
	t.Helper()
	if err := (etcd.Snapshot{Node: c.BundleDir() + "/bin/node", Of: version}).Apply(t.Context(), s.Machines[machine], s); err != nil {
		t.Fatal(err)
	}
	return keptOn(t, s, machine)
}

// What somebody deleted by mistake comes back from a snapshot: the quorum may be healthy,
// or gone. Afterwards up brings the other masters back in.
func TestRecoverFromASnapshot(t *testing.T) {
	for name, answering := range map[string][]string{"healthy": {"m1", "m2", "m3"}, "one is off": {"m1", "m2"}, "alone": {"m2"}} {
		t.Run(name, func(t *testing.T) {
			c := componentstest.Cluster("m1", "m2", "m3", "w1")
			s := site(c)
			must(t, c, s)
			from := snapshotOn(t, c, s, "m2", c.Version)
			lost := []string{}
			for _, m := range []string{"m1", "m2", "m3"} {
				if !slices.Contains(answering, m) {
					s.Machines[m].Wipe()
					lost = append(lost, m)
				}
			}
			left := remains(t, c, s, answering...)
			if len(lost) < 2 {
				left.Stores = nil // those that serve are not looked at
			}
			if problems := left.GoBack(c, from, []Snapshot{from}); problems != nil {
				t.Fatal(problems)
			}
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			p := Recover(c, left, from, now)
			whole, _ := s.Machines["m2"].File(from.path())
			if err := s.Machines["m2"].WriteFile(t.Context(), from.path(), 0o600, whole[1:]); err != nil {
				t.Fatal(err)
			}
			running := s.Machines["m2"].Running()
			if err := carry(t, p, s); err == nil || !strings.Contains(err.Error(), "is damaged") || !slices.Equal(s.Machines["m2"].Running(), running) {
				t.Errorf("a damaged one: %v", err)
			}
			if err := s.Machines["m2"].WriteFile(t.Context(), from.path(), 0o600, whole); err != nil {
				t.Fatal(err)
			}
			if err := carry(t, p, s); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(s.Machines["m2"].Log(), "run "+c.BundleDir()+"/bin/node etcd-recover begin kept-20260102T030405Z --token site-kept-20260102T030405Z --snapshot "+from.path()) {
				t.Errorf("it began with something else:\n%s", strings.Join(s.Machines["m2"].Log(), "\n"))
			}
			for _, name := range answering {
				if _, kept := s.Machines[name].File(components.State + "/etcd/kept-20260102T030405Z/member/wal"); !kept {
					t.Errorf("%s's data are not kept", name)
				}
			}
			must(t, c, s)
		})
	}
}

func TestSnapshotsThatThereIsNoGoingBackTo(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3")
	s := site(c)
	must(t, c, s)
	m2 := func(name string) Snapshot { return Snapshot{"m2", name} }
	kept := []Snapshot{m2("etcd-20260101T000000Z.db"), {"m1", "upgrade-1.35.4-20260102T000000Z.db"}, m2("etcd-20260103T000000Z.db"),
		{"m3", "upgrade-1.36.2-20260104T000000Z.db"}, m2("etcd-20260105T000000Z.db"), m2("upgrade-1.35.4-20260102T000001Z.db")}
	all := []string{"m1", "m2", "m3"}
	for _, test := range []struct {
		name, want string
		answering  []string
		change     func(*Remains)
	}{
		{"etcd-20260105T000000Z.db", "", all, nil},
		{"etcd-20260103T000000Z.db", "", all, nil}, // of the patch before
		{"etcd-20260101T000000Z.db", "m2: keeps etcd-20260101T000000Z.db of Kubernetes 1.35.4, and 1.36.3 runs", all, nil},
		{"upgrade-1.35.4-20260102T000001Z.db", "m2: keeps upgrade-1.35.4-20260102T000001Z.db of Kubernetes 1.35.4, and 1.36.3 runs", all, nil},
		{"gone.db", `m2: keeps no snapshot called "gone.db"; there are: etcd-20260105T000000Z.db on m2, upgrade-1.36.2-20260104T000000Z.db on m3`, all, nil},
		{"upgrade-1.36.2-20260104T000000Z.db", "m2: keeps no snapshot called", all, nil}, // m3 does
		{"etcd-20260105T000000Z.db", "m2: does not answer", []string{"m1", "m3"}, nil},
		{"etcd-20260105T000000Z.db", "m2: was set up with another bundle", all, func(r *Remains) {
			f := r.Facts.Machines["m2"]
			f.Bundles = []string{"1.30.0-x"}
			r.Facts.Machines["m2"] = f
		}},
		{"etcd-20260105T000000Z.db", "m1, m3: do not answer, and may serve", []string{"m2"}, func(r *Remains) { r.Stores = nil }},
		{"etcd-20260105T000000Z.db", "m2: its neighbour m3, which this computer does not reach, serves", []string{"m2"}, func(r *Remains) {
			r.Stores["m2"].Members[2].Serves = true
		}},
		{"etcd-20260105T000000Z.db", "", all, func(r *Remains) { // one that serves and says so
			f := r.Facts.Machines["m2"]
			f.Etcd.Leader = ""
			r.Facts.Machines["m2"] = f
			r.Stores["m2"].Members[2].Serves = true
			maps.DeleteFunc(r.Stores, func(name string, _ etcd.Store) bool { return name != "m2" })
		}},
	} {
		left := remains(t, c, s, test.answering...)
		if test.change != nil {
			test.change(&left)
		}
		var text string
		for _, problem := range left.GoBack(c, m2(test.name), kept) {
			text += problem.Error()
		}
		if !strings.HasPrefix(text, test.want) || test.want == "" && text != "" {
			t.Errorf("%s with %v: %q, want %q", test.name, test.answering, text, test.want)
		}
	}
}
