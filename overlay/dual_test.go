package overlay

import (
	"net/netip"
	"testing"
)

// Machines agree on the family in which they measure each other, whatever the order
// of their subnets; where pods have IPv6 alone, it is that.
func TestMeasuredFamily(t *testing.T) {
	four, six := netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:244:0:1::/64")
	for _, test := range []struct {
		subnets       []netip.Prefix
		ping, metrics string
	}{
		{[]netip.Prefix{four, six}, "10.244.1.2:51821", "10.244.1.1:51821"},
		{[]netip.Prefix{six, four}, "10.244.1.2:51821", "10.244.1.1:51821"},
		{[]netip.Prefix{six}, "[fd00:244:0:1::2]:51821", "[fd00:244:0:1::1]:51821"},
		{nil, "invalid AddrPort", "invalid AddrPort"},
	} {
		if ping, metrics := PingAddress(test.subnets).String(), MetricsAddress(test.subnets).String(); ping != test.ping || metrics != test.metrics {
			t.Errorf("%v: pings at %s, metrics at %s", test.subnets, ping, metrics)
		}
	}
}

// TestUnderlayOfIPv6 has peers whose packets go over IPv6, while their pods have
// both families.
func TestUnderlayOfIPv6(t *testing.T) {
	c := testConfig()
	c.Pods = append(c.Pods, pods6)
	list := testNodes(2)
	endpoint := netip.MustParseAddrPort("[2001:db8::2]:51820")
	list[0].PodCIDRs = append(list[0].PodCIDRs, "fd00:244:0:1::/64")
	list[1].PodCIDRs = append(list[1].PodCIDRs, "fd00:244:0:2::/64")
	list[1].Announcement = Announcement{1, testKey(2), Key{}, endpoint, Kernel}.Text()
	mesh, problems := Admit(c, testKey(1), Mesh{}, list)
	if len(problems) != 0 || len(mesh.Peers) != 1 {
		t.Fatal(mesh.Peers, problems)
	}
	peer := Desired(c, mesh, 1500).Device.Peers[0]
	if peer.Endpoint != endpoint || len(peer.Subnets) != 2 {
		t.Errorf("the peer is %+v", peer)
	}
}
