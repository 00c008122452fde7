package plan

import (
	"net/netip"
	"strings"
	"testing"

	"provision/components"
	"provision/components/componentstest"
)

// TestWhatARunningClusterCannotChange: each with the reason, before anything is touched.
func TestWhatARunningClusterCannotChange(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *components.Cluster)
		want   string
	}{
		"pods": {func(c *components.Cluster) { c.Network.Pods = netip.MustParsePrefix("10.200.0.0/16") },
			`m1: was set up with network.pods = "10.244.0.0/16", and the file says "10.200.0.0/16": a Node keeps the subnet`},
		"another mask": {func(c *components.Cluster) { c.Network.NodeMask = 25 },
			`m1: was set up with network.node_mask = "24", and the file says "25"`},
		"services": {func(c *components.Cluster) { c.Network.Services = netip.MustParsePrefix("10.97.0.0/16") },
			`m1: was set up with network.services = "10.96.0.0/16", and the file says "10.97.0.0/16": Services keep the addresses`},
		"domain": {func(c *components.Cluster) { c.Network.Domain = "example.org" },
			`m1: was set up with network.domain = "cluster.local", and the file says "example.org": it is in every pod's resolv.conf`},
		"a second family": {func(c *components.Cluster) {
			c.Network.Pods6, c.Network.NodeMask6 = netip.MustParsePrefix("fd00:244::/56"), 64
			c.Network.Services6 = netip.MustParsePrefix("fd00:96::/112")
		}, `m1: was set up with network.node_mask6 = nothing, and the file says "64"`},
		"a master's address": {func(c *components.Cluster) { c.Machines[1].Address = netip.MustParseAddr("192.0.2.99") },
			"m2: was set up with the address 192.0.2.2, and the file says 192.0.2.99: members of etcd know each other by their addresses; take it out"},
		"the only master's address": {func(c *components.Cluster) {
			c.Machines[0].Address = netip.MustParseAddr("192.0.2.99")
			c.Machines = append(c.Machines[:1], c.Machines[3:]...)
		}, "m1: was set up with the address 192.0.2.1, and the file says 192.0.2.99: a cluster's only master keeps its address"},
	} {
		t.Run(name, func(t *testing.T) {
			c := componentstest.Cluster("m1", "m2", "m3", "w1")
			if strings.HasPrefix(name, "the only") {
				c = componentstest.Cluster("m1", "w0", "w1", "w2")
			}
			s := site(c)
			must(t, c, s)
			for _, m := range s.Machines {
				m.Born.Addresses = append(m.Born.Addresses, netip.MustParsePrefix("192.0.2.99/24"))
			}
			test.change(&c)
			problems := Preflight(c, look(s))
			for _, problem := range problems {
				if strings.HasPrefix(problem.Error(), test.want) {
					return
				}
			}
			t.Errorf("got %v, want %s", problems, test.want)
		})
	}
}

// TestAWorkersAddressChanges: everyone who knows it hears of the new one.
func TestAWorkersAddressChanges(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2")
	s := site(c)
	must(t, c, s)
	c.Machines[2].Address = netip.MustParseAddr("192.0.2.99")
	s.Machines["w2"].Born.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.99/24")}
	said := must(t, c, s)
	for _, want := range []string{
		"m1: master: write /etc/provision/certificates.json\n", "w2: network: write /etc/provision/overlay.json\n", "w2: worker: write /etc/provision/kubelet.yaml\n",
		"w2: worker: restart kubelet, proxy\n", "w2: node: set node w2", "m1: addons: note the machines in the inventory\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("missing %q in\n%s", want, said)
		}
	}
	if strings.Contains(said, "w1: ") {
		t.Errorf("w1 has no part in it:\n%s", said)
	}
}
