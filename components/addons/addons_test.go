package addons

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/componentstest"
)

func cluster() components.Cluster {
	return components.Cluster{Name: "site", Addons: components.Addons{DNS: true, Metrics: true, Storage: true}, Machines: []components.MachineSpec{
		{Name: "m1", Role: components.Master}, {Name: "w1", Role: components.Worker, Labels: map[string]string{"disk": "ssd"}},
	}}
}

func names(list []components.Action) []string {
	var names []string
	for _, action := range list {
		switch action := action.(type) {
		case Apply:
			names = append(names, action.Name)
		case Grant:
			names = append(names, "grant")
		case Remove:
			names = append(names, "not "+action.Name)
		}
	}
	return names
}

func TestOnlyWhatIsMissing(t *testing.T) {
	c := cluster()
	all := Access(c, c.Machines[0], components.ClusterFacts{})
	if got, want := names(all), []string{"grant", "identities", "pod-subnets", "node-names", "api-endpoint", "api-servers", "coredns"}; !slices.Equal(got, want) {
		t.Errorf("a new cluster gets %v, want %v", got, want)
	}
	facts := components.ClusterFacts{Applied: map[string]string{}}
	for _, action := range slices.Concat(all, Optional(c, facts), Inventory(c, facts)) {
		switch action := action.(type) {
		case Apply:
			facts.Applied[action.Name] = action.Sum
		case Enrol:
			facts.Inventory = action.Machines
		}
	}
	if left := slices.Concat(Access(c, c.Machines[0], facts), Optional(c, facts), Inventory(c, facts)); len(left) > 0 {
		t.Errorf("left: %v", names(left))
	}
	facts.Applied["coredns"] = "older"
	if got := names(Access(c, c.Machines[0], facts)); !slices.Equal(got, []string{"coredns"}) {
		t.Errorf("an older CoreDNS gives %v", got)
	}
}

// TestTheInventory: who is noted stays until it is forgotten, whatever a later file says.
func TestTheInventory(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2")
	s := componentstest.NewSite(c)
	s.Cluster.Always = true
	apply := func(list ...components.Action) {
		t.Helper()
		for _, action := range list {
			if err := action.Apply(t.Context(), nil, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	names := func() (names []string) {
		for _, m := range s.Cluster.Facts().Inventory {
			names = append(names, m.Name)
		}
		return names
	}
	apply(Inventory(c, s.Cluster.Facts())...)
	if left := Inventory(c, s.Cluster.Facts()); len(left) > 0 {
		t.Errorf("noted, and to be noted again: %v", left)
	}
	c.Machines = c.Machines[:2]
	c.Machines[1].Login = "admin@192.0.2.2:2222"
	if again := Inventory(c, s.Cluster.Facts()); len(again) > 0 {
		t.Errorf("another person's way to a machine is noted: %v", again)
	}
	apply(Enrol{Machines: []components.Member{c.Machines[0].Member(), c.Machines[1].Member()}}) // with something else it is
	if got := names(); !slices.Equal(got, []string{"m1", "w1", "w2"}) {
		t.Errorf("the inventory is %v", got)
	}
	apply(Forget{Machine: "w2"}, Forget{Machine: "w2"}) // a killed run's is repeated
	if got := s.Cluster.Facts().Inventory; !slices.Equal(names(), []string{"m1", "w1"}) || got[1].Login != "admin@192.0.2.2:2222" {
		t.Errorf("the inventory is %v", got)
	}
}

func TestNodes(t *testing.T) {
	c := cluster()
	m := c.Machines[1]
	wanted := Nodes(c, m, components.ClusterFacts{})
	if len(wanted) != 1 {
		t.Fatalf("a new cluster wants %v", wanted)
	}
	node := wanted[0].(Node)
	if diff := cmp.Diff(map[string]string{"disk": "ssd", "node-role.kubernetes.io/worker": ""}, node.Labels); diff != "" {
		t.Error(diff)
	}
	settled := func() components.ClusterFacts {
		return components.ClusterFacts{
			Applied: map[string]string{"node.w1": node.Sum()},
			Nodes:   map[string]components.NodeFact{"w1": {Labels: maps.Clone(node.Labels)}},
		}
	}
	for name, change := range map[string]func(*components.ClusterFacts){
		"":                    func(*components.ClusterFacts) {},
		"label taken away":    func(f *components.ClusterFacts) { delete(f.Nodes["w1"].Labels, "disk") },
		"label changed":       func(f *components.ClusterFacts) { f.Nodes["w1"].Labels["disk"] = "hdd" },
		"node deleted":        func(f *components.ClusterFacts) { delete(f.Nodes, "w1") },
		"other labels before": func(f *components.ClusterFacts) { f.Applied["node.w1"] = "older" },
	} {
		facts := settled()
		change(&facts)
		if got := len(Nodes(c, m, facts)); (got == 0) != (name == "") {
			t.Errorf("%q: %d actions", name, got)
		}
	}
	facts := settled()
	facts.Nodes["w1"].Labels["kubernetes.io/hostname"] = "w1"
	if len(Nodes(c, m, facts)) > 0 {
		t.Error("a label of somebody else is none of ours")
	}
}

// TestReplicasOfDNS: a second replica that no machine tolerates would wait for ever.
func TestReplicasOfDNS(t *testing.T) {
	master := components.MachineSpec{Name: "m1", Role: components.Master}
	worker := components.MachineSpec{Name: "w1", Role: components.Worker}
	tainted := func(effect string) components.MachineSpec {
		return components.MachineSpec{Name: "w2", Role: components.Worker, Taints: []components.Taint{{Key: "gpu", Effect: effect}}}
	}
	for _, test := range []struct {
		machines []components.MachineSpec
		want     int
	}{
		{[]components.MachineSpec{master}, 1},
		{[]components.MachineSpec{master, worker}, 2},
		{[]components.MachineSpec{master, worker, worker}, 2},
		{[]components.MachineSpec{master, tainted("NoSchedule")}, 1},
		{[]components.MachineSpec{master, tainted("NoExecute")}, 1},
		{[]components.MachineSpec{master, tainted("PreferNoSchedule")}, 2},
		{[]components.MachineSpec{tainted("NoSchedule")}, 1},
	} {
		if got := replicas(components.Cluster{Machines: test.machines}); got != test.want {
			t.Errorf("%v: %d replicas, want %d", test.machines, got, test.want)
		}
	}
}

func TestMergeTaints(t *testing.T) {
	taint := func(key, value, effect string) map[string]any {
		taint := map[string]any{"key": key, "effect": effect}
		if value != "" {
			taint["value"] = value
		}
		return taint
	}
	controlPlane := taint("node-role.kubernetes.io/control-plane", "", "NoSchedule")
	notReady := taint("node.kubernetes.io/not-ready", "", "NoExecute")
	notReady["timeAdded"] = "2026-01-01T00:00:00Z"
	for _, c := range []struct {
		name    string
		wanted  []components.Taint
		present []map[string]any
		former  string // what we gave before
		want    []map[string]any
		changed bool
	}{
		{"nothing", nil, nil, "", nil, false},
		{"new", []components.Taint{{Key: "a", Value: "1", Effect: "NoSchedule"}}, nil, "", []map[string]any{taint("a", "1", "NoSchedule")}, true},
		{"there", []components.Taint{components.ControlPlaneTaint}, []map[string]any{controlPlane, notReady}, "",
			[]map[string]any{controlPlane, notReady}, false},
		{"others' stay, with all that they hold", []components.Taint{components.ControlPlaneTaint}, []map[string]any{notReady}, "",
			[]map[string]any{notReady, controlPlane}, true},
		{"another value", []components.Taint{{Key: "a", Value: "2", Effect: "NoSchedule"}}, []map[string]any{taint("a", "1", "NoSchedule")}, "",
			[]map[string]any{taint("a", "2", "NoSchedule")}, true},
		{"another effect is another taint", []components.Taint{{Key: "a", Effect: "NoExecute"}}, []map[string]any{taint("a", "", "NoSchedule")}, "",
			[]map[string]any{taint("a", "", "NoSchedule"), taint("a", "", "NoExecute")}, true},
		{"left the file", nil, []map[string]any{taint("a", "", "NoSchedule"), taint("b", "", "NoSchedule")}, "a:NoSchedule",
			[]map[string]any{taint("b", "", "NoSchedule")}, true},
		{"a master that may work", []components.Taint{}, []map[string]any{controlPlane}, "", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var node object
			node.Spec.Taints = c.present
			node.Metadata.Annotations = map[string]string{taintsAnnotation: c.former}
			got, changed := Node{Name: "n", Taints: c.wanted}.merge(node)
			if diff := cmp.Diff(c.want, got); diff != "" || changed != c.changed {
				t.Errorf("changed %v: %s", changed, diff)
			}
		})
	}
}

func TestNodeReadsWell(t *testing.T) {
	c := cluster()
	c.Machines[0].Labels = map[string]string{"a": "b"}
	got := Nodes(c, c.Machines[0], components.ClusterFacts{})[0].String()
	want := "set node m1: labels a=b, node-role.kubernetes.io/control-plane; taints node-role.kubernetes.io/control-plane:NoSchedule"
	if got != want {
		t.Error(got)
	}
}

// The API takes no list that mixes families.
func TestMastersOfEachFamilyHaveAListOfTheirOwn(t *testing.T) {
	c := components.Cluster{Machines: []components.MachineSpec{
		{Name: "m1", Role: components.Master, Address: netip.MustParseAddr("10.0.0.1")},
		{Name: "w1", Role: components.Worker, Address: netip.MustParseAddr("10.0.0.9")},
		{Name: "m2", Role: components.Master, Address: netip.MustParseAddr("2001:db8::2")},
	}}
	lists := masterAddresses(c)
	if len(lists) != 2 || fmt.Sprint(lists[0].Addresses) != "[10.0.0.1]" || fmt.Sprint(lists[1].Addresses) != "[2001:db8::2]" || lists[1].Type != "IPv6" {
		t.Errorf("%+v", lists)
	}
	c.Machines = c.Machines[2:]
	if lists := masterAddresses(c); len(lists) != 1 || lists[0].Type != "IPv6" {
		t.Errorf("%+v", lists)
	}
}
