//go:build lab

package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// heals is how long a fault may last.
const heals = 5 * time.Second

// faults are what somebody does to the first machine, as they would type it.
var faults = []string{
	"ip link del wg0",
	"ip link del bridge0",
	"ip link set wg0 down",
	"ip link set bridge0 down",
	"ip link set wg0 mtu 1300",
	"ip link set bridge0 mtu 1300",
	"ip addr flush dev wg0",
	"ip addr flush dev bridge0",
	"ip route flush proto 80",
	"ip -6 route flush proto 80",
	"nft delete table inet provision-overlay",
	"sysctl -qw net.ipv4.ip_forward=0",
	"sysctl -qw net.ipv4.conf.bridge0.forwarding=0",
	"sysctl -qw net.ipv6.conf.all.forwarding=0",
	"sysctl -qw net.ipv6.conf.bridge0.disable_ipv6=1",
	"ip route add 10.244.2.0/25 via 192.0.2.2",
	"ip route replace 10.244.2.0/24 via 192.0.2.2",
	"ip route add unreachable 10.244.2.8/29",
	"ip -6 route add fd00:244:0:2::/65 dev eth0",
	"ip -6 route add fd00:244:0:2::/64 dev eth0 metric 1",
	"ip -6 route add blackhole fd00:244:0:2::8/125",
}

// both is a lab of machines whose pods have both families, each with its pod.
func both(t testing.TB, n int, place ...func(*machine)) []*machine {
	t.Helper()
	machines := newLab(t, n, append(place, func(m *machine) {
		m.config.Pods = append(m.config.Pods, overlay.Range{Prefix: netip.MustParsePrefix("fd00:244::/56"), NodeMask: 64})
		m.config.Services = append(m.config.Services, netip.MustParsePrefix("fd00:96::/112"))
	})...)
	subnets := func(list []overlay.Node) []overlay.Node {
		for i := range list {
			list[i].PodCIDRs = append(list[i].PodCIDRs, fmt.Sprintf("fd00:244:0:%d::/64", i+1))
		}
		return list
	}
	introduce(t, machines, subnets)
	for _, m := range machines {
		eventually(t, m.name+" announces itself", 30*time.Second, func() bool {
			_, err := os.Stat(filepath.Join(m.config.RunDir, "announcement.json"))
			return err == nil
		})
	}
	introduce(t, machines, subnets)
	for i, m := range machines {
		eventually(t, m.name+" has its peers", 30*time.Second, func() bool { return len(m.status().Peers) == n-1 })
		m.plugPod()
		six := fmt.Sprintf("fd00:244:0:%d::", i+1)
		ip(t, m.pod, "addr add "+six+"9/64 dev eth0 nodad")
		ip(t, m.pod, "-6 route add default via "+six+"1")
	}
	return machines
}

// clearly counts the packets of pods that a machine's underlay link carries in
// clear, from now on.
func clearly(t testing.TB, m *machine) *atomic.Int64 {
	t.Helper()
	var fd int
	inside(t, m.name, func() error {
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
	})
	socket := os.NewFile(uintptr(fd), "sniffer")
	t.Cleanup(func() { socket.Close() })
	seen := new(atomic.Int64)
	go func() {
		for buf := make([]byte, 2048); ; {
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			if ofPods(buf[:n]) {
				seen.Add(1)
			}
		}
	}()
	return seen
}

func ofPods(packet []byte) bool {
	four, six := []byte{10, 244}, []byte{0xfd, 0, 2, 0x44}
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return bytes.HasPrefix(packet[12:], four) || bytes.HasPrefix(packet[16:], four)
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return bytes.HasPrefix(packet[8:], six) || bytes.HasPrefix(packet[24:], six)
	}
	return false
}

// inside runs f in a network namespace; what it opens there stays there. The
// thread comes back: were it to end, the processes that it started would with it.
func inside(t testing.TB, name string, f func() error) {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	there, err := netns.GetFromName(name)
	if err == nil {
		defer there.Close()
		err = netns.Set(there)
	}
	if err == nil {
		err = f()
	}
	if back := netns.Set(home); back != nil {
		t.Fatalf("back from %s: %v", name, back)
	}
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatalf("in %s: %v", name, err)
	}
}

// strike breaks one thing, and starts again what systemd would.
func strike(t testing.TB, m *machine, fault string) {
	t.Helper()
	run(t, append([]string{"ip", "netns", "exec", m.name}, strings.Fields(fault)...)...)
	if fault == "ip link del wg0" {
		<-m.wire.done
		m.wire = m.start("wireguard")
	}
}

// picture is what of the machine's kernel has to be as before, or what is left
// of it.
func picture(m *machine) string {
	text, _ := try("ip", "netns", "exec", m.name, "sh", "-c", `ip -o route; ip -o -6 route | grep -v ^fe80:
		ip -o -6 addr show bridge0 scope link | grep -o "fe80[^ ]*"
		for link in wg0 bridge0; do ip -o addr show $link scope global; cat /sys/class/net/$link/mtu; done
		nft list table inet provision-overlay; sysctl net.ipv4.ip_forward net.ipv4.conf.bridge0.forwarding net.ipv6.conf.all.forwarding`)
	var lines []string
	for line := range strings.Lines(text) {
		// A link made anew has another number.
		if _, rest, found := strings.Cut(line, ": "); found {
			line = rest
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestHealing breaks one thing after the other, in both families, while pods
// speak: it is as before within 5 s, and nothing ever passes in clear.
func TestHealing(t *testing.T) {
	machines := both(t, 2)
	a, b := machines[0], machines[1]
	addresses := []string{b.podAddress + ":8080", "[fd00:244:0:2::9]:8080"}
	unreached := ""
	reached := func() bool {
		return !slices.ContainsFunc(addresses, func(to string) bool {
			out, err := in(a.pod, "call", to)
			unreached = out
			return err != nil
		})
	}
	eventually(t, "pods speak in both families", 20*time.Second, reached)
	clear := clearly(t, a)
	for _, to := range addresses {
		a.background(a.pod, "gap", to, "5m")
	}
	before := picture(a)
	for _, fault := range faults {
		strike(t, a, fault)
		now := ""
		for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			if now = picture(a); now == before && reached() {
				t.Logf("%s: healed within %v", fault, time.Since(start).Round(time.Millisecond))
				break
			}
			if time.Since(start) > heals {
				t.Fatalf("%s: not healed within %v\n%s\nwas\n%s\nproblems %q, the last call %q", fault, heals, now, before, a.status().Problems, unreached)
			}
		}
	}
	if n := clear.Load(); n != 0 {
		t.Errorf("%d packets of pods in clear", n)
	}
	wall := func() bool {
		return strings.Contains(strings.Join(a.status().Problems, "\n"), "chain FORWARD of table ip lab) drops what pods send to each other")
	}
	run(t, "ip", "netns", "exec", a.name, "nft", "add table ip lab; add chain ip lab FORWARD { type filter hook forward priority 0; policy drop; }")
	eventually(t, "a firewall that drops is named", heals, wall)
	run(t, "ip", "netns", "exec", a.name, "nft", "delete table ip lab")
	eventually(t, "and forgotten", heals, func() bool { return !wall() })

	again := func() bool {
		return strings.Contains(strings.Join(a.status().Problems, "\n"), "again and again, and pods lose packets until it is removed: 10.244.2.0/25 via 192.0.2.2 dev eth0")
	}
	eventually(t, "who lays a route over and over is named", 4*heals, func() bool {
		try("ip", "-n", a.name, "route", "add", "10.244.2.0/25", "via", "192.0.2.2")
		time.Sleep(100 * time.Millisecond)
		return again()
	})
	// The control: what listened can hear.
	for _, p := range []*process{a.agent, a.wire} {
		p.end(unix.SIGKILL)
	}
	run(t, "ip", "netns", "exec", a.name, "sh", "-c", "ip link del wg0; nft delete table inet provision-overlay; ip route replace 10.244.2.0/24 via 192.0.2.2; ip -6 route replace fd00:244:0:2::/64 dev eth0")
	eventually(t, "in clear without the rules", 3*time.Second, func() bool { return clear.Load() > 0 })
}

// BenchmarkHealing logs the longest silence of each family after each of the
// faults, by an echo every 5 ms. It judges nothing; TestHealing does.
func BenchmarkHealing(b *testing.B) {
	machines := both(b, 2)
	x, y := machines[0], machines[1]
	eventually(b, "pods speak", 20*time.Second, func() bool {
		_, err := in(x.pod, "call", y.podAddress+":8080")
		return err == nil
	})
	for b.Loop() {
		for _, fault := range append([]string{"true"}, faults...) {
			clear := clearly(b, x)
			var silence [2]int
			var watches []*process
			for _, to := range []string{y.podAddress + ":8080", "[fd00:244:0:2::9]:8080"} {
				watches = append(watches, x.background(x.pod, "gap", to, "6s"))
			}
			time.Sleep(time.Second)
			strike(b, x, fault)
			for i, w := range watches {
				<-w.done
				var lost int
				fmt.Sscan(w.log.String(), &lost, &silence[i])
			}
			b.Logf("%-55s longest silence IPv4 %4d ms, IPv6 %4d ms, %d packets in clear", fault, silence[0], silence[1], clear.Load())
		}
	}
}
