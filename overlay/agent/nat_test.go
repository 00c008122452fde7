//go:build lab

package agent

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"provision/overlay"
	"provision/overlay/state"
)

// router is a NAT: who is behind it begins, and is seen at its address and at
// another port.
type router struct {
	t       testing.TB
	name    string // of the namespace
	outside string // its address on the underlay
	forward []string
}

// pace returns after how many seconds of rest machines send a packet, and for how
// many a router remembers a flow of UDP: the default, and hardly more, or with
// OVERLAY_LONG unset a few.
func pace() (keepalive, memory int) {
	if os.Getenv("OVERLAY_LONG") == "" {
		return 4, 6
	}
	return overlay.DefaultKeepalive, overlay.DefaultKeepalive + 3
}

func newRouter(t testing.TB, name, outside, inside string) *router {
	t.Helper()
	r := &router{t: t, name: name, outside: outside}
	namespace(t, name)
	plug(t, name, outside)
	newSwitch(t, name)
	ip(t, name, "addr add "+inside+"/24 dev switch")
	r.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	r.ports("40000-44999")
	_, memory := pace()
	r.remembers(memory)
	return r
}

// remembers sets for how many seconds the router knows a flow of UDP that rests.
func (r *router) remembers(seconds int) {
	r.t.Helper()
	r.run("sysctl", "-qw", fmt.Sprintf("net.netfilter.nf_conntrack_udp_timeout=%d", seconds), fmt.Sprintf("net.netfilter.nf_conntrack_udp_timeout_stream=%d", seconds))
}

func (r *router) run(argv ...string) {
	r.t.Helper()
	run(r.t, append([]string{"ip", "netns", "exec", r.name}, argv...)...)
}

// ports writes the rules, with the range that a source port is taken from, and
// has the router forget the flows that it knows.
func (r *router) ports(span string) {
	r.t.Helper()
	r.run("nft", fmt.Sprintf(`add table ip nat; delete table ip nat; add table ip nat
		add chain ip nat pre { type nat hook prerouting priority -100; }
		add chain ip nat post { type nat hook postrouting priority 100; }
		add rule ip nat post oifname eth0 meta l4proto udp masquerade to :%s random
		%s`, span, strings.Join(r.forward, "\n")))
	r.forget()
}

func (r *router) forget() {
	r.t.Helper()
	if out, err := in(r.name, "forget"); err != nil {
		r.t.Fatal(out)
	}
}

// to leads a port of the router to a machine's WireGuard: from outside, and from
// inside as well.
func (r *router) to(m *machine, port uint16) {
	r.t.Helper()
	r.forward = append(r.forward, fmt.Sprintf("add rule ip nat pre ip daddr %s udp dport %d dnat to %s:51820", r.outside, port, m.address))
	r.ports("40000-44999")
}

// moves gives the router another address outside.
func (r *router) moves(outside string) {
	r.t.Helper()
	ip(r.t, r.name, "addr del "+r.outside+"/24 dev eth0")
	ip(r.t, r.name, "addr add "+outside+"/24 dev eth0")
	r.outside = outside
	r.forget()
}

// hush has nothing hold a NAT's mapping open: it is what persistent_keepalive = 0
// leaves on a machine whose agent does not run.
func (m *machine) hush() {
	m.t.Helper()
	run(m.t, "ip", "netns", "exec", m.name, "sh", "-c", fmt.Sprintf("mount --bind %s/sockets /run/wireguard && exec %s lab hush", m.dir, os.Args[0]))
}

func hush() error {
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	d, err := client.Device(overlay.Tunnel)
	if err != nil {
		return err
	}
	none := time.Duration(0)
	var config wgtypes.Config
	for _, p := range d.Peers {
		config.Peers = append(config.Peers, wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: true, PersistentKeepaliveInterval: &none})
	}
	return client.ConfigureDevice(overlay.Tunnel, config)
}

// peer is what a machine knows of another.
func (m *machine) peer(of *machine) overlay.PeerStatus {
	for _, p := range m.status().Peers {
		if p.Name == of.name {
			return p
		}
	}
	return overlay.PeerStatus{}
}

// reaches says whether a pod gets an answer from another machine's.
func (m *machine) reaches(to *machine) bool {
	_, err := in(m.pod, "call", to.podAddress+":8080")
	return err == nil
}

// natLab has four machines: the second one where everybody reaches it, the first
// and the third behind one NAT, the fourth behind another. Of the first and the
// third the one has a larger key than the second, and the other a smaller one.
func natLab(t testing.TB) ([]*machine, *router, *router) {
	t.Helper()
	keys := make([]overlay.PrivateKey, 4)
	for i := range keys {
		keys[i] = overlay.NewPrivateKey()
	}
	slices.SortFunc(keys, func(x, y overlay.PrivateKey) int {
		a, b := x.Public(), y.Public()
		return bytes.Compare(a[:], b[:])
	})
	var near, far *router
	machines := newLab(t, 4, func(m *machine) {
		rank := map[string]int{"ovlab3": 0, "ovlab2": 1, "ovlab1": 2, "ovlab4": 3}[m.name]
		dir, err := state.Open(m.config.StateDir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(string(dir), "private.key"), keys[rank].PrivateKeyText(), 0o600); err != nil {
			t.Fatal(err)
		}
		switch m.name {
		case "ovlab1":
			near = newRouter(t, "ovlab-nat1", "192.0.2.201", "203.0.113.1")
			m.router, m.address = near.name, "203.0.113.11"
		case "ovlab3":
			m.router, m.address = near.name, "203.0.113.13"
		case "ovlab4":
			far = newRouter(t, "ovlab-nat2", "192.0.2.202", "198.51.100.1")
			m.router, m.address = far.name, "198.51.100.14"
		}
		m.config.Address = netip.MustParseAddr(m.address)
		m.config.KeepaliveSeconds, _ = pace()
	})
	return machines, near, far
}

// TestNAT is one story, since setting the scene takes longest. OVERLAY_LONG=1 adds
// what takes longer than a session lives.
func TestNAT(t *testing.T) {
	machines, near, far := natLab(t)
	a, b, c, d := machines[0], machines[1], machines[2], machines[3]
	introduceAll(t, machines)
	for _, m := range machines {
		m.plugPod()
	}
	connect := func(t *testing.T, x, y *machine) {
		t.Helper()
		eventually(t, x.name+"'s pod reaches "+y.name+"'s", 20*time.Second, func() bool { return x.reaches(y) })
	}
	seen := func(t *testing.T, r *router, m *machine, from, to uint16) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s sees %s at %s, port %d to %d", b.name, m.name, r.outside, from, to), 6*time.Second, func() bool { return r.seen(b, m, from, to) })
	}

	t.Run("who is behind a NAT begins, whichever key is larger", func(t *testing.T) {
		for _, m := range []*machine{a, c, d} {
			connect(t, b, m) // from outside: it waits for the other to begin
			connect(t, m, b)
		}
		for m, r := range map[*machine]*router{a: near, c: near, d: far} {
			seen(t, r, m, 40000, 44999)
		}
	})
	t.Run("behind the same NAT they need it not", func(t *testing.T) {
		connect(t, a, c)
		connect(t, c, a)
		if e := a.peer(c).Endpoint.String(); e != c.address+":51820" {
			t.Errorf("it sends to %s", e)
		}
	})
	t.Run("behind two NATs, neither of which leads in, there is no way, and it is said", func(t *testing.T) {
		if a.reaches(d) || d.reaches(a) {
			t.Fatal("there is a way")
		}
		eventually(t, "said", 20*time.Second, func() bool {
			return strings.Contains(strings.Join(a.status().Problems, "\n"), d.name+" does not answer through the tunnel") &&
				strings.Contains(strings.Join(d.status().Problems, "\n"), a.name+" does not answer through the tunnel")
		})
		t.Log(a.status().Problems)
	})
	for _, roam := range []struct {
		name     string
		do       func()
		from, to uint16
	}{
		{"the NAT forgets, and takes other ports", func() { near.ports("45000-49999") }, 45000, 49999},
		{"the NAT gets another address", func() { near.moves("192.0.2.211") }, 45000, 49999},
		{"both at once", func() { near.ports("40000-44999"); near.moves("192.0.2.201") }, 40000, 44999},
	} {
		t.Run(roam.name, func(t *testing.T) {
			inside := c.background(c.pod, "gap", b.podAddress+":8080", "5s")
			outside := b.background(b.pod, "gap", a.podAddress+":8080", "5s")
			time.Sleep(time.Second)
			roam.do()
			<-inside.done
			<-outside.done
			_, asks := parseGap(t, inside)
			_, answers := parseGap(t, outside)
			t.Logf("longest silence: %d ms where the machine behind the NAT speaks, %d ms where it only answers", asks, answers)
			connect(t, b, a)
			connect(t, b, c)
			seen(t, near, a, roam.from, roam.to)
			seen(t, near, c, roam.from, roam.to)
		})
	}
	t.Run("an endpoint that roamed stays, whatever the agent looks at or however often it starts", func(t *testing.T) {
		b.agent.end(syscall.SIGKILL)
		b.agent = b.start("overlay")
		for since := time.Now(); time.Since(since) < 6*time.Second; time.Sleep(500 * time.Millisecond) {
			ip(t, b.name, "addr add 198.18.0.1/32 dev lo")
			ip(t, b.name, "addr del 198.18.0.1/32 dev lo")
			if !near.seen(b, a, 40000, 44999) {
				t.Fatalf("it is at %v", b.peer(a).Endpoint)
			}
		}
		if !b.reaches(a) {
			t.Error("it is not reached")
		}
	})
	t.Run("who loses its sessions finds those behind a NAT again", func(t *testing.T) {
		for _, loss := range []struct {
			name string
			do   func()
		}{
			{"the wireguard unit of the machine outside is killed", func() {
				b.wire.end(syscall.SIGKILL)
				b.wire = b.start("wireguard")
			}},
			{"its wg0 is deleted", func() {
				ip(t, b.name, "link del wg0")
				<-b.wire.done
				b.wire = b.start("wireguard")
			}},
		} {
			watch := b.background(b.pod, "gap", a.podAddress+":8080", "5s")
			time.Sleep(time.Second)
			loss.do()
			<-watch.done
			_, longest := parseGap(t, watch)
			t.Logf("%s: longest silence %d ms", loss.name, longest)
			if longest > 3500 {
				t.Errorf("%s: longest silence %d ms", loss.name, longest)
			}
			connect(t, b, a)
			seen(t, near, a, 40000, 44999)
		}
	})
	t.Run("an endpoint that leads in is where the others begin", func(t *testing.T) {
		near.to(c, 51823)
		c.config.Endpoint = netip.AddrPortFrom(netip.MustParseAddr(near.outside), 51823)
		c.configure()
		c.agent.end(syscall.SIGKILL)
		c.agent = c.start("overlay")
		eventually(t, "announced", 10*time.Second, func() bool { return strings.Contains(c.announcement(), ":51823") })
		introduce(t, machines)
		connect(t, d, c) // behind two NATs, one of which leads in
		connect(t, c, d)
		connect(t, a, c) // behind one NAT, which leads its own back in
		connect(t, c, a)
		// Only from outside: what is behind the NAT does not begin any more.
		c.agent.end(syscall.SIGKILL)
		c.hush()
		near.forget()
		b.wire.end(syscall.SIGKILL)
		b.wire = b.start("wireguard")
		eventually(t, "begun from outside", 20*time.Second, func() bool { return b.reaches(c) })
		c.agent = c.start("overlay")
		eventually(t, "all is well", 20*time.Second, func() bool { return c.status().Updated.After(time.Now().Add(-3*time.Second)) && c.reaches(b) })
	})
	t.Run("a NAT is held open without the agents, or not", func(t *testing.T) {
		connect(t, b, a)
		connect(t, b, d)
		for _, m := range machines {
			m.agent.end(syscall.SIGKILL)
		}
		for _, m := range []*machine{b, c, d} { // b: it is a that holds its NAT open, not who is outside
			m.hush()
		}
		// What came last is answered after 10 s, and once more after as many, if only
		// with empty packets.
		_, memory := pace()
		rest := memory + 22
		time.Sleep(time.Duration(rest) * time.Second)
		if !b.reaches(a) {
			t.Errorf("with persistent_keepalive = %d it is not reached after %d s of rest", a.config.KeepaliveSeconds, rest)
		}
		if b.reaches(d) {
			t.Error("without it, it is reached: this test shows nothing")
		}
		if !d.reaches(b) || !b.reaches(d) {
			t.Error("it is not reached after it spoke")
		}
		for _, m := range machines {
			m.agent = m.start("overlay")
		}
	})
	t.Run("without persistent_keepalive the agents hold it open", func(t *testing.T) {
		for _, m := range machines {
			m.config.KeepaliveSeconds = 0
			m.configure()
			m.agent.end(syscall.SIGKILL)
			m.agent = m.start("overlay")
		}
		for _, r := range []*router{near, far} {
			r.remembers(4)
		}
		time.Sleep(8 * time.Second)
		for _, m := range []*machine{a, c, d} {
			if !b.reaches(m) {
				t.Errorf("%s is not reached", m.name)
			}
		}
	})
	if os.Getenv("OVERLAY_LONG") == "" {
		t.Log("the way back to an announced endpoint, which takes over 3 minutes, was left out: OVERLAY_LONG=1")
		return
	}
	t.Run("an endpoint that roamed and fell silent is the announced one again", func(t *testing.T) {
		a.agent.end(syscall.SIGKILL)
		a.wire.end(syscall.SIGKILL)
		b.agent.end(syscall.SIGKILL)
		b.agent = b.start("overlay")
		since := b.peer(a).Handshake
		announced := a.address + ":51820"
		for b.peer(a).Endpoint.String() != announced {
			if time.Since(since) > 5*time.Minute {
				t.Fatalf("it is at %v", b.peer(a).Endpoint)
			}
			time.Sleep(500 * time.Millisecond)
		}
		age := time.Since(since)
		t.Logf("%v after the last handshake", age.Round(time.Second))
		if age < 180*time.Second {
			t.Error("the session could have been alive")
		}
		a.wire, a.agent = a.start("wireguard"), a.start("overlay")
		connect(t, b, a)
		seen(t, near, a, 40000, 44999)
	})
}

func (m *machine) announcement() string {
	data, _ := os.ReadFile(filepath.Join(m.config.RunDir, "announcement.json")) // none yet is an empty one
	return string(data)
}

// seen says whether a machine has the endpoint of one behind the router at the
// router's address, and at a port that the router took.
func (r *router) seen(m, behind *machine, from, to uint16) bool {
	e := m.peer(behind).Endpoint
	return e.Addr().String() == r.outside && e.Port() >= from && e.Port() <= to
}
