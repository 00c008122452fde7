//go:build lab

package agent

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rounds is how often BenchmarkSpeed compares: OVERLAY_ROUNDS, or 15.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("OVERLAY_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 15
}

// slice is how long one way is measured at a time: OVERLAY_SLICE, or a second,
// which is short beside the time in which a shared machine changes its pace.
func slice() string { return cmp.Or(os.Getenv("OVERLAY_SLICE"), "1s") }

// A way is one of the paths between a pod on one machine and one on another.
type way struct {
	name, pod, address string
	devices            []*process
}

// BenchmarkSpeed compares three ways between two pods on two machines:
//
//   - overlay: what the product makes. bridge0, wg0 and its userspace device, the
//     agent that measures its peers, table provision-overlay with its MSS clamp,
//     masquerading, and so connection tracking.
//   - handmade: machines of their own with a bridge0, the same veths and plain
//     routes, no nft table and so no connection tracking, no agent, and for
//     encryption upstream's example: tun.CreateTUN, conn.NewDefaultBind,
//     device.NewDevice, no limit of memory. One peer, which has a session.
//   - plain: the hand-made machines without encryption, routed to each other.
//
// All MTUs are 1420 but the underlay's 1500; the underlay is one bridge. Nothing
// but the way that is measured carries traffic. The encrypted ways take turns, and
// in each round swap who is first; ratios are of one round, and their quartiles
// tell what of them is noise. Throughput is what arrived, until the last byte
// did; CPU is both devices' processes, per 10^9 bytes of one stream, which is
// less at the mercy of a shared machine than a rate is.
func BenchmarkSpeed(b *testing.B) {
	machines := newLab(b, 2)
	introduceAll(b, machines)
	one, other := machines[0], machines[1]
	for _, m := range machines {
		m.plugPod()
		ip(b, m.pod, "link set eth0 mtu 1420")
		m.background(m.pod, "sink", "0.0.0.0:8081")
	}
	ways := append([]*way{{"overlay", one.pod, other.podAddress, []*process{one.wire, other.wire}}}, handmadeWays(b)...)
	encrypted, plain := ways[:2], ways[2]
	figures := map[string][]float64{}
	note := func(w *way, what string, value float64) { figures[w.name+what] = append(figures[w.name+what], value) }
	// One stream comes first: what the hand-made pair has taken of memory under the
	// others it keeps, and is slower for it.
	measures := []func(*way){
		func(w *way) {
			note(w, "-µs", w.ask(b, "trips", w.address+":8080", "300")[0])
			before := w.cpu(b)
			out := w.ask(b, "rate", w.address+":8080", slice(), "1")
			note(w, "-Mbit/s", out[0])
			note(w, "-CPU-s/GB", (w.cpu(b)-before)/(out[1]/1e9))
		},
		func(w *way) { note(w, "-16-streams-Mbit/s", w.ask(b, "rate", w.address+":8080", slice(), "16")[0]) },
		func(w *way) { note(w, "-UDP-Mbit/s", w.ask(b, "datagrams", w.address+":8081", slice())[0]) },
	}
	for b.Loop() {
		for _, measure := range measures {
			for i := range rounds() {
				turn := slices.Clone(encrypted)
				if i%2 == 1 {
					slices.Reverse(turn)
				}
				if i%3 == 0 {
					turn = append(turn, plain)
				}
				for _, w := range turn {
					measure(w)
				}
			}
		}
	}
	for _, what := range []string{"-Mbit/s", "-16-streams-Mbit/s", "-UDP-Mbit/s", "-µs", "-CPU-s/GB"} {
		for _, w := range ways {
			if what != "-CPU-s/GB" || w != plain {
				b.ReportMetric(median(figures[w.name+what]), w.name+what)
			}
		}
		var ratios []float64
		for i, ours := range figures["overlay"+what] {
			ratios = append(ratios, ours/figures["handmade"+what][i])
		}
		slices.Sort(ratios)
		n := len(ratios)
		b.Logf("overlay/handmade%s: median %.3f, quartiles %.3f-%.3f, all %.2f", what, ratios[n/2], ratios[n/4], ratios[n*3/4], ratios)
		b.ReportMetric(ratios[n/2], "ratio"+what)
		if what == "-Mbit/s" {
			b.ReportMetric(ratios[n/4], "ratio-lower-quartile")
			b.ReportMetric(ratios[n*3/4], "ratio-upper-quartile")
		}
	}
	for _, w := range encrypted {
		peak := 0
		for _, d := range w.devices {
			peak = max(peak, d.memory(b, "VmHWM"))
		}
		b.ReportMetric(float64(peak)/1024, w.name+"-MiB-peak")
	}
}

// ask runs a command in the way's pod that prints numbers.
func (w *way) ask(b *testing.B, args ...string) (list []float64) {
	b.Helper()
	out, err := in(w.pod, args...)
	if err != nil {
		b.Fatalf("%s: %s: %s", w.name, args[0], out)
	}
	for _, field := range strings.Fields(out) {
		f, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatalf("%s: %s: %s", w.name, args[0], out)
		}
		list = append(list, f)
	}
	return list
}

// cpu returns what the way's devices have taken of the processors, in seconds.
func (w *way) cpu(b *testing.B) float64 {
	b.Helper()
	ticks := 0
	for _, d := range w.devices {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.command.Process.Pid))
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		for _, field := range strings.Fields(rest)[11:13] { // user and system
			n, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			ticks += n
		}
	}
	return float64(ticks) / 100 // USER_HZ
}

// handmadeWays makes the two machines of the control: encrypted, and plain.
func handmadeWays(b *testing.B) []*way {
	b.Helper()
	encrypted, plain := &way{name: "handmade", address: "10.99.2.9"}, &way{name: "plain", address: "10.98.2.9"}
	list := make([]*machine, 2)
	for i := range list {
		n := i + 1
		m := &machine{t: b, name: fmt.Sprintf("ovlab-hand%d", n), pod: fmt.Sprintf("ovlab-hand%d-pod", n), address: fmt.Sprintf("192.0.2.%d", 100+n)}
		list[i] = m
		namespace(b, m.name)
		plug(b, m.name, m.address)
		namespace(b, m.pod)
		run(b, "ip", "netns", "exec", m.name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
		ip(b, m.name, "link add bridge0 mtu 1420 type bridge")
		ip(b, m.name, "link set bridge0 up")
		ip(b, m.name, "link add pod0 mtu 1420 type veth peer name eth0 netns "+m.pod)
		ip(b, m.name, "link set pod0 master bridge0 up")
		ip(b, m.pod, "link set eth0 mtu 1420 up")
		for _, net := range []int{98, 99} {
			ip(b, m.name, fmt.Sprintf("addr add 10.%d.%d.1/24 dev bridge0", net, n))
			ip(b, m.pod, fmt.Sprintf("addr add 10.%d.%d.9/24 dev eth0", net, n))
			ip(b, m.pod, fmt.Sprintf("route add 10.%d.0.0/16 via 10.%d.%d.1", net, net, n))
		}
		m.background(m.pod, "serve", "0.0.0.0:8080")
		m.background(m.pod, "sink", "0.0.0.0:8081")
	}
	keys := handmadeKeys()
	for i, m := range list {
		far := list[1-i]
		p := m.background(m.name, "handmade", "hand0", keys[i]+",endpoint="+far.address+":51999")
		eventually(b, "hand-made device", 5*time.Second, func() bool { return strings.Contains(p.log.String(), "ready") })
		ip(b, m.name, "link set hand0 up")
		ip(b, m.name, fmt.Sprintf("route add 10.99.%d.0/24 dev hand0", 2-i))
		ip(b, m.name, fmt.Sprintf("route add 10.98.%d.0/24 via %s", 2-i, far.address))
		encrypted.devices = append(encrypted.devices, p)
	}
	encrypted.pod, plain.pod = list[0].pod, list[0].pod
	return []*way{encrypted, plain}
}
