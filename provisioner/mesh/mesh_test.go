package mesh

import (
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"provision/overlay"
)

var now = time.Unix(1e9, 0)

func peer(name string, change func(*overlay.PeerStatus)) overlay.PeerStatus {
	p := overlay.PeerStatus{Name: name, Endpoint: netip.MustParseAddrPort("192.0.2.9:51820"), Handshake: now.Add(-time.Minute), RoundTripMS: 0.5, PathMTU: 1420, Received: 1, Sent: 2}
	if change != nil {
		change(&p)
	}
	return p
}

func said(peers ...overlay.PeerStatus) Seen {
	return Seen{Now: now, Status: overlay.Status{Mode: overlay.Kernel, MTU: 1420, Updated: now, Peers: peers,
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}}}
}

func TestOf(t *testing.T) {
	names := []string{"m1", "w1", "w2"}
	healthy := map[string]Seen{
		"m1": said(peer("w1", nil), peer("w2", nil)), "w1": said(peer("m1", nil), peer("w2", nil)), "w2": said(peer("m1", nil), peer("w1", nil)),
	}
	m := Of("site", names, healthy)
	if !m.Healthy() || len(m.Machines) != 3 || len(m.Tunnels) != 6 || m.Tunnels[0].HandshakeAge != 60 {
		t.Errorf("%+v", m)
	}
	for _, test := range []struct {
		name string
		w1   Seen
		want State // from w1 to w2
	}{
		{"silent", said(peer("w2", func(p *overlay.PeerStatus) { p.Silent, p.RoundTripMS = true, 0 })), Silent},
		{"never answered", said(peer("w2", func(p *overlay.PeerStatus) { p.RoundTripMS = 0 })), Silent},
		{"lossy", said(peer("w2", func(p *overlay.PeerStatus) { p.Loss = 0.5 })), Lossy},
		{"narrow", said(peer("w2", func(p *overlay.PeerStatus) { p.PathMTU = 1340 })), Narrow},
		{"not a peer", said(), NoPeer},
		{"off", Seen{Err: errors.New("no route to host")}, Unknown},
	} {
		seen := map[string]Seen{"m1": healthy["m1"], "w1": test.w1, "w2": healthy["w2"]}
		m := Of("site", names, seen)
		if got := m.Tunnels[3]; got.From != "w1" || got.To != "w2" || got.State != test.want {
			t.Errorf("%s: %+v", test.name, got)
		}
		if m.Healthy() {
			t.Errorf("%s: healthy", test.name)
		}
		for _, pair := range m.worse() {
			if pair.From == "w1" && pair.To == "w2" && pair.State != test.want {
				t.Errorf("%s: the pair is %s", test.name, pair.State)
			}
		}
	}
	old := said(peer("m1", nil), peer("w2", nil))
	old.Now = now.Add(time.Hour)
	m = Of("site", names, map[string]Seen{"m1": healthy["m1"], "w1": old, "w2": healthy["w2"]})
	if p := m.Machines[1].Problems; len(p) != 1 || !strings.Contains(p[0], "does not run") {
		t.Errorf("an agent that died: %q", p)
	}
}

// Pictures hold every machine and tunnel, and nothing that a machine can say
// breaks them.
func TestPictures(t *testing.T) {
	evil := said(peer("w\"2", nil))
	evil.Status.Problems = []string{"</title><script>alert(1)</script>\x1b[2J"}
	m := Of(`a "site" & more`, []string{"m<1>", `w"2`}, map[string]Seen{"m<1>": evil, `w"2`: {Err: errors.New("off")}})
	svg := m.SVG()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	lines, boxes := 0, 0
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			switch e.Name.Local {
			case "line":
				lines++
			case "rect":
				boxes++
			case "script":
				t.Error("a script")
			}
		}
	}
	if boxes != 2 || lines != 1+4 { // and the legend's
		t.Errorf("%d boxes, %d lines", boxes, lines)
	}
	dot := m.DOT()
	for _, want := range []string{`"m<1>" -- "w\"2"`, `graph "a \"site\" & more" {`, "kernel, MTU 1420"} {
		if !strings.Contains(dot, want) {
			t.Errorf("no %s in\n%s", want, dot)
		}
	}
	if got := Of("empty", nil, nil).SVG(); !strings.Contains(got, "</svg>") {
		t.Error(got)
	}
}
