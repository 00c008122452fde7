package plan

import (
	"fmt"
	"strings"
	"testing"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/etcd"
	"provision/components/fence"
)

// fencible is a cluster that runs, whose machines all answer.
func fencible(names ...string) (components.Cluster, Facts) {
	c := componentstest.Cluster(names...)
	found := Facts{Machines: map[string]components.Facts{}, Cluster: components.ClusterFacts{Reachable: true, Nodes: map[string]components.NodeFact{}}}
	var members []components.EtcdMember
	for i, m := range c.Masters() {
		members = append(members, components.EtcdMember{ID: fmt.Sprint(i), Name: m.Name, Peer: etcd.Peer(m)})
	}
	for _, m := range c.Machines {
		f := components.Facts{Agents: map[string]bool{c.Agent(): true}, Files: map[string]components.FileFact{}}
		if m.Role == components.Master {
			f.Etcd = components.EtcdFact{Data: true, Cluster: "c", Member: m.Name, Leader: "0", Members: members}
		}
		found.Machines[m.Name] = f
		found.Cluster.Nodes[m.Name] = components.NodeFact{Ready: true}
	}
	return c, found
}

func (f Facts) silence(name string, ready bool) {
	delete(f.Machines, name)
	f.Cluster.Nodes[name] = components.NodeFact{Ready: ready}
}

func TestWhatIsNoEvidence(t *testing.T) {
	for what, test := range map[string]struct {
		spoil func(Facts)
		name  string
		dead  bool
		says  string // "": it may be fenced
	}{
		"it answers, and is stopped":         {func(Facts) {}, "w1", false, ""},
		"it answers, and is said to be dead": {func(Facts) {}, "w1", true, "answers SSH, so it is not dead"},
		"silent and not Ready":               {func(f Facts) { f.silence("w1", false) }, "w1", true, ""},
		"silent and Ready":                   {func(f Facts) { f.silence("w1", true) }, "w1", true, "its Node is Ready"},
		"an agent that cannot stop":          {func(f Facts) { f.Machines["w1"] = components.Facts{} }, "w1", false, "`provision up` comes first"},
		"no Node":                            {func(f Facts) { delete(f.Cluster.Nodes, "w1") }, "w1", false, "no Node of that name"},
		"no API":                             {func(f Facts) { clear(f.Cluster.Nodes) }, "w2", false, "no Node of that name"},
		"one master of three":                {func(Facts) {}, "m2", false, ""},
		"a dead master of three":             {func(f Facts) { f.silence("m2", false) }, "m2", true, ""},
		"the second of three": {func(f Facts) { f.silence("m2", false) }, "m3", false,
			"without it 1 of etcd's 3 members would be left that serve, which is no quorum"},
		"a master beside one without etcd": {func(f Facts) {
			m := f.Machines["m2"]
			m.Etcd.Leader = ""
			f.Machines["m2"] = m
		}, "m3", false, "which is no quorum"},
	} {
		c, found := fencible("m1", "m2", "m3", "w1", "w2")
		test.spoil(found)
		err := RefuseFence(c, found, test.name, test.dead)
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c, found := fencible("m1", "w1")
	if err := RefuseFence(c, found, "m1", false); err == nil || !strings.Contains(err.Error(), "without it 0 of etcd's 1 members") {
		t.Errorf("the only master: %v", err)
	}
	found.Cluster = components.ClusterFacts{Problem: "m1: connection refused"}
	if err := RefuseFence(c, found, "w1", false); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("without an API: %v", err)
	}
}

func steps(p Plan) string {
	var said []string
	for machine, action := range p.all() {
		said = append(said, fmt.Sprintf("%s %T", machine, action))
	}
	return strings.Join(said, ", ")
}

func TestAMachineIsMarkedAfterItWasStopped(t *testing.T) {
	c, found := fencible("m1", "m2", "m3", "w1")
	if got := steps(Fence(c, found, "w1")); got != "w1 fence.Halt, w1 fence.Mark" {
		t.Errorf("one that answers: %s", got)
	}
	// A master's own API server is just being stopped.
	for _, action := range Fence(c, found, "m1").all() {
		if mark, is := action.(fence.Mark); is && (strings.Join(mark.Via, " ") != "m2 m3" || !mark.Stopped) {
			t.Errorf("%+v", mark)
		}
	}
	found.silence("w1", false)
	if got := steps(Fence(c, found, "w1")); got != "m1 fence.Mark" {
		t.Errorf("a dead one: %s", got)
	}
}

func TestAMachineComesBackWithoutWhatItRanBefore(t *testing.T) {
	c, found := fencible("m1", "w1")
	if p := Unfence(c, found, "w1"); !p.Empty() || Fenced(found, "w1") != nil {
		t.Errorf("one that is not fenced: %s", steps(p))
	}
	found.Cluster.Nodes["w1"] = components.NodeFact{Ready: true, Taints: []components.Taint{fence.Taint}}
	if got := steps(Unfence(c, found, "w1")); got != "w1 fence.Halt, w1 fence.Resume, w1 fence.AwaitNode, w1 fence.Unmark" {
		t.Errorf("one that came back by itself: %s", got)
	}
	if err := RefuseUnfence(c, found, "w1"); err != nil {
		t.Error(err)
	}
	found.Machines["w1"] = components.Facts{}
	if got := steps(Unfence(c, found, "w1")); got != "w1 fence.Unmark" || RefuseUnfence(c, found, "w1") != nil {
		t.Errorf("a blank one in its place: %s", got)
	}
	found.silence("w1", false)
	if err := RefuseUnfence(c, found, "w1"); err == nil || !strings.Contains(err.Error(), "has to answer SSH") {
		t.Errorf("a silent one: %v", err)
	}
}

// Without the API, the machine's own mark says it.
func TestBothMarksCount(t *testing.T) {
	_, found := fencible("m1", "w1")
	found.Cluster = components.ClusterFacts{}
	found.Machines["w1"].Files[components.Fenced] = components.FileFact{}
	if err := Fenced(found, "w1"); err == nil || !strings.Contains(err.Error(), "provision fence FILE w1 --undo") {
		t.Errorf("%v", err)
	}
}
