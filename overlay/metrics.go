package overlay

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Metrics writes a status as Prometheus reads it: the text format, version 0.0.4.
func (s Status) Metrics(w io.Writer) error {
	var b strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP provision_overlay_%s %s\n# TYPE provision_overlay_%s %s\n", name, help, name, kind)
	}
	family("info", "gauge", "Which WireGuard carries the pods' packets: kernel or userspace.")
	fmt.Fprintf(&b, "provision_overlay_info{mode=%s} 1\n", quoted(string(s.Mode)))
	family("mtu_bytes", "gauge", "MTU of wg0, bridge0 and pods.")
	fmt.Fprintf(&b, "provision_overlay_mtu_bytes %d\n", s.MTU)
	family("problems", "gauge", "Sentences of the overlay's status that say what is wrong.")
	fmt.Fprintf(&b, "provision_overlay_problems %d\n", len(s.Problems))
	family("looked_timestamp_seconds", "gauge", "When the kernel was last compared with what it should be.")
	fmt.Fprintf(&b, "provision_overlay_looked_timestamp_seconds %d\n", unix(s.Updated))
	for _, m := range []struct {
		name, kind, help string
		value            func(PeerStatus) float64
	}{
		{"peer_last_handshake_timestamp_seconds", "gauge", "When the session with a peer was last renewed; 0: never.", func(p PeerStatus) float64 { return float64(unix(p.Handshake)) }},
		{"peer_received_bytes_total", "counter", "Bytes that came from a peer.", func(p PeerStatus) float64 { return float64(p.Received) }},
		{"peer_sent_bytes_total", "counter", "Bytes that went to a peer.", func(p PeerStatus) float64 { return float64(p.Sent) }},
		{"peer_answers", "gauge", "1 while a peer answers through the tunnel.", func(p PeerStatus) float64 { return number(!p.Silent) }},
		{"peer_round_trip_seconds", "gauge", "Median round trip through the tunnel; 0: not known.", func(p PeerStatus) float64 { return p.RoundTripMS / 1000 }},
		{"peer_loss_ratio", "gauge", "Share of the last pings through the tunnel that were not answered.", func(p PeerStatus) float64 { return p.Loss }},
		{"peer_path_mtu_bytes", "gauge", "Largest packet that arrives at a peer; 0: not known.", func(p PeerStatus) float64 { return float64(p.PathMTU) }},
	} {
		family(m.name, m.kind, m.help)
		for _, p := range s.Peers {
			fmt.Fprintf(&b, "provision_overlay_%s{peer=%s} %v\n", m.name, quoted(p.Name), m.value(p))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func quoted(label string) string { return `"` + escapes.Replace(label) + `"` }

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
