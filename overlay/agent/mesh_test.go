//go:build lab

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"provision/overlay"
)

// TestMesh runs three machines with userspace WireGuard through what happens to
// them: it is one story, since setting the scene takes longest.
func TestMesh(t *testing.T) {
	machines := newLab(t, 3)
	a, b, c := machines[0], machines[1], machines[2]
	namespace(t, "ovlab-out")
	plug(t, "ovlab-out", "192.0.2.100")
	a.background("ovlab-out", "serve", "0.0.0.0:8080")

	introduce(t, machines)
	for _, m := range machines {
		eventually(t, m.name+" announces itself", 10*time.Second, func() bool {
			_, err := os.Stat(filepath.Join(m.config.RunDir, "announcement.json"))
			return err == nil
		})
	}
	introduce(t, machines)
	for _, m := range machines {
		eventually(t, m.name+" has both peers and no problem", 10*time.Second, func() bool {
			s := m.status()
			return len(s.Peers) == 2 && len(s.Problems) == 0
		})
	}
	// Before any pod has something to say: its first packets find sessions, and
	// the two ends of a pair never begin one in the same instant.
	for _, m := range machines {
		eventually(t, m.name+" has shaken hands with both", 15*time.Second, func() bool {
			s := m.status()
			return len(s.Peers) == 2 && !s.Peers[0].Handshake.IsZero() && !s.Peers[1].Handshake.IsZero()
		})
		m.plugPod()
	}

	t.Run("every pod reaches every pod", func(t *testing.T) {
		for _, x := range machines {
			for _, y := range machines {
				eventually(t, x.name+" to "+y.name, 5*time.Second, func() bool {
					out, err := in(x.pod, "call", y.podAddress+":8080")
					return err == nil && (x == y || strings.HasPrefix(out, x.podAddress+" "))
				})
			}
		}
	})
	t.Run("a machine reaches pods elsewhere, from its own subnet", func(t *testing.T) {
		out, err := in(a.name, "call", b.podAddress+":8080")
		if err != nil || !strings.HasPrefix(out, "10.244.1.2 ") {
			t.Errorf("seen as %q, %v; want 10.244.1.2", out, err)
		}
	})
	t.Run("a pod reaches the outside as its machine", func(t *testing.T) {
		out, err := in(a.pod, "call", "192.0.2.100:8080")
		if err != nil || !strings.HasPrefix(out, "192.0.2.1 ") {
			t.Errorf("seen as %q, %v; want 192.0.2.1", out, err)
		}
	})
	t.Run("segments fit the tunnel though the pods' links are larger", func(t *testing.T) {
		out, err := in(a.pod, "call", b.podAddress+":8080")
		var peer string
		var mss int
		fmt.Sscan(out, &peer, &mss)
		if want := 1420 - 40 - 12; err != nil || mss != want { // 12: the timestamp option
			t.Errorf("segment size is %d (%q, %v), want %d", mss, out, err, want)
		}
		if out, err := in(a.pod, "send", b.podAddress+":8080"); out != fmt.Sprint(8<<20) {
			t.Errorf("8 MiB: %q, %v", out, err)
		}
	})
	t.Run("MTU", func(t *testing.T) {
		for _, link := range []string{"wg0", "bridge0"} {
			if out := ip(t, a.name, "link show "+link); !strings.Contains(out, "mtu 1420 ") {
				t.Errorf("%s: %s", link, out)
			}
		}
		conf, err := os.ReadFile(a.config.CNIConf)
		if err != nil || !strings.Contains(string(conf), `"mtu": 1420`) {
			t.Errorf("%v\n%s", err, conf)
		}
	})
	t.Run("a NodePort on one machine for a pod on another", func(t *testing.T) {
		run(t, "ip", "netns", "exec", a.name, "nft", "add table ip lab; add chain ip lab pre { type nat hook prerouting priority -100; }; add chain ip lab post { type nat hook postrouting priority 99; }; add rule ip lab pre tcp dport 30080 meta mark set 0x4000 dnat to "+b.podAddress+":8080; add rule ip lab post meta mark 0x4000 masquerade")
		defer run(t, "ip", "netns", "exec", a.name, "nft", "delete table ip lab")
		out, err := in("ovlab-out", "call", "192.0.2.1:30080")
		if err != nil || !strings.HasPrefix(out, "10.244.1.2 ") {
			t.Errorf("seen as %q, %v; want 10.244.1.2", out, err)
		}
	})
	t.Run("Services, as kube-proxy would make them", func(t *testing.T) {
		rules := func(m *machine, pod string) {
			run(t, "ip", "netns", "exec", m.name, "nft", fmt.Sprintf(`add table ip lab
				add chain ip lab pre { type nat hook prerouting priority -100; }
				add chain ip lab out { type nat hook output priority -100; }
				add chain ip lab post { type nat hook postrouting priority 99; }
				add rule ip lab pre ip daddr 10.96.0.50 tcp dport 80 dnat to %[1]s:8080
				add rule ip lab out ip daddr 10.96.0.50 tcp dport 80 dnat to %[1]s:8080
				add rule ip lab post ip saddr %[1]s ip daddr %[1]s masquerade`, pod))
		}
		clear := func(m *machine) { run(t, "ip", "netns", "exec", m.name, "nft", "delete table ip lab") }
		namespace(t, "ovlab1-pod2")
		a.attach("ovlab1-pod2", "pod1", "10.244.1.10")

		rules(a, a.podAddress)
		for _, from := range []string{"ovlab1-pod2", a.pod, a.name} {
			if out, err := in(from, "call", "10.96.0.50:80"); err != nil {
				t.Errorf("%s to a pod of this machine: %q, %v", from, out, err)
			}
		}
		clear(a)
		rules(a, b.podAddress)
		for from, seen := range map[string]string{"ovlab1-pod2": "10.244.1.10 ", a.pod: a.podAddress + " ", a.name: "10.244.1.1 "} {
			if out, err := in(from, "call", "10.96.0.50:80"); err != nil || !strings.HasPrefix(out, seen) {
				t.Errorf("%s to a pod of another machine: seen as %q, %v; want %s", from, out, err, seen)
			}
		}
		clear(a)
	})
	t.Run("looking again changes nothing", func(t *testing.T) {
		eventually(t, "handshakes are shown", 6*time.Second, func() bool {
			s := a.status()
			return !s.Peers[0].Handshake.IsZero() && !s.Peers[1].Handshake.IsZero()
		})
		before := a.status()
		for range 10 {
			ip(t, a.name, "addr add 198.51.100.1/32 dev lo")
			ip(t, a.name, "addr del 198.51.100.1/32 dev lo")
			time.Sleep(250 * time.Millisecond)
		}
		after := a.status()
		if !after.Updated.After(before.Updated.Add(time.Second)) {
			t.Error("it did not look")
		}
		for i, p := range after.Peers {
			if !p.Handshake.Equal(before.Peers[i].Handshake) || p.Handshake.IsZero() || p.Received < before.Peers[i].Received {
				t.Errorf("%s: handshake %v became %v", p.Name, before.Peers[i].Handshake, p.Handshake)
			}
		}
		if n := strings.Count(a.agent.log.String(), "nftables rules written"); n != 1 {
			t.Errorf("the rules were written %d times", n)
		}
	})
	t.Run("the agent killed and started: no packet lost", func(t *testing.T) {
		probe := a.background(a.pod, "gap", b.podAddress+":8080", "3s")
		time.Sleep(300 * time.Millisecond)
		a.agent.end(syscall.SIGKILL)
		a.agent = a.start("overlay")
		<-probe.done
		lost, longest := parseGap(t, probe)
		t.Logf("lost %d, longest gap %d ms", lost, longest)
		if lost != 0 {
			t.Errorf("lost %d", lost)
		}
		if n := strings.Count(a.agent.log.String(), "nftables rules written"); n != 0 {
			t.Errorf("the new agent wrote rules that were there")
		}
	})
	t.Run("the userspace daemon killed and started", func(t *testing.T) {
		probe := a.background(a.pod, "gap", b.podAddress+":8080", "4s")
		time.Sleep(300 * time.Millisecond)
		a.wire.end(syscall.SIGKILL)
		a.wire = a.start("wireguard")
		<-probe.done
		lost, longest := parseGap(t, probe)
		t.Logf("lost %d, longest gap %d ms", lost, longest)
		if longest > 1000 {
			t.Errorf("longest gap %d ms", longest)
		}
	})
	t.Run("the way to each peer is measured, and a narrow one is named", func(t *testing.T) { narrow(t, machines) })
	t.Run("a key changes under load", func(t *testing.T) { rotation(t, machines) })
	t.Run("what is broken heals", func(t *testing.T) {
		for _, broken := range []string{
			"ip route flush proto 80",
			"ip addr flush dev wg0",
			"ip addr flush dev bridge0",
			"ip link set wg0 down",
			"ip link set bridge0 down",
			"ip link del bridge0",
			"ip link set wg0 mtu 1300",
			"nft delete table inet provision-overlay",
			"nft flush chain inet provision-overlay outside",
			"sysctl -qw net.ipv4.ip_forward=0",
		} {
			run(t, append([]string{"ip", "netns", "exec", a.name}, strings.Fields(broken)...)...)
			wanted := func() bool {
				routes := ip(t, a.name, "route")
				links := ip(t, a.name, "addr")
				rules, _ := try("ip", "netns", "exec", a.name, "nft", "list", "table", "inet", "provision-overlay")
				_, err := in(a.pod, "call", b.podAddress+":8080")
				return strings.Count(routes, "proto 80") == 5 && strings.Contains(links, "10.244.1.1/24") && strings.Contains(links, "10.244.1.2/32") &&
					strings.Count(links, "mtu 1420") == 2 && strings.Count(rules, "masquerade") == 2 && strings.Count(rules, "drop") == 2 && err == nil
			}
			eventually(t, broken, 5*time.Second, wanted)
		}
	})
	t.Run("without wg0 nothing leaves in clear", func(t *testing.T) {
		a.agent.end(syscall.SIGKILL)
		a.wire.end(syscall.SIGKILL)
		ip(t, a.name, "link del wg0")
		clear := func() int {
			watch := a.background(a.name, "sniff", "eth0", "2s")
			eventually(t, "sniffing", 3*time.Second, func() bool { return strings.Contains(watch.log.String(), "ready") })
			if out, err := in(a.pod, "call", b.podAddress+":8080"); err == nil {
				t.Errorf("reached without a tunnel: %s", out)
			}
			in(a.name, "call", b.podAddress+":8080")
			<-watch.done
			var ready string
			var clear, total int
			if n, err := fmt.Sscan(watch.log.String(), &ready, &clear, &total); n != 3 {
				t.Fatal(err)
			}
			return clear
		}
		if n := clear(); n != 0 {
			t.Errorf("%d packets of pods in clear", n)
		}
		// Worse: a route that would carry them.
		ip(t, a.name, "route add 10.244.2.0/24 via 192.0.2.2")
		if n := clear(); n != 0 {
			t.Errorf("%d packets of pods in clear, with a wrong route", n)
		}
		// The control: without the rules they are seen, so the sniffer can see.
		run(t, "ip", "netns", "exec", a.name, "nft", "delete table inet provision-overlay")
		if n := clear(); n == 0 {
			t.Error("the sniffer sees nothing where there is something")
		}
		ip(t, a.name, "route del 10.244.2.0/24 via 192.0.2.2")
		a.wire, a.agent = a.start("wireguard"), a.start("overlay")
		eventually(t, "the tunnel is back", 6*time.Second, func() bool {
			_, err := in(a.pod, "call", b.podAddress+":8080")
			return err == nil
		})
	})
	t.Run("a thief of a key is refused, and everybody else is served", func(t *testing.T) {
		introduce(t, machines, func(list []overlay.Node) []overlay.Node {
			thief := list[1]
			thief.UID, thief.Name, thief.PodCIDRs = "uid-thief", "thief", []string{"10.244.66.0/24"}
			return append(list, thief)
		})
		eventually(t, "refused", 5*time.Second, func() bool {
			return strings.Contains(strings.Join(c.status().Problems, "\n"), "node thief: refused")
		})
		if n := len(c.status().Peers); n != 2 {
			t.Errorf("%d peers", n)
		}
		if out, err := in(c.pod, "call", b.podAddress+":8080"); err != nil {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("a Node deleted is a peer gone", func(t *testing.T) {
		introduce(t, machines, func(list []overlay.Node) []overlay.Node { return list[:2] })
		eventually(t, "gone", 5*time.Second, func() bool {
			return len(a.status().Peers) == 1 && !strings.Contains(ip(t, a.name, "route"), "10.244.3.0")
		})
		if got := len(c.status().Peers); got != 2 {
			t.Errorf("the deleted machine, which sees no Node of its own, cut itself off: %d peers", got)
		}
		introduce(t, machines)
		eventually(t, "back", 6*time.Second, func() bool {
			_, err := in(a.pod, "call", c.podAddress+":8080")
			return err == nil
		})
	})
	t.Run("a reboot without the API", func(t *testing.T) {
		os.Remove(filepath.Join(a.dir, "nodes.json"))
		for _, p := range []*process{a.agent, a.wire, a.server} {
			p.end(syscall.SIGKILL)
		}
		run(t, "ip", "netns", "del", a.pod)
		run(t, "ip", "netns", "del", a.name)
		a.boot()
		eventually(t, "bridge0", 5*time.Second, func() bool { return strings.Contains(ip(t, a.name, "addr"), "10.244.1.2/32") })
		a.plugPod()
		eventually(t, "pods elsewhere", 5*time.Second, func() bool {
			_, err := in(a.pod, "call", b.podAddress+":8080")
			return err == nil
		})
		if _, err := in(b.pod, "call", a.podAddress+":8080"); err != nil {
			t.Errorf("from elsewhere: %v", err)
		}
	})
	t.Run("removal", func(t *testing.T) {
		c.agent.end(syscall.SIGTERM)
		c.wire.end(syscall.SIGTERM)
		if out := ip(t, c.name, "link show wg0"); !strings.Contains(out, "wg0") {
			t.Errorf("stopping took wg0 away: %s", out)
		}
		out, err := in(c.name, "remove", c.dir)
		t.Log(out)
		left, _ := try("ip", "netns", "exec", c.name, "sh", "-c", "ip -br link; ip route; nft list tables; sysctl net.ipv4.ip_forward; ls "+c.dir)
		for _, ours := range []string{"wg0", "bridge0", "10.244", "provision", "ip_forward = 1"} {
			if err != nil || strings.Contains(left, ours) {
				t.Errorf("%v: %s is left:\n%s", err, ours, left)
			}
		}
	})
	t.Run("the status command", func(t *testing.T) {
		out := run(t, os.Args[0], "lab", "overlay", "status", "--config", filepath.Join(b.dir, "overlay.json"))
		if !strings.HasPrefix(out, "ovlab2: userspace WireGuard, MTU 1420") || !strings.Contains(out, "192.0.2.3:51820") {
			t.Error(out)
		}
	})
}

func parseGap(t *testing.T, p *process) (lost, longest int) {
	t.Helper()
	if n, err := fmt.Sscan(p.log.String(), &lost, &longest); n != 2 {
		t.Fatalf("the probe said %q: %v", p.log.String(), err)
	}
	return lost, longest
}
