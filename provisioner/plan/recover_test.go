package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/etcd"
)

// remains looks at those masters only, and at their data.
func remains(t *testing.T, c components.Cluster, s *componentstest.Site, answering ...string) Remains {
	t.Helper()
	all := look(s)
	left := Remains{Facts: Facts{Machines: map[string]components.Facts{}}, Stores: map[string]etcd.Store{}, Errors: map[string]error{}}
	for _, name := range answering {
		f := all.Machines[name]
		left.Facts.Machines[name] = f
		if !f.Etcd.Data {
			continue
		}
		out, err := s.Machines[name].Run(t.Context(), []string{c.BundleDir() + "/bin/node", "etcd-recover", "look"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if left.Stores[name], err = etcd.ParseStore(out); err != nil {
			t.Fatal(err)
		}
	}
	return left
}

// carry applies a plan until an action fails.
func carry(t *testing.T, p Plan, s *componentstest.Site) error {
	t.Helper()
	for machine, action := range p.all() {
		if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
			return err
		}
	}
	return nil
}

// TestRecoverAndGrowBack: of five masters three are lost; one begins anew, the
// other survivor and three blank machines join it.
func TestRecoverAndGrowBack(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "m4", "m5")
	s := site(c)
	must(t, c, s)
	for _, dead := range []string{"m1", "m2", "m3"} {
		s.Machines[dead].Wipe()
	}
	left := remains(t, c, s, "m4", "m5")
	if problems := left.Needless(c); problems != nil {
		t.Fatal(problems)
	}
	if problems := left.Choose(c, "m5"); problems != nil {
		t.Fatal(problems)
	}
	if got := left.Forgotten("m5"); !slices.Equal(got, []string{"m1", "m2", "m3", "m4"}) {
		t.Errorf("forgotten are %v", got)
	}
	p := Recover(c, left, Snapshot{Machine: "m5"}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if !slices.Equal(p.Machines(), []string{"m4", "m5"}) {
		t.Errorf("it touches %v", p.Machines())
	}
	if err := carry(t, p, s); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m4", "m5"} {
		if _, kept := s.Machines[name].File(components.State + "/etcd/kept-20260102T030405Z/member/wal"); !kept {
			t.Errorf("%s's data are not kept", name)
		}
	}
	if problems := remains(t, c, s, "m4", "m5").Needless(c); len(problems) != 1 || !strings.Contains(problems[0].Error(), "has a quorum") {
		t.Errorf("once more: %v", problems)
	}
	must(t, c, s)
}

// TestRecoverKilledAnywhere: whatever a run did, the next one, or up, is enough.
func TestRecoverKilledAnywhere(t *testing.T) {
	for after := range 7 {
		c := componentstest.Cluster("m1", "m2", "m3", "m4", "m5")
		s := site(c)
		must(t, c, s)
		for _, dead := range []string{"m1", "m2", "m3"} {
			s.Machines[dead].Wipe()
		}
		left := remains(t, c, s, "m4", "m5")
		n := after
		for _, m := range s.Machines {
			m.Fail = func(string) error {
				if n--; n < 0 {
					return errDied
				}
				return nil
			}
		}
		err := carry(t, Recover(c, left, Snapshot{Machine: "m5"}, time.Unix(1, 0)), s)
		for _, m := range s.Machines {
			m.Fail = nil
		}
		if err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		left = remains(t, c, s, "m4", "m5")
		if left.Needless(c) == nil {
			if problems := left.Choose(c, "m5"); problems != nil {
				t.Fatalf("after %d effects: %v", after, problems)
			}
			if err := carry(t, Recover(c, left, Snapshot{Machine: "m5"}, time.Unix(2, 0)), s); err != nil {
				t.Fatalf("after %d effects: %v", after, err)
			}
		}
		must(t, c, s)
	}
}

func TestRecoveryIsRefused(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3")
	whole := func(t *testing.T) *componentstest.Site {
		s := site(c)
		must(t, c, s)
		return s
	}
	stopped := func(t *testing.T) *componentstest.Site {
		s := whole(t)
		for _, name := range []string{"m1", "m2", "m3"} {
			s.Machines[name].Stop(etcd.Unit)
		}
		return s
	}
	for name, test := range map[string]struct {
		site   func(*testing.T) *componentstest.Site
		answer []string
		from   string
		change func(*Remains)
		want   string
	}{
		"a quorum":              {whole, []string{"m1", "m2", "m3"}, "m1", nil, "m1: its etcd has a quorum"},
		"enough that are down":  {stopped, []string{"m2", "m3"}, "m2", nil, "m2, m3 answer with their data, of 3 members: enough for a quorum"},
		"no data":               {stopped, nil, "m2", nil, "no master that answers has data"},
		"nobody chosen":         {stopped, []string{"m3"}, "", nil, "`--from m3`, which has the most"},
		"a silent one chosen":   {stopped, []string{"m3"}, "m1", nil, "m1: does not answer; `--from m3` does"},
		"damaged data":          {stopped, []string{"m2", "m3"}, "m2", func(r *Remains) { delete(r.Stores, "m2"); r.Errors["m2"] = errors.New("torn") }, "m2: its data cannot be read: torn"},
		"a quorum out of reach": {stopped, []string{"m3"}, "m3", func(r *Remains) { r.Stores["m3"].Members[0].Serves = true }, "m3: its neighbour m1, which this computer does not reach, serves"},
		"a learner":             {stopped, []string{"m3"}, "m3", func(r *Remains) { r.Stores["m3"].Members[2].Learner = true }, "m3: was no voter yet"},
		"another bundle's master": {stopped, []string{"m3"}, "m3", func(r *Remains) {
			f := r.Facts.Machines["m3"]
			f.Bundles = []string{"1.30.0-x"}
			r.Facts.Machines["m3"] = f
		}, "m3: has data, and was set up with another bundle (1.30.0-x)"},
	} {
		t.Run(name, func(t *testing.T) {
			left := remains(t, c, test.site(t), test.answer...)
			if test.change != nil {
				test.change(&left)
			}
			problems := left.Needless(c)
			if problems == nil {
				problems = left.Choose(c, test.from)
			}
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
				t.Errorf("got %v", problems)
			}
		})
	}
}

// TestMostIsByTheLog: a later term counts before more entries, and a learner never.
func TestMostIsByTheLog(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3")
	store := func(term, index uint64, learner bool) etcd.Store {
		return etcd.Store{Member: "x", Term: term, Index: index, Members: []etcd.StoreMember{{EtcdMember: components.EtcdMember{ID: "x", Learner: learner}}}}
	}
	left := Remains{Stores: map[string]etcd.Store{"m1": store(2, 900, false), "m2": store(3, 10, false), "m3": store(4, 999, true)}}
	if got := left.Candidates(c); !slices.Equal(got, []string{"m2", "m1", "m3"}) {
		t.Errorf("in order: %v", got)
	}
}

// TestTheOldClusterComesBack: whoever began anew is believed, whatever the order.
func TestTheOldClusterComesBack(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3")
	s := site(c)
	must(t, c, s)
	found := look(s)
	for name, id := range map[string]string{"m1": "old", "m2": "old", "m3": "new"} {
		f := found.Machines[name]
		f.Etcd.Cluster = id
		if id == "new" {
			f.Files[etcd.RecoveredFile] = components.FileFact{}
		}
		found.Machines[name] = f
	}
	problems := Preflight(c, found)
	if len(problems) != 2 || !strings.HasPrefix(problems[0].Error(), "m1: runs the etcd from before the recovery") || problems[1].Machine != "m2" {
		t.Errorf("got %v", problems)
	}
}
