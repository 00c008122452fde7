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

// BenchmarkChaos breaks one thing after the other while two pods speak: a datagram
// echoed every 5 ms, and one TCP stream. It logs for each the longest silence,
// whether the stream lived, what a listener on the underlay saw in clear, and
// whether peers were left over. It judges nothing; TestMesh does.
func BenchmarkChaos(b *testing.B) {
	machines := newLab(b, 3)
	introduceAll(b, machines)
	for _, m := range machines {
		m.plugPod()
	}
	x, y := machines[0], machines[1]
	inside := func(m *machine, command string) func() {
		return func() { run(b, append([]string{"ip", "netns", "exec", m.name}, strings.Fields(command)...)...) }
	}
	faults := []struct {
		name  string
		cause func()
	}{
		{"nothing", func() {}},
		{"agent kill -9, started after 2 s", func() {
			x.agent.end(syscall.SIGKILL)
			time.Sleep(2 * time.Second)
			x.agent = x.start("overlay")
		}},
		{"wireguard unit kill -9, started at once", func() {
			x.wire.end(syscall.SIGKILL)
			x.wire = x.start("wireguard")
		}},
		{"wireguard unit stopped for 2 s", func() {
			x.wire.command.Process.Signal(syscall.SIGSTOP)
			time.Sleep(2 * time.Second)
			x.wire.command.Process.Signal(syscall.SIGCONT)
		}},
		{"ip link del wg0", func() {
			ip(b, x.name, "link del wg0")
			<-x.wire.done // it ends, and systemd starts it again
			x.wire = x.start("wireguard")
		}},
		{"ip link del bridge0", inside(x, "ip link del bridge0")},
		{"ip route flush proto 80", inside(x, "ip route flush proto 80")},
		{"nft delete table", inside(x, "nft delete table inet provision-overlay")},
		{"ip_forward off", inside(x, "sysctl -qw net.ipv4.ip_forward=0")},
		{"underlay MTU 1400 at its own link", inside(x, "ip link set eth0 mtu 1400")},
		{"underlay MTU 1500 again", inside(x, "ip link set eth0 mtu 1500")},
		{"key rotation", func() {
			for _, step := range []string{"prepare", "commit"} {
				deadline := time.Now().Add(15 * time.Second)
				for {
					out, err := in(x.name, "overlay", "rotate", step, "--config", x.dir+"/overlay.json")
					if err == nil {
						break
					}
					if time.Now().After(deadline) {
						b.Fatal(out)
					}
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(500 * time.Millisecond)
				introduce(b, machines)
				time.Sleep(1500 * time.Millisecond)
			}
		}},
		{"two machines with one key", func() {
			introduce(b, machines, func(list []overlay.Node) []overlay.Node {
				thief := list[1]
				thief.UID, thief.Name, thief.PodCIDRs = "uid-thief", "thief", []string{"10.244.66.0/24"}
				return append(list, thief)
			})
		}},
		{"a Node deleted while the agent is down", func() {
			x.agent.end(syscall.SIGKILL)
			introduce(b, machines, func(list []overlay.Node) []overlay.Node { return list[:2] })
			x.agent = x.start("overlay")
		}},
	}
	for b.Loop() {
		for _, f := range faults {
			b.Log(chaos(b, x, y, f.name, f.cause))
		}
		b.Log(reboot(b, machines))
	}
}

// chaos runs one fault between two machines and returns its line.
func chaos(b *testing.B, x, y *machine, name string, cause func()) string {
	const length = 12 * time.Second
	watch := x.background(x.pod, "gap", y.podAddress+":8080", length.String())
	stream := y.background(y.pod, "stream", x.podAddress+":8080", length.String())
	clear := y.background(y.name, "sniff", "eth0", length.String())
	time.Sleep(time.Second)
	cause()
	<-watch.done
	<-stream.done
	<-clear.done
	var lost, longest, seen, total int
	var ready string
	fmt.Sscan(watch.log.String(), &lost, &longest)
	fmt.Sscan(clear.log.String(), &ready, &seen, &total)
	tcp := "lived"
	if out := stream.log.String(); strings.Contains(out, "stream:") {
		tcp = "died: " + strings.TrimSpace(out)
	}
	return fmt.Sprintf("%-45s longest silence %5d ms, %4d of %d echoes lost, TCP stream %s, %d packets in clear of %d, %d peers, problems %q",
		name, longest, lost, int(length/(5*time.Millisecond)), tcp, seen, total, len(x.status().Peers), x.status().Problems)
}

// reboot takes a machine's power, and starts it while nobody tells it of nodes.
func reboot(b *testing.B, machines []*machine) string {
	x, y := machines[0], machines[1]
	os.Remove(filepath.Join(x.dir, "nodes.json"))
	for _, p := range []*process{x.agent, x.wire, x.server} {
		p.end(syscall.SIGKILL)
	}
	run(b, "ip", "netns", "del", x.pod)
	run(b, "ip", "netns", "del", x.name)
	start := time.Now()
	x.boot()
	eventually(b, "bridge0", 10*time.Second, func() bool { return strings.Contains(ip(b, x.name, "addr"), "10.244.1.2/32") })
	x.plugPod()
	eventually(b, "a pod elsewhere", 10*time.Second, func() bool {
		_, err := in(x.pod, "call", y.podAddress+":8080")
		return err == nil
	})
	return fmt.Sprintf("%-45s pods' network from the start of its units: %d ms", "power lost, started without the API", time.Since(start).Milliseconds())
}
