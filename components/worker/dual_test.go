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
// IPv4 address alone, while its pods have both.
func TestDualStackWorker(t *testing.T) {
	for address6, want := range map[string][]string{
		"":             {"--node-ip=192.0.2.2\n", "nodePortAddresses: [\"192.0.2.2/32\", \"::1/128\"]\n"},
		"2001:db8::22": {"--node-ip=192.0.2.2,2001:db8::22\n", "nodePortAddresses: [primary]\n"},
	} {
		c := componentstest.Cluster("m1", "w1")
		c.Network.Pods6, c.Network.NodeMask6 = netip.MustParsePrefix("fd00:244::/56"), 64
		c.Network.Services6 = netip.MustParsePrefix("fd00:96::/112")
		if address6 != "" {
			c.Machines[1].Address6 = netip.MustParseAddr(address6)
		}
		files, _ := planned(c, c.Machines[1], components.Facts{})
		written := strings.Join(slices.Collect(maps.Values(files)), "\n")
		for _, line := range append(want, "clusterCIDR: 10.244.0.0/16,fd00:244::/56\n", `"prefix": "fd00:244::/56",`, `"fd00:96::/112"`) {
			if !strings.Contains(written, line) {
				t.Errorf("address6 %q: no %q in\n%s", address6, line, written)
			}
		}
	}
}
