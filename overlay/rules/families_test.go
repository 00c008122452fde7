package rules

import (
	"net/netip"
	"testing"

	"github.com/google/nftables"
)

// TestBothFamiliesMeetAStranger leads pods' packets of both families through
// other people's chains, on a machine whose own address is IPv4.
func TestBothFamiliesMeetAStranger(t *testing.T) {
	pods := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/56")}
	for family, want := range map[nftables.TableFamily][2]bool{
		nftables.TableFamilyIPv4: {true, false}, nftables.TableFamilyIPv6: {false, true}, nftables.TableFamilyINet: {true, true},
	} {
		chain := &nftables.Chain{Hooknum: nftables.ChainHookOutput, Table: &nftables.Table{Family: family}}
		var got [2]bool
		for _, p := range ways(chain, pods, netip.MustParseAddr("192.0.2.1")) {
			if p.source.Addr().Is4() != p.target.Addr().Is4() {
				t.Errorf("a packet from %s to %s", p.source, p.target)
			}
			if p.source.Addr().Is4() {
				got[0] = true
			} else {
				got[1] = true
			}
		}
		if got != want {
			t.Errorf("family %d: IPv4 and IPv6 %v, want %v", family, got, want)
		}
	}
}
