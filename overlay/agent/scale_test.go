//go:build lab

package agent

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"provision/overlay"
	"provision/overlay/nodes/nodestest"
)

// crowd is three real machines which follow an API with many Nodes, whose other
// machines are there in part or not at all.
type crowd struct {
	t        testing.TB
	machines []*machine
	api      *nodestest.API
	others   map[string]overlay.PrivateKey // simulated machines' keys, by name
}

// newCrowd makes a cluster of so many nodes and waits until everybody real knows
// them. It returns how long that took from the API's first answer.
func newCrowd(t testing.TB, nodes int, alive bool) (*crowd, time.Duration) {
	t.Helper()
	const address = "192.0.2.254"
	c := &crowd{t: t, api: nodestest.New(), others: map[string]overlay.PrivateKey{}}
	c.machines = newLab(t, 3, func(m *machine) {
		m.config.StaticNodes = ""
		m.config.Kubeconfig = filepath.Join(m.dir, "kubeconfig")
		m.config.NodeKubeconfig = m.config.Kubeconfig
		// Where a machine has it: in memory. It is written every few seconds.
		run, err := os.MkdirTemp("/run", "ovlab-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(run) })
		m.config.RunDir = run
		m.write("kubeconfig", []byte(nodestest.Kubeconfig("http://"+address)))
		if m.address == "192.0.2.1" { // the first: the switch is there, and nobody has asked yet
			ip(t, underlay, "addr add "+address+"/24 dev switch")
			c.api.Cut(true)
			serveAPI(t, c.api, underlay, address+":80")
		}
	})
	for i, m := range c.machines {
		c.api.Set("ADDED", node(i+1, m.name, ""))
	}
	for i := len(c.machines) + 1; i <= nodes; i++ {
		c.add(i)
	}
	if alive {
		c.animate()
	}
	t.Cleanup(func() {
		for _, m := range c.machines {
			if t.Failed() { // what it was at, among what it logged
				m.agent.end(syscall.SIGQUIT)
			}
		}
	})
	start := time.Now()
	c.api.Cut(false)
	for _, m := range c.machines {
		eventually(t, m.name+" has every peer", time.Minute, func() bool { return len(m.keys()) == nodes-1 })
	}
	return c, time.Since(start)
}

// add makes a machine that is but a Node, and returns its name.
func (c *crowd) add(i int) string {
	name := fmt.Sprintf("sim%d", i)
	c.others[name] = overlay.NewPrivateKey()
	said := overlay.Announcement{Version: 1, PublicKey: c.others[name].Public(), Endpoint: netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:51820", i)), Mode: overlay.Userspace}
	c.api.Set("ADDED", node(i, name, said.Text()))
	return name
}

// right says that a machine's device has the peers that the API has, no more and
// no fewer.
func (c *crowd) right(m *machine) bool {
	var want []overlay.Key
	for _, name := range c.api.Names() {
		if key, simulated := c.others[name]; simulated {
			want = append(want, key.Public())
			continue
		}
		for _, other := range c.machines {
			if other != m && other.name == name {
				want = append(want, other.status().PublicKey)
			}
		}
	}
	have := m.keys()
	for _, key := range want {
		if !slices.Contains(have, key) {
			return false
		}
	}
	return len(have) == len(want)
}

// keys are the peers of a machine's device, as the device says.
func (m *machine) keys() (keys []overlay.Key) {
	conn, err := net.Dial("unix", filepath.Join(m.dir, "sockets", "wg0.sock"))
	if err != nil {
		return nil
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(conn, "get=1\n\n")
	for lines := bufio.NewScanner(conn); lines.Scan() && lines.Text() != ""; {
		if text, found := strings.CutPrefix(lines.Text(), "public_key="); found {
			raw, _ := hex.DecodeString(text)
			var key overlay.Key
			copy(key[:], raw)
			keys = append(keys, key)
		}
	}
	return keys
}

// changes adds Nodes and deletes them, one at a time, and returns how long it took
// until every real machine's device had them, or had them no more.
func (c *crowd) changes(rounds, from int) (added, deleted []time.Duration) {
	c.t.Helper()
	settled := func(since time.Time) time.Duration {
		for slices.ContainsFunc(c.machines, func(m *machine) bool { return !c.right(m) }) {
			if time.Since(since) > 20*time.Second {
				c.t.Fatal("a device does not follow the API")
			}
			time.Sleep(5 * time.Millisecond)
		}
		return time.Since(since)
	}
	for i := range rounds {
		start := time.Now()
		name := c.add(from + i)
		added = append(added, settled(start))
		time.Sleep(300 * time.Millisecond)
		start = time.Now()
		c.api.Set("DELETED", node(from+i, name, ""))
		deleted = append(deleted, settled(start))
		time.Sleep(300 * time.Millisecond)
	}
	return added, deleted
}

// spread is the least, the median and the most.
func spread(list []time.Duration) string {
	slices.Sort(list)
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return fmt.Sprintf("%d / %d / %d ms", ms(list[0]), ms(list[len(list)/2]), ms(list[len(list)-1]))
}

// use is what a machine's processes and links have used since they began.
type use struct {
	agent, wire      time.Duration // of CPU
	underlay, tunnel int           // packets, both ways
}

func (m *machine) use() use {
	m.t.Helper()
	out := run(m.t, "ip", "netns", "exec", m.name, "sh", "-c", "cd /sys/class/net; cat eth0/statistics/[rt]x_packets wg0/statistics/[rt]x_packets")
	var n [4]int
	if _, err := fmt.Sscan(out, &n[0], &n[1], &n[2], &n[3]); err != nil {
		m.t.Fatal(err)
	}
	return use{m.agent.cpu(m.t), m.wire.cpu(m.t), n[0] + n[1], n[2] + n[3]}
}

// cpu is what the process has used.
func (p *process) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // the state is field 3
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[14-3])
	system, _ := strconv.Atoi(fields[15-3])
	return time.Duration(user+system) * 10 * time.Millisecond // of USER_HZ
}

// restTime is how long BenchmarkScale looks at machines at rest: OVERLAY_REST,
// "60s" where it is not set.
func restTime(b *testing.B) time.Duration {
	text := os.Getenv("OVERLAY_REST")
	if text == "" {
		text = "60s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkScale is what many nodes cost a machine at rest, and how soon a new or
// deleted Node is on every device.
func BenchmarkScale(b *testing.B) {
	for _, size := range []struct {
		name  string
		nodes int
		alive bool
	}{{"3", 3, true}, {"200", 200, true}, {"200-off", 200, false}} {
		b.Run(size.name, func(b *testing.B) {
			c, first := newCrowd(b, size.nodes, size.alive)
			m := c.machines[0]
			for b.Loop() {
				time.Sleep(10 * time.Second) // the first pings and handshakes
				rest := restTime(b)
				stop := heartbeats(c.api, size.nodes)
				before := m.use()
				time.Sleep(rest)
				after := m.use()
				stop()
				percent := func(d time.Duration) float64 { return 100 * d.Seconds() / rest.Seconds() }
				b.Logf("%s nodes: first sync of all devices %d ms after the API came up", size.name, first.Milliseconds())
				b.Logf("%s nodes, at rest for %v: agent %.2f %% of a core, RSS %d MiB; wireguard unit %.2f %%, RSS %d MiB; %.1f packets/s on the underlay, %.1f/s in the tunnel", size.name, rest,
					percent(after.agent-before.agent), m.agent.memory(b, "VmRSS")>>10, percent(after.wire-before.wire), m.wire.memory(b, "VmRSS")>>10,
					float64(after.underlay-before.underlay)/rest.Seconds(), float64(after.tunnel-before.tunnel)/rest.Seconds())
				added, deleted := c.changes(10, 210)
				b.Logf("%s nodes: Node added, on all devices (least / median / most of 10): %s; deleted: %s", size.name, spread(added), spread(deleted))
			}
		})
	}
}

// TestScale follows an API with 200 Nodes, most of whose machines are off.
func TestScale(t *testing.T) {
	c, first := newCrowd(t, 200, false)
	t.Logf("first sync: %v", first)
	added, deleted := c.changes(3, 210)
	t.Logf("added %s, deleted %s", spread(added), spread(deleted))
	for _, m := range c.machines {
		eventually(t, m.name+" shows its peers", 10*time.Second, func() bool { return len(m.status().Peers) == 199 && m.status().Announced })
	}
	// Deleted while nobody can be told.
	c.api.Cut(true)
	for i := 101; i <= 200; i++ {
		c.api.Set("DELETED", node(i, fmt.Sprintf("sim%d", i), ""))
	}
	time.Sleep(time.Second)
	for _, m := range c.machines {
		if n := len(m.keys()); n != 199 {
			t.Errorf("%s forgot peers while the API was away: %d are left", m.name, n)
		}
	}
	c.api.Cut(false)
	for _, m := range c.machines {
		eventually(t, m.name+" has no peer that is gone", 15*time.Second, func() bool { return c.right(m) })
	}
}
