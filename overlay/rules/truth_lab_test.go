//go:build lab

package rules

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"provision/overlay/firewall"
)

// TestTheKernelAgrees sends the packets that Strangers only thinks of: a machine
// with a pod at bridge0 and another at the end of wg0, each a namespace, dials
// with a firewall in between, and what is said of the firewall must be true.
func TestTheKernelAgrees(t *testing.T) {
	chain := func(hook, policy, rules string) string {
		return "table inet fire { chain " + hook + " { type filter hook " + hook + " priority 0; policy " + policy + "; " + rules + " } }"
	}
	for name, ruleset := range map[string]string{
		"nothing":           "",
		"firewalld":         "include \"./testdata/firewalld.nft\"",
		"firewalld, told":   "include \"./testdata/firewalld-open.nft\"",
		"ufw":               "include \"./testdata/ufw.nft\"",
		"ufw, told":         "include \"./testdata/ufw-open.nft\"",
		"a last rule":       chain("forward", "accept", "ct state established accept; reject with icmpx admin-prohibited"),
		"half a remedy":     chain("forward", "drop", "iifname bridge0 accept; ct state established accept; udp dport 53 accept"),
		"for the API alone": chain("input", "drop", "ct state established accept; ip daddr 192.0.0.11 tcp dport 6444 accept"),
		"no answers":        chain("input", "drop", "ct state new accept; tcp dport 10250 accept; tcp dport 6444 accept"),
		"nothing goes out":  chain("output", "accept", "ct state established accept; oifname { bridge0, wg0 } reject"),
		"translated only":   chain("input", "accept", "ct state established accept; ct status != dnat drop"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			load(t, ruleset)
			var closed []firewall.Way
			for _, wall := range strangers(t) {
				closed = append(closed, wall.Way)
			}
			open := func(ways ...firewall.Way) bool {
				return !slices.ContainsFunc(ways, func(way firewall.Way) bool { return slices.Contains(closed, way) })
			}
			agree := func(what string, said, got bool) {
				t.Helper()
				if said != got {
					t.Errorf("%s: open is %v, by what is said %v (%q)", what, got, said, closed)
				}
			}
			agree("from a pod to the API", open(firewall.ToAPI), w.dial(w.pods[0], "10.96.0.1:443"))
			if open(firewall.ToAPI, firewall.Answers) { // a chain is named for the first way alone
				agree("from a pod to the machine", open(firewall.ToMachine), w.dial(w.pods[0], "10.0.0.1:10250"))
			}
			agree("from pod to pod, and back", open(firewall.Between), w.dial(w.pods[0], "10.244.1.77:9376") && w.dial(w.pods[1], "10.244.0.5:9376"))
			agree("from the machine to a pod", open(firewall.FromMachine, firewall.Answers), w.dial(w.machine, "10.244.0.5:9376"))
		})
	}
}

// world is a machine, which is the test's own namespace, and two pods.
type world struct {
	t       *testing.T
	machine netns.NsHandle
	pods    [2]netns.NsHandle
}

func newWorld(t *testing.T) *world {
	inNamespace(t)
	w := &world{t: t}
	var err error
	if w.machine, err = netns.Get(); err != nil {
		t.Fatal(err)
	}
	ip := func(format string, args ...any) {
		t.Helper()
		line := fmt.Sprintf(format, args...)
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	ip("ip link set lo up; ip addr add 192.0.0.11/32 dev lo; ip addr add 10.0.0.1/32 dev lo")
	for i, link := range []string{"bridge0", "wg0"} {
		if w.pods[i], err = netns.New(); err != nil {
			t.Fatal(err)
		}
		ip("ip link set lo up")
		w.enter(w.machine)
		ip("ip link add %s type veth peer name eth0 netns /proc/self/fd/3 3</proc/%d/fd/%d", link, os.Getpid(), int(w.pods[i]))
		ip("ip addr add 10.244.%d.1/24 dev %s; ip link set %s up", i, link, link)
		w.enter(w.pods[i])
		ip("ip addr add 10.244.%d.%d/24 dev eth0; ip link set eth0 up; ip route add default via 10.244.%d.1", i, []int{5, 77}[i], i)
		w.listen(":9376")
		w.enter(w.machine)
	}
	t.Cleanup(func() { w.pods[0].Close(); w.pods[1].Close(); w.machine.Close() })
	if err := os.WriteFile("/proc/thread-self/root/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	load(t, "table ip services { chain pre { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 443 dnat to 192.0.0.11:6444; } }")
	w.listen("192.0.0.11:6444")
	w.listen("10.0.0.1:10250")
	return w
}

func (w *world) enter(ns netns.NsHandle) {
	w.t.Helper()
	if err := netns.Set(ns); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) listen(address string) {
	w.t.Helper()
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { listener.Close() })
}

// dial says whether a connection from a namespace comes about.
func (w *world) dial(from netns.NsHandle, address string) bool {
	w.enter(from)
	defer w.enter(w.machine)
	conn, err := net.DialTimeout("tcp4", address, 300*time.Millisecond)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
