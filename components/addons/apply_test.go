package addons_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
)

// running returns a site whose API answers.
func running(t *testing.T) (components.Cluster, *componentstest.Site) {
	t.Helper()
	c := componentstest.Cluster("m1", "w1")
	site := componentstest.NewSite(c)
	site.Cluster.Always = true
	return c, site
}

const inventory = "/api/v1/namespaces/kube-system/configmaps/provision-inventory"

func TestApplyRemembers(t *testing.T) {
	c, site := running(t)
	m := site.Machines["m1"]
	for _, action := range slices.Concat(addons.Optional(c, components.ClusterFacts{}), addons.Inventory(c, components.ClusterFacts{})) {
		if err := action.Apply(t.Context(), m, site); err != nil {
			t.Fatal(err)
		}
	}
	for _, action := range addons.Nodes(c, c.Machines[1], components.ClusterFacts{}) {
		if err := action.Apply(t.Context(), m, site); err != nil {
			t.Fatal(err)
		}
	}
	facts := site.Cluster.Facts()
	if len(facts.Applied) != 3 || len(addons.Optional(c, facts)) > 0 || len(addons.Inventory(c, facts)) > 0 || len(addons.Nodes(c, c.Machines[1], facts)) > 0 {
		t.Errorf("remembered: %v", facts.Applied)
	}
	// The machines are noted again: what was noted beside them stays.
	c.Machines[0].Login, c.Machines[0].Address = "root@192.0.2.1:22", netip.MustParseAddr("192.0.2.77")
	for _, action := range addons.Inventory(c, facts) {
		if err := action.Apply(t.Context(), m, site); err != nil {
			t.Fatal(err)
		}
	}
	if facts := site.Cluster.Facts(); len(facts.Applied) != 3 || facts.Inventory[0].Login == "" {
		t.Errorf("remembered: %v in %v", facts.Applied, site.Cluster.Object(inventory))
	}
}

func TestNodeLosesWhatLeftTheFile(t *testing.T) {
	c, site := running(t)
	w1 := &c.Machines[1]
	w1.Labels = map[string]string{"disk": "ssd"}
	w1.Taints = []components.Taint{{Key: "gpu", Effect: "NoSchedule"}}
	settle := func() components.NodeFact {
		t.Helper()
		for _, action := range addons.Nodes(c, *w1, site.Cluster.Facts()) {
			if err := action.Apply(t.Context(), site.Machines["w1"], site); err != nil {
				t.Fatal(err)
			}
		}
		return site.Cluster.Facts().Nodes["w1"]
	}
	if node := settle(); node.Labels["disk"] != "ssd" || node.Labels["kubernetes.io/hostname"] != "w1" || len(node.Taints) != 1 {
		t.Errorf("%+v", node)
	}
	w1.Labels, w1.Taints = nil, nil
	if node := settle(); len(node.Labels) != 2 || node.Labels["disk"] != "" || len(node.Taints) != 0 {
		t.Errorf("%+v", node)
	}
}

func TestGrantNeedsTheAuthorities(t *testing.T) {
	c, site := running(t)
	err := addons.Access(c, c.Masters()[0], components.ClusterFacts{})[0].Apply(t.Context(), site.Machines["m1"], site)
	if exit := (*components.ExitError)(nil); !errors.As(err, &exit) {
		t.Errorf("got %v", err)
	}
}
