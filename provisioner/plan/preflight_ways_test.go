package plan

import (
	"net/netip"
	"testing"

	"provision/components"
	"provision/overlay/firewall"
)

// The overlay knows nothing of components: it has the balancer's address by itself.
func TestPodsFindTheAPIWhereTheBalancerIs(t *testing.T) {
	if want := netip.AddrPortFrom(components.NodeAPI, components.PortBalancer); firewall.API != want {
		t.Errorf("firewalls are asked about %s, and the balancer is at %s", firewall.API, want)
	}
}
