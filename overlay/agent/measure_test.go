package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"provision/overlay"
)

// Without a handshake the keys may differ; with one they do not.
func TestSilence(t *testing.T) {
	now := time.Unix(1e9, 0)
	peer := overlay.PeerStatus{Name: "w1", Endpoint: netip.MustParseAddrPort("192.0.2.2:51820")}
	for _, test := range []struct {
		handshake time.Time
		keys      bool
	}{{time.Time{}, true}, {now.Add(-time.Hour), true}, {now.Add(-time.Minute), false}} {
		peer.Handshake = test.handshake
		said := silence(peer, now)
		for _, want := range []string{"w1 does not answer through the tunnel", "UDP port 51820 does not get through to 192.0.2.2", "UDP port 51821 on wg0"} {
			if !strings.Contains(said, want) {
				t.Errorf("%q does not say %q", said, want)
			}
		}
		if strings.Contains(said, "pre-shared key") != test.keys || strings.Contains(said, "NAT") != test.keys {
			t.Errorf("handshake at %v: %q", test.handshake, said)
		}
	}
}
