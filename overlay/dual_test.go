package overlay

import (
	"net/netip"
	"testing"
)

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
