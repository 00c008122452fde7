package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/componentstest"
	"provision/components/etcd"
)

// without is a cluster whose file does not name a machine any more.
func without(c components.Cluster, names ...string) components.Cluster {
	c.Machines = slices.DeleteFunc(slices.Clone(c.Machines), func(m components.MachineSpec) bool { return slices.Contains(names, m.Name) })
	return c
}

func enrolled(s *componentstest.Site) []string {
	var names []string
	for _, m := range s.Cluster.Facts().Inventory {
		names = append(names, m.Name)
	}
	return names
}

func TestAWorkerLeaves(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2")
	s := site(c)
	must(t, c, s)
	if got := enrolled(s); !slices.Equal(got, []string{"m1", "w1", "w2"}) {
		t.Fatalf("the inventory is %v", got)
	}
	said := must(t, without(c, "w2"), s)
	last := -1
	for _, step := range []string{"m1: drain: close node w2", "w2: removal: stop everything", "m1: addons: delete node w2 and forget"} {
		at := strings.Index(said, step)
		if at <= last {
			t.Errorf("%q is missing, or too early:\n%s", step, said)
		}
		last = at
	}
	if got := enrolled(s); !slices.Equal(got, []string{"m1", "w1"}) || s.Cluster.Object("/api/v1/nodes/w2") != nil {
		t.Errorf("the inventory is %v, its Node %v", got, s.Cluster.Object("/api/v1/nodes/w2"))
	}
}

// TestMastersLeave: three masters become one, and no step is done without a quorum.
func TestMastersLeave(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "w1")
	s := site(c)
	must(t, c, s)
	fewer := without(c, "m1", "m2")
	said := must(t, fewer, s)
	if strings.Index(said, "remove the member m1") > strings.Index(said, "m1: removal") || !strings.Contains(said, "m3: etcd: remove the member m2") {
		t.Error(said)
	}
	view := etcd.Look(fewer, look(s).Machines)
	if len(view.Members) != 1 || view.Members[0].Name != "m3" {
		t.Errorf("etcd has %v", view.Members)
	}
}

// TestADeadMasterIsReplacedByAnother: it leaves before the new one joins.
func TestADeadMasterIsReplacedByAnother(t *testing.T) {
	all := componentstest.Cluster("m1", "m2", "m3", "m4", "w1")
	s := site(all)
	must(t, without(all, "m4"), s)
	s.Machines["m1"].Stop(etcd.Unit)
	s.Machines["m1"].Stop(actions.Service("kubelet"))
	found := look(s)
	delete(found.Machines, "m1")
	now := without(all, "m1")
	if problems := Preflight(now, found); len(problems) > 0 {
		t.Fatal(problems)
	}
	var stages []string
	for _, phase := range Make(now, found, time.Now()).Phases {
		for _, stage := range phase.Stages {
			stages = append(stages, stage.Name)
			if stage.Name == "forget" && stage.Jobs[0].Actions[0] != (addons.Forget{Machine: "m1", Silent: true}) {
				t.Errorf("%v", stage.Jobs)
			}
		}
	}
	leaves, joins := slices.Index(stages, "m1 leaves etcd"), slices.Index(stages, "m4 joins etcd")
	if leaves < 0 || joins < leaves || slices.Contains(stages, "clean") || slices.Contains(stages, "drain") {
		t.Errorf("stages: %v", stages)
	}
}

func TestWhatLeavesIsChecked(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "w1", "w2")
	for _, test := range []struct {
		name  string
		spoil func(c *components.Cluster, found *Facts)
		want  string
	}{
		{"a machine with a new name", func(c *components.Cluster, _ *Facts) { c.Machines[3].Name = "w9" }, "w9: has the address of w2"},
		{"a master that the file calls a worker", func(c *components.Cluster, _ *Facts) { c.Machines[1].Role = components.Worker }, "m2: is a master, and the file says worker"},
		{"silent, and its kubelet runs", func(c *components.Cluster, found *Facts) {
			*c = without(*c, "w2")
			delete(found.Machines, "w2")
			found.Cluster.Nodes["w2"] = components.NodeFact{Ready: true}
		}, "w2: left the file, cannot be reached as the machine that it was, and its Node is Ready"},
		{"a member of etcd that nobody names", func(c *components.Cluster, found *Facts) {
			*c = without(*c, "m2")
			found.Cluster.Inventory = nil // it joined, and the run ended
		}, `m1: its etcd has a member "m2" at "https://192.0.2.2:2380" that is no master of the file`},
		{"a master leaves while another is off", func(c *components.Cluster, found *Facts) {
			*c = without(*c, "m1")
			delete(found.Machines, "m2")
		}, "m2: does not answer, and m1 is to leave etcd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := site(c)
			must(t, c, s)
			changed, found := c, look(s)
			changed.Machines = slices.Clone(c.Machines)
			test.spoil(&changed, &found)
			var all []string
			for _, problem := range Preflight(changed, found) {
				all = append(all, problem.Error())
			}
			if !slices.ContainsFunc(all, func(text string) bool { return strings.HasPrefix(text, test.want) }) {
				t.Errorf("got %q, want one that begins with %q", all, test.want)
			}
		})
	}
}

// TestWhoAnswersIsTheOneThatLeft: what the inventory says, somebody may have written, and
// addresses are given to others.
func TestWhoAnswersIsTheOneThatLeft(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2")
	s := site(c)
	must(t, c, s)
	w2, fewer := c.Machines[2], without(c, "w2")
	for name, test := range map[string]struct {
		spoil func(found Facts, f *components.Facts)
		want  string
	}{
		"itself":                   {func(Facts, *components.Facts) {}, ""},
		"a blank machine":          {func(_ Facts, f *components.Facts) { *f = components.Facts{} }, ""},
		"another cluster's by now": {func(_ Facts, f *components.Facts) { f.Cluster = "other" }, `it is of the cluster "other" now`},
		"another address":          {func(_ Facts, f *components.Facts) { f.Addresses = nil }, "another machine answers, which does not have the address 192.0.2.3"},
		"one of the file":          {func(found Facts, f *components.Facts) { f.MachineID = found.Machines["m1"].MachineID }, "the machine that answers is m1"},
		"set up under another name": {func(_ Facts, f *components.Facts) {
			f.Certificates = map[string]components.CertFact{"kubelet": {CommonName: "system:node:w9"}}
		}, `set up as "system:node:w9"`},
		"another cluster of this name": {func(_ Facts, f *components.Facts) {
			f.Files = maps.Clone(f.Files)
			f.Files[components.PKI+"/cluster-ca.crt"] = components.FileFact{SHA256: "other"}
		}, "of another cluster of this name"},
	} {
		found := look(s)
		f := found.Machines["w2"]
		test.spoil(found, &f)
		found.Machines["w2"] = f
		if got := Impostor(fewer, found, w2); got != test.want && (test.want == "" || !strings.Contains(got, test.want)) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
