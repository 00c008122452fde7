//go:build lab

package agent

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/overlay"
)

// TestUnderlayOfIPv6 has machines that reach each other over IPv6, whose header
// leaves 80 bytes of each packet to the tunnel and no spare one. Then the MTU of
// their links falls: wg0, bridge0 and pods to come follow, packets of just that
// size arrive, and TCP of pods that were there before fits as well.
func TestUnderlayOfIPv6(t *testing.T) {
	machines := both(t, 2, func(m *machine) {
		m.address = strings.Replace(m.address, "192.0.2.", "2001:db8:2::", 1)
		m.config.Address = netip.MustParseAddr(m.address)
	})
	a, b := machines[0], machines[1]
	eventually(t, "the pods' servers answer", 30*time.Second, func() bool {
		_, one := in(a.pod, "call", b.podAddress+":8080")
		_, other := in(b.pod, "call", a.podAddress+":8080")
		return one == nil && other == nil
	})
	clear := clearly(t, a)
	for _, mtu := range []int{1500, 1400} {
		for _, m := range machines {
			ip(t, m.name, fmt.Sprintf("link set eth0 mtu %d", mtu))
		}
		want := mtu - overlay.Overhead
		for _, m := range machines {
			eventually(t, fmt.Sprintf("%s has links of %d", m.name, want), 30*time.Second, func() bool {
				conf, _ := os.ReadFile(m.config.CNIConf)
				return strings.Contains(string(conf), fmt.Sprintf(`"mtu": %d`, want)) && !slices.ContainsFunc([]string{overlay.Tunnel, overlay.Bridge}, func(link string) bool {
					return !strings.Contains(ip(t, m.name, "link show "+link), fmt.Sprintf("mtu %d ", want))
				})
			})
		}
		eventually(t, fmt.Sprintf("packets of %d bytes arrive", want), 60*time.Second, func() bool {
			s := a.status()
			return len(s.Peers) == 1 && s.Peers[0].Endpoint.Addr() == b.config.Address && s.MTU == want && s.Peers[0].PathMTU == want
		})
		for _, way := range [][2]*machine{{a, b}, {b, a}} {
			from, to := way[0], way[1]
			six := "[" + strings.NewReplacer("10.244.", "fd00:244:0:", ".9", "::9").Replace(to.podAddress) + "]"
			for address, headers := range map[string]int{to.podAddress: 40, six: 60} {
				out, err := in(from.pod, "call", address+":8080")
				var peer string
				var mss int
				fmt.Sscan(out, &peer, &mss)
				if want := want - headers - 12; err != nil || mss != want { // 12: the timestamp option
					t.Errorf("to %s: segments of %d (%q, %v), want %d", address, mss, out, err, want)
				}
			}
		}
		if out, err := in(a.pod, "send", b.podAddress+":8080"); out != fmt.Sprint(8<<20) {
			t.Errorf("8 MiB: %q, %v", out, err)
		}
	}
	for _, m := range machines {
		if problems := m.status().Problems; len(problems) > 0 {
			t.Errorf("%s: %q", m.name, problems)
		}
	}
	if n := clear.Load(); n > 0 {
		t.Errorf("%d packets of pods were in clear", n)
	}
}
