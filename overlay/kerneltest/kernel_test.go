//go:build kernel

package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/overlay"
	"provision/testenv"
)

// TestKernel is one story on two machines: booting them is what costs time.
func TestKernel(t *testing.T) {
	machines := boot(t)
	a, b := machines[0], machines[1]
	start(t, machines)
	for _, part := range []struct {
		name string
		do   func(*testing.T, *machine, *machine)
	}{
		{"mode", mode},
		{"mtu", mtu},
		{"traffic", traffic},
		{"agent restarts", restart},
		{"wg0 deleted", deleted},
		{"key changes", rotation},
		{"pre-shared key", preshared},
		{"reboot without the API, and with a clock a day behind", reboot},
	} {
		begin := time.Now()
		// Not a subtest: what follows needs what this leaves.
		part.do(t, a, b)
		if t.Failed() {
			t.FailNow()
		}
		t.Logf("== %s: %.0f s", part.name, time.Since(begin).Seconds())
	}
	for _, m := range machines {
		m.remove()
	}
}

// boot makes the lab, with the programs on both machines.
func boot(t *testing.T) []*machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("emulated machines need root for their cables")
	}
	dir := filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		if err := testenv.Down(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	agent := build(ctx, t)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	lab, err := testenv.Up(ctx, testenv.Options{Dir: dir, Workers: 2, Driver: "qemu", Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("booted: %.0f s", time.Since(begin).Seconds())
	var machines []*machine
	for i, of := range lab.Machines {
		m := &machine{
			t: t, lab: lab, name: of.Name, address: of.Address,
			subnet: fmt.Sprintf("10.244.%d.0/24", i+1), pod: fmt.Sprintf("10.244.%d.9", i+1),
		}
		m.config = overlay.Default(m.name, of.Address, overlay.Range{Prefix: netip.MustParsePrefix("10.244.0.0/16"), NodeMask: 24}, netip.MustParsePrefix("10.96.0.0/16"))
		m.config.Kubeconfig, m.config.NodeKubeconfig, m.config.StaticNodes = "", "", nodesFile
		m.connect()
		t.Cleanup(m.sayWhy)
		m.before = m.footprint()
		machines = append(machines, m)
	}
	var group sync.WaitGroup
	errs := make([]error, len(machines))
	for i, m := range machines {
		group.Go(func() { errs[i] = m.install(agent, self) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("installed: %.0f s", time.Since(begin).Seconds())
	return machines
}

// build compiles the agent as the bundle has it.
func build(ctx context.Context, t *testing.T) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", name, "provision/components/agent")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// start runs the agents, introduces them, and waits for the tunnel.
func start(t *testing.T, machines []*machine) {
	t.Helper()
	for _, m := range machines {
		links := m.run("ip -o link | cut -d: -f2")
		out := m.run(program + " probe")
		if !strings.Contains(out, `"wireguard":true`) {
			t.Fatalf("%s: the probe finds no WireGuard: %s", m.name, out)
		}
		if diff := cmp.Diff(links, m.run("ip -o link | cut -d: -f2")); diff != "" {
			t.Errorf("%s: probing leaves a link behind: %s", m.name, diff)
		}
	}
	introduce(t, machines)
	for _, m := range machines {
		m.run("systemctl enable --quiet provision-overlay && systemctl enable --quiet --now provision.target && systemctl start provision-overlay")
	}
	for _, m := range machines {
		eventually(t, m.name+" announces itself", func() error {
			_, err := m.try("test -s /run/provision/overlay/announcement.json")
			return err
		})
	}
	introduce(t, machines)
	for _, m := range machines {
		eventually(t, m.name+" shook hands", func() error {
			if m.peer().Handshake.IsZero() {
				return errors.New("no handshake yet")
			}
			return nil
		})
		m.plug()
	}
}

// mode: auto asked the kernel, and this one has it.
func mode(t *testing.T, a, b *machine) {
	for _, m := range []*machine{a, b} {
		if got := m.status().Mode; got != overlay.Kernel {
			t.Errorf("%s: mode is %q", m.name, got)
		}
		if links := m.run("ip -o link show type wireguard | cut -d: -f2"); links != overlay.Tunnel {
			t.Errorf("%s: WireGuard links: %q", m.name, links)
		}
		if found, err := m.try("ls /run/wireguard"); err == nil {
			t.Errorf("%s: a userspace device's socket: %s", m.name, found)
		}
	}
}

// mtu: what the route carries, less the tunnel's own.
func mtu(t *testing.T, a, b *machine) {
	const read = "cat /sys/class/net/%s/mtu"
	for _, m := range []*machine{a, b} {
		var eth0 int
		fmt.Sscan(m.run(fmt.Sprintf(read, "eth0")), &eth0)
		for _, link := range []string{overlay.Tunnel, overlay.Bridge} {
			if got, want := m.run(fmt.Sprintf(read, link)), fmt.Sprint(eth0-overlay.Overhead); got != want {
				t.Errorf("%s: MTU of %s is %s, want %s", m.name, link, got, want)
			}
		}
		if got := m.status().MTU; got != eth0-overlay.Overhead {
			t.Errorf("%s: status says MTU %d", m.name, got)
		}
	}
	for _, way := range [][2]*machine{{a, b}, {b, a}} {
		full := way[0].status().MTU
		if err := way[0].ping(way[1].pod, full, 3); err != nil {
			t.Errorf("a packet of %d bytes: %v", full, err)
		}
		if err := way[0].ping(way[1].pod, full+1, 1); err == nil {
			t.Errorf("a packet of %d bytes arrives, and nobody cut it", full+1)
		}
	}
}

// traffic: pods see each other's own addresses, and not a byte is lost.
func traffic(t *testing.T, a, b *machine) {
	for _, way := range [][2]*machine{{a, b}, {b, a}} {
		out, err := way[0].inPod("send", way[1].pod+":8080")
		if want := fmt.Sprintf("%s %d", way[0].pod, 1<<20); err != nil || out != want {
			t.Errorf("%s says %q (%v), want %q", way[1].name, out, err, want)
		}
	}
}

// remove takes all of it away, and compares with what was there before.
func (m *machine) remove() {
	m.t.Helper()
	m.run("systemctl stop lab-pod; ip netns del pod")
	const list = `{"units":["provision-overlay.service","provision.target","provision.slice"],
		"own":{"cgroups":["provision.slice"],"tables":[{"family":"inet","name":"provision-overlay"}],
		"files":[{"path":"/etc/modules-load.d/provision.conf"}],
		"dirs":["/run/provision","/etc/provision","/opt/provision","/var/lib/provision"]},
		"shared":{},"evidence":[],"journal":"/var/lib/provision/journal"}`
	out, err := m.feed(program+" remove", strings.NewReader(list))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Logf("%s: %s", m.name, out)
	if diff := cmp.Diff(m.before, m.footprint()); diff != "" {
		m.t.Errorf("%s is not as it was before:\n%s", m.name, diff)
	}
}

// footprint is what the overlay changes on a machine.
func (m *machine) footprint() string {
	m.t.Helper()
	return m.run(`ip -o link | cut -d: -f2; ip route; ip rule; nft list tables; ip netns
		sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv6.conf.all.forwarding
		ls -d /run/wireguard /*/provision /var/lib/provision 2>/dev/null
		ls -d /etc/systemd/system/provision* /etc/*.d/*provision* 2>/dev/null
		pgrep -l agent; true`)
}

// sayWhy prints what a machine knows, for whoever reads a red run.
func (m *machine) sayWhy() {
	if !m.t.Failed() {
		return
	}
	out, err := m.try(`ip addr; ip route; journalctl -q --no-pager -u provision-overlay -n 60; cat /run/provision/overlay/status.json; dmesg | tail -5`)
	m.t.Logf("%s: %v\n%s", m.name, err, out)
}
