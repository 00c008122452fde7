//go:build lab

package sniff

import (
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"

	"provision/components/wire"
)

// TestLook sends the marker over links of every kind, in both families, in a
// namespace of its own with another one at the cable's end.
func TestLook(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	sh := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	// A namespace that lives as long as a process does has no name to forget.
	other := exec.Command("unshare", "-n", "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	for tries := 0; ; tries++ { // until unshare has become sleep
		if name, _ := exec.Command("ps", "-o", "comm=", "-p", fmt.Sprint(other.Process.Pid)).Output(); strings.TrimSpace(string(name)) == "sleep" {
			break
		}
		if tries > 100 {
			t.Fatal("no namespace for the other end")
		}
		time.Sleep(20 * time.Millisecond)
	}
	sh(fmt.Sprintf(`
		ip link set lo up
		ip link add cable type veth peer name far netns %[1]d
		ip addr add 10.99.0.1/24 dev cable; ip addr add fd99::1/64 dev cable nodad; ip link set cable up
		nsenter -t %[1]d -n ip link set far up # nobody is there: no answer of ICMP quotes the marker
		for a in 10.99.0.2 fd99::2; do ip neigh add $a lladdr 02:00:00:00:00:02 dev cable nud permanent; done
		ip link add bridge0 type bridge; ip addr add 10.98.0.1/24 dev bridge0; ip link set bridge0 up
		ip link add pod type veth peer name podin; ip link set pod master bridge0 up; ip link set podin up
		ip link add docker0 type bridge; ip link set docker0 up
		ip link add box type veth peer name boxin; ip link set box master docker0 up
		ip link add wg0 type bridge; ip addr add 10.97.0.1/24 dev wg0; ip link set wg0 up
		ip link add off type bridge`, other.Process.Pid))

	k, err := open(wire.Request{Marker: marker, Port: 51820})
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	var names []string
	for _, l := range k.links {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"cable", "docker0", "podin"}, names); diff != "" {
		t.Errorf("it looks at others: %s", diff)
	}
	send := func(address, text string) {
		t.Helper()
		conn, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	send("10.99.0.2:9", "before it "+marker+" and after")
	send("[fd99::2]:9", marker)
	send("10.99.0.2:51820", "\x04\x00\x00\x00 sealed")
	send("[fd99::2]:51820", "\x01\x00\x00\x00 sealed")
	for _, own := range []string{"127.0.0.1:9", "10.98.0.7:9", "10.97.0.7:9"} {
		send(own, marker)
	}
	asked := false // so that what is sent above is counted, though the end has come
	begin := time.Now()
	report, err := k.until(func() bool { last := asked; asked = time.Since(begin) > 500*time.Millisecond; return last }, begin.Add(5*time.Second))
	if err != nil || report.Ended != "" {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, l := range report.Links {
		switch {
		case l.Name == "cable" && (l.Clear != 2 || l.As != wire.Kinds{UDP4: 1, UDP6: 1} || l.WireGuard != 2 || l.Packets < 4):
			t.Errorf("on the cable: %+v", l)
		case l.Name != "cable" && l.Clear+l.WireGuard > 0:
			t.Errorf("beside the cable: %+v", l)
		}
	}

	begin = time.Now()
	report, err = k.until(func() bool { return false }, begin.Add(300*time.Millisecond))
	if took := time.Since(begin); err != nil || report.Ended != "it took too long" || took > 2*time.Second {
		t.Errorf("without an end: %+v, %v, after %s", report, err, took)
	}
}
