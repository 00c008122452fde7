package worker_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"provision/components"
	"provision/components/componentstest"
)

// TestDualStackWorker looks at what is written on a worker: the machine may have an
// address of one family alone, while its pods have both.
func TestDualStackWorker(t *testing.T) {
	for addresses, want := range map[string][]string{
		"192.0.2.2":              {"--node-ip=192.0.2.2\n", "nodePortAddresses: [\"192.0.2.2/32\", \"::1/128\"]\n", "healthzBindAddress: 192.0.2.2:10256\n"},
		"192.0.2.2 2001:db8::22": {"--node-ip=192.0.2.2,2001:db8::22\n", "nodePortAddresses: [primary]\n"},
		"2001:db8::22":           {"--node-ip=2001:db8::22\n", "nodePortAddresses: [\"2001:db8::22/128\", \"127.0.0.1/32\"]\n", "\"[2001:db8::22]:10256\"\n", `"address": "2001:db8::22"`},
	} {
		c := componentstest.Cluster("m1", "w1")
		c.Network.Pods6, c.Network.NodeMask6 = netip.MustParsePrefix("fd00:244::/56"), 64
		c.Network.Services6 = netip.MustParsePrefix("fd00:96::/112")
		first, second, both := strings.Cut(addresses, " ")
		c.Machines[1].Address = netip.MustParseAddr(first)
		if both {
			c.Machines[1].Address6 = netip.MustParseAddr(second)
		}
		files, _ := planned(c, c.Machines[1], components.Facts{})
		written := strings.Join(slices.Collect(maps.Values(files)), "\n")
		for _, line := range append(want, "clusterCIDR: 10.244.0.0/16,fd00:244::/56\n", `"prefix": "fd00:244::/56",`, `"fd00:96::/112"`) {
			if !strings.Contains(written, line) {
				t.Errorf("%s: no %q in\n%s", addresses, line, written)
			}
		}
	}
}
