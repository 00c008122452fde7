package overlay

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func routesText(routes []Route) string {
	var b strings.Builder
	for _, r := range routes {
		if r.Unreachable() {
			fmt.Fprintf(&b, "unreachable %v metric %d\n", r.Prefix, r.Metric)
		} else {
			fmt.Fprintf(&b, "%v dev %s src %v metric %d\n", r.Prefix, r.Device, r.Source, r.Metric)
		}
	}
	return b.String()
}

func TestDesired(t *testing.T) {
	mesh, _ := Admit(testConfig(), testKey(1), Mesh{}, testNodes(3))
	h := Desired(testConfig(), mesh, 1500)
	want := `unreachable 10.244.0.0/16 metric 4294967294
10.244.1.0/24 dev bridge0 src 10.244.1.1 metric 0
10.96.0.0/16 dev bridge0 src 10.244.1.1 metric 0
10.244.2.0/24 dev wg0 src 10.244.1.2 metric 0
10.244.3.0/24 dev wg0 src 10.244.1.2 metric 0
`
	if d := cmp.Diff(want, routesText(h.Routes)); d != "" {
		t.Error(d)
	}
	if h.MTU != 1420 || h.CNI.MTU != 1420 || h.Rules.MTU != 1420 {
		t.Errorf("MTU %d", h.MTU)
	}
	if fmt.Sprint(h.Bridge, h.Tunnel) != "[10.244.1.1/24] [10.244.1.2/32]" {
		t.Errorf("addresses %v %v", h.Bridge, h.Tunnel)
	}
}

func TestDesiredBeforeASubnetIsClosed(t *testing.T) {
	h := Desired(testConfig(), Mesh{}, 1500)
	if got, want := routesText(h.Routes), "unreachable 10.244.0.0/16 metric 4294967294\n"; got != want {
		t.Errorf("routes %q", got)
	}
	if len(h.Bridge)+len(h.Tunnel)+len(h.CNI.Subnets) != 0 || len(h.Rules.Pods) != 1 {
		t.Errorf("%+v", h)
	}
}

func TestDesiredDualStack(t *testing.T) {
	c := testConfig()
	c.Pods = append(c.Pods, pods6)
	c.Services = append(c.Services, netip.MustParsePrefix("fd00:96::/108"))
	list := testNodes(2)
	list[0].PodCIDRs = append(list[0].PodCIDRs, "fd00:244:0:1::/64")
	list[1].PodCIDRs = append(list[1].PodCIDRs, "fd00:244:0:2::/64")
	mesh, problems := Admit(c, testKey(1), Mesh{}, list)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	h := Desired(c, mesh, 1500)
	text := routesText(h.Routes)
	for _, want := range []string{
		"unreachable fd00:244::/56 metric",
		"fd00:244:0:1::/64 dev bridge0 src fd00:244:0:1::1 metric 1024",
		"fd00:96::/108 dev bridge0 src fd00:244:0:1::1",
		"fd00:244:0:2::/64 dev wg0 src fd00:244:0:1::2",
		"10.244.2.0/24 dev wg0 src 10.244.1.2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if fmt.Sprint(h.Tunnel) != "[10.244.1.2/32 fd00:244:0:1::2/128]" {
		t.Errorf("wg0 %v", h.Tunnel)
	}
}

func TestDesiredMTU(t *testing.T) {
	for _, test := range []struct{ asked, underlay, want int }{{0, 1500, 1420}, {0, 9000, 8920}, {1400, 1500, 1400}, {0, 1300, 1280}} {
		c := testConfig()
		c.MTU = test.asked
		if got := Desired(c, Mesh{}, test.underlay).MTU; got != test.want {
			t.Errorf("asked %d over %d: %d, want %d", test.asked, test.underlay, got, test.want)
		}
	}
}

func TestDiffRoutes(t *testing.T) {
	mesh, _ := Admit(testConfig(), testKey(1), Mesh{}, testNodes(3))
	want := Desired(testConfig(), mesh, 1500).Routes
	if write, remove := DiffRoutes(want, want); len(write)+len(remove) != 0 {
		t.Errorf("converged: writes %v, removes %v", write, remove)
	}
	have := append([]Route{{Prefix: netip.MustParsePrefix("10.244.9.0/24"), Device: Tunnel}}, want[:3]...)
	have[2].Source = netip.MustParseAddr("10.244.1.9")
	write, remove := DiffRoutes(have, want)
	if got := routesText(write); strings.Count(got, "\n") != 3 || !strings.Contains(got, "10.244.1.0/24 dev bridge0 src 10.244.1.1") {
		t.Errorf("writes\n%s", got)
	}
	if got := routesText(remove); got != "10.244.9.0/24 dev wg0 src invalid IP metric 0\n" {
		t.Errorf("removes\n%s", got)
	}
}

func TestDiffPeers(t *testing.T) {
	now := time.Unix(1e9, 0)
	want := Device{Port: 51820, Peers: []Peer{{UID: "u", Key: testKey(2), Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), Subnets: []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24")}}}}
	same := DevicePeer{Key: testKey(2), Endpoint: want.Peers[0].Endpoint, Subnets: want.Peers[0].Subnets, Handshake: now.Add(-time.Minute)}
	with := func(f func(*DevicePeer)) []DevicePeer { p := same; f(&p); return []DevicePeer{p} }
	elsewhere := netip.MustParseAddrPort("198.51.100.7:1024")
	for _, test := range []struct {
		name      string
		have      []DevicePeer
		announced string // the endpoint written last
		want      []PeerChange
	}{
		{"as it is", []DevicePeer{same}, "", nil},
		{"missing", nil, "", []PeerChange{{Key: testKey(2), Add: true, Endpoint: want.Peers[0].Endpoint, Subnets: want.Peers[0].Subnets}}},
		{"a stranger goes first", append([]DevicePeer{{Key: testKey(9)}}, with(func(p *DevicePeer) { p.Subnets = nil })...), "", []PeerChange{
			{Key: testKey(9), Remove: true, KeepaliveSeconds: -1},
			{Key: testKey(2), Subnets: want.Peers[0].Subnets, KeepaliveSeconds: -1},
		}},
		{"it roamed and is alive", with(func(p *DevicePeer) { p.Endpoint = elsewhere }), "192.0.2.2:51820", nil},
		{"it roamed and fell silent", with(func(p *DevicePeer) { p.Endpoint, p.Handshake = elsewhere, now.Add(-time.Hour) }), "192.0.2.2:51820",
			[]PeerChange{{Key: testKey(2), Endpoint: want.Peers[0].Endpoint, KeepaliveSeconds: -1}}},
		{"it announced another endpoint", with(func(p *DevicePeer) { p.Endpoint = elsewhere }), "192.0.2.99:51820",
			[]PeerChange{{Key: testKey(2), Endpoint: want.Peers[0].Endpoint, KeepaliveSeconds: -1}}},
		{"it has too many subnets", with(func(p *DevicePeer) {
			p.Subnets = append([]netip.Prefix{netip.MustParsePrefix("10.244.3.0/24")}, p.Subnets...)
		}), "", []PeerChange{{Key: testKey(2), Subnets: want.Peers[0].Subnets, KeepaliveSeconds: -1}}},
		{"keepalive", with(func(p *DevicePeer) { p.KeepaliveSeconds = 25 }), "", []PeerChange{{Key: testKey(2), KeepaliveSeconds: 0}}},
	} {
		written := map[Key]Written{}
		if test.announced != "" {
			written[testKey(2)] = Written{Endpoint: netip.MustParseAddrPort(test.announced)}
		}
		if d := cmp.Diff(test.want, DiffPeers(testKey(1), test.have, want, written, now), comparable); d != "" {
			t.Errorf("%s: %s", test.name, d)
		}
	}
}

// Of two machines that learn of each other at once, one begins.
func TestOneSideBegins(t *testing.T) {
	now := time.Unix(1e9, 0)
	endpoint := netip.MustParseAddrPort("192.0.2.2:51820")
	for _, test := range []struct {
		name       string
		self, peer int
		have       bool
		added      time.Duration // ago
		handshake  bool
		want       int // seconds written; -1: none
	}{
		{"the smaller key begins", 1, 2, false, 0, false, 25},
		{"the larger waits", 2, 1, false, 0, false, -1},
		{"and waits", 2, 1, true, Courtesy / 2, false, -1},
		{"until the handshake is done", 2, 1, true, Courtesy / 2, true, 25},
		{"or the other had its time", 2, 1, true, Courtesy, false, 25},
	} {
		want := Device{KeepaliveSeconds: 25, Peers: []Peer{{Key: testKey(test.peer), Endpoint: endpoint}}}
		var have []DevicePeer
		written := map[Key]Written{}
		if test.have {
			have = []DevicePeer{{Key: testKey(test.peer), Endpoint: endpoint}}
			written[testKey(test.peer)] = Written{Endpoint: endpoint, Added: now.Add(-test.added)}
			if test.handshake {
				have[0].Handshake = now
			}
		}
		got := -1
		for _, c := range DiffPeers(testKey(test.self), have, want, written, now) {
			got = c.KeepaliveSeconds
		}
		if got != test.want {
			t.Errorf("%s: keepalive %d, want %d", test.name, got, test.want)
		}
	}
}

// A key that is to take over only answers, until it has shaken hands.
func TestTheNextKeyTakesOver(t *testing.T) {
	now := time.Unix(1e9, 0)
	subnets := []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24")}
	endpoint := netip.MustParseAddrPort("192.0.2.2:51820")
	want := Device{KeepaliveSeconds: 25, Peers: []Peer{{Key: testKey(2), Next: testKey(3), Endpoint: endpoint, Subnets: subnets}}}
	old := DevicePeer{Key: testKey(2), Endpoint: endpoint, Subnets: subnets, KeepaliveSeconds: 25, Handshake: now.Add(-time.Minute)}
	next := DevicePeer{Key: testKey(3), Endpoint: endpoint}
	diff := func(have ...DevicePeer) string {
		var words []string
		for _, c := range DiffPeers(testKey(1), have, want, nil, now) {
			words = append(words, fmt.Sprintf("%d add=%v subnets=%v keepalive=%d", c.Key[31], c.Add, c.Subnets, c.KeepaliveSeconds))
		}
		return strings.Join(words, "; ")
	}
	if got, want := diff(old), "3 add=true subnets=[] keepalive=0"; got != want {
		t.Errorf("prepared: %s, want %s", got, want)
	}
	if got := diff(old, next); got != "" {
		t.Errorf("waiting: %s", got)
	}
	next.Handshake = now
	if got, want := diff(old, next), "2 add=false subnets=[] keepalive=0; 3 add=false subnets=[10.244.2.0/24] keepalive=25"; got != want {
		t.Errorf("taking over: %s, want %s", got, want)
	}
	want.Peers[0].Key, want.Peers[0].Next = testKey(3), Key{}
	next.Subnets, next.KeepaliveSeconds = subnets, 25
	if changes := DiffPeers(testKey(1), []DevicePeer{old, next}, want, nil, now); len(changes) != 1 || !changes[0].Remove || changes[0].Key != testKey(2) {
		t.Errorf("afterwards: %+v", changes)
	}
}

// A device that was made anew gets the endpoints at which peers were seen while
// their sessions may be in use, and keeps them until there is an answer.
func TestDiffPeersRemembersWhereOneRoamed(t *testing.T) {
	now := time.Unix(1e9, 0)
	announced, elsewhere := netip.MustParseAddrPort("192.0.2.2:51820"), netip.MustParseAddrPort("198.51.100.7:1024")
	want := Device{Peers: []Peer{{UID: "u", Key: testKey(2), Endpoint: announced}}}
	for _, test := range []struct {
		name    string
		ago     time.Duration // the handshake elsewhere
		lost    time.Duration // ago; 0: it is not known yet
		written netip.AddrPort
		have    []DevicePeer
		want    netip.AddrPort // written; invalid: nothing is
	}{
		{"it was alive there", time.Minute, 0, announced, nil, elsewhere},
		{"it has been silent since", time.Hour, 0, announced, nil, announced},
		{"it announces another endpoint since", time.Minute, 0, elsewhere, nil, announced},
		{"it is asked there", time.Minute, 2 * time.Second, announced, []DevicePeer{{Key: testKey(2), Endpoint: elsewhere}}, netip.AddrPort{}},
		{"it does not answer there", time.Minute, recall, announced, []DevicePeer{{Key: testKey(2), Endpoint: elsewhere}}, announced},
	} {
		written := map[Key]Written{testKey(2): {Endpoint: test.written, Seen: elsewhere, At: now.Add(-test.ago)}}
		if test.lost > 0 {
			w := written[testKey(2)]
			w.Lost = now.Add(-test.lost)
			written[testKey(2)] = w
		}
		var got netip.AddrPort
		for _, c := range DiffPeers(testKey(1), test.have, want, written, now) {
			got = c.Endpoint
		}
		if got != test.want {
			t.Errorf("%s: writes %v, want %v", test.name, got, test.want)
		}
	}
}

// So does the userspace daemon, which begins with the mesh and the last status.
func TestMeshSeen(t *testing.T) {
	now := time.Unix(1e9, 0)
	announced, elsewhere := netip.MustParseAddrPort("192.0.2.2:51820"), netip.MustParseAddrPort("198.51.100.7:1024")
	m := Mesh{Peers: []Peer{{UID: "u", Key: testKey(2), Endpoint: announced}}}
	for name, test := range map[string]struct {
		peer PeerStatus
		want netip.AddrPort
	}{
		"alive there":      {PeerStatus{UID: "u", Key: testKey(2), Endpoint: elsewhere, Handshake: now.Add(-time.Minute)}, elsewhere},
		"silent since":     {PeerStatus{UID: "u", Key: testKey(2), Endpoint: elsewhere, Handshake: now.Add(-time.Hour)}, announced},
		"never heard of":   {PeerStatus{UID: "u", Key: testKey(2), Endpoint: elsewhere}, announced},
		"another machine":  {PeerStatus{UID: "v", Key: testKey(2), Endpoint: elsewhere, Handshake: now}, announced},
		"with another key": {PeerStatus{UID: "u", Key: testKey(3), Endpoint: elsewhere, Handshake: now}, announced},
		"without endpoint": {PeerStatus{UID: "u", Key: testKey(2), Handshake: now}, announced},
	} {
		if got := m.Seen(Status{Peers: []PeerStatus{test.peer}}, now).Peers[0].Endpoint; got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if m.Peers[0].Endpoint != announced {
		t.Error("it changes the mesh that is kept")
	}
}
