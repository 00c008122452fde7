package overlay

import (
	"strings"
	"testing"
	"time"
)

func TestMetrics(t *testing.T) {
	s := Status{Mode: Kernel, MTU: 1420, Updated: time.Unix(2e9, 0), Problems: []string{"one"}, Peers: []PeerStatus{
		{Name: `w"2`, Handshake: time.Unix(1e9, 0), Received: 12345678901, RoundTripMS: 0.5, Loss: 0.25, PathMTU: 1420},
		{Name: "w3", Silent: true},
	}}
	var b strings.Builder
	if err := s.Metrics(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`provision_overlay_info{mode="kernel"} 1`,
		"provision_overlay_mtu_bytes 1420",
		"provision_overlay_problems 1",
		`provision_overlay_peer_last_handshake_timestamp_seconds{peer="w\"2"} 1e+09`,
		`provision_overlay_peer_last_handshake_timestamp_seconds{peer="w3"} 0`,
		`provision_overlay_peer_received_bytes_total{peer="w\"2"} 1.2345678901e+10`,
		`provision_overlay_peer_round_trip_seconds{peer="w\"2"} 0.0005`,
		`provision_overlay_peer_answers{peer="w3"} 0`,
		`provision_overlay_peer_path_mtu_bytes{peer="w\"2"} 1420`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "# TYPE"); n != 11 {
		t.Errorf("%d families", n)
	}
}
