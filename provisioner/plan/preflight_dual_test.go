package plan

import (
	"net/netip"
	"strings"
	"testing"

	"provision/components"
)

// dual is a small cluster of both families, on machines of IPv4 alone.
func dual() (components.Cluster, Facts) {
	c, found := sound()
	c.Network.NodeMask = 24
	c.Network.Pods6, c.Network.NodeMask6 = netip.MustParsePrefix("fd00:244::/56"), 64
	c.Network.Services6 = netip.MustParsePrefix("fd00:96::/112")
	for name, f := range found.Machines {
		f.Sysctls = map[string]string{"net.ipv6.conf.all.forwarding": "0"}
		found.Machines[name] = f
	}
	return c, found
}

func TestDualStackPreflight(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*components.Cluster, *components.Facts, *components.ClusterFacts)
		want   string
	}{
		"as it is":              {func(*components.Cluster, *components.Facts, *components.ClusterFacts) {}, ""},
		"no IPv6 in the kernel": {func(_ *components.Cluster, f *components.Facts, _ *components.ClusterFacts) { f.Sysctls = nil }, "m1: has no IPv6 in its kernel"},
		"an address that is not there": {func(c *components.Cluster, _ *components.Facts, _ *components.ClusterFacts) {
			c.Machines[0].Address6 = netip.MustParseAddr("2001:db8::1")
		}, "m1: does not have the address 2001:db8::1, which its Node is to have as address6; it has"},
		"an address that is there": {func(c *components.Cluster, f *components.Facts, _ *components.ClusterFacts) {
			c.Machines[0].Address6 = netip.MustParseAddr("2001:db8::1")
			f.Addresses = append(f.Addresses, netip.MustParsePrefix("2001:db8::1/64"))
		}, ""},
		"a link in the pods' range": {func(_ *components.Cluster, f *components.Facts, _ *components.ClusterFacts) {
			f.Addresses = append(f.Addresses, netip.MustParsePrefix("fd00:244::9/64"))
		}, "m1: has the address fd00:244::9 on a link of its own, which lies in network.pods"},
		"a cluster that has both": {func(_ *components.Cluster, _ *components.Facts, api *components.ClusterFacts) {
			api.Nodes = map[string]components.NodeFact{"m1": {PodCIDRs: []string{"10.244.0.0/24", "fd00:244::/64"}}}
		}, ""},
		"a cluster of IPv4": {func(_ *components.Cluster, _ *components.Facts, api *components.ClusterFacts) {
			api.Nodes = map[string]components.NodeFact{"m1": {PodCIDRs: []string{"10.244.0.0/24"}}}
		}, "m1: has the pod subnets 10.244.0.0/24, which do not follow from network.pods"},
		"another mask": {func(_ *components.Cluster, _ *components.Facts, api *components.ClusterFacts) {
			api.Nodes = map[string]components.NodeFact{"m1": {PodCIDRs: []string{"10.244.0.0/25", "fd00:244::/64"}}}
		}, "m1: has the pod subnets 10.244.0.0/25, fd00:244::/64, which"},
	} {
		c, found := dual()
		f := found.Machines["m1"]
		test.change(&c, &f, &found.Cluster)
		found.Machines["m1"] = f
		var said []string
		for _, p := range Preflight(c, found) {
			said = append(said, p.Error())
		}
		got := strings.Join(said, "\n")
		if test.want == "" && got != "" || !strings.HasPrefix(got, test.want) || len(said) > 1 {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
