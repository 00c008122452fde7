//go:build lab

package rules

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// TestSegmentsAreClamped connects a pod at bridge0 with another at the end of wg0,
// whose own links are larger than the tunnel: both ends of each connection, in
// both families, whoever begins, must learn what the tunnel carries.
func TestSegmentsAreClamped(t *testing.T) {
	inNamespace(t)
	machine, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	ip := func(format string, args ...any) {
		t.Helper()
		line := fmt.Sprintf(format, args...)
		if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	enter := func(ns netns.NsHandle) {
		t.Helper()
		if err := netns.Set(ns); err != nil {
			t.Fatal(err)
		}
	}
	var pods [2]netns.NsHandle
	for i, link := range []string{"bridge0", "wg0"} {
		if pods[i], err = netns.New(); err != nil {
			t.Fatal(err)
		}
		defer pods[i].Close()
		enter(machine)
		ip("ip link add %s type veth peer name eth0 netns /proc/self/fd/3 3</proc/%d/fd/%d", link, os.Getpid(), int(pods[i]))
		ip("ip addr add 10.244.%[1]d.1/24 dev %[2]s; ip addr add fd00:244:0:%[1]d::1/64 dev %[2]s nodad; ip link set %[2]s up", i, link)
		enter(pods[i])
		ip("ip addr add 10.244.%[1]d.5/24 dev eth0; ip addr add fd00:244:0:%[1]d::5/64 dev eth0 nodad; ip link set eth0 up", i)
		ip("ip route add default via 10.244.%[1]d.1; ip -6 route add default via fd00:244:0:%[1]d::1", i)
	}
	enter(machine)
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/thread-self/root/proc/sys/net/"+name, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	const mtu, timestamps = 1420, 12
	ranges := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/56")}

	// connect returns what each end sends in one segment.
	connect := func(from, to int, address string) (dialled, accepted int) {
		t.Helper()
		enter(pods[to])
		listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		enter(pods[from])
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		near, err := net.DialTimeout("tcp", listener.Addr().String(), 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		return segment(t, near), segment(t, far)
	}
	for _, family := range []struct {
		name, address string
		headers       int
	}{{"IPv4", "10.244.%d.5", 40}, {"IPv6", "fd00:244:0:%d::5", 60}} {
		for _, way := range [][2]int{{0, 1}, {1, 0}} {
			address := fmt.Sprintf(family.address, way[1])
			enter(machine)
			if _, err := Remove(); err != nil {
				t.Fatal(err)
			}
			if near, far := connect(way[0], way[1], address); near != 1500-family.headers-timestamps || far != near {
				t.Errorf("%s, without rules: segments of %d and %d: this shows nothing", family.name, near, far)
			}
			enter(machine)
			if _, err := Ensure(overlay.Rules{Pods: ranges, MTU: mtu}); err != nil {
				t.Fatal(err)
			}
			want := mtu - family.headers - timestamps
			if near, far := connect(way[0], way[1], address); near != want || far != want {
				t.Errorf("%s, from pod %d to pod %d: segments of %d and %d, want %d", family.name, way[0], way[1], near, far, want)
			}
		}
	}
	enter(machine)
}

// segment is the largest that a connection's end sends, in bytes.
func segment(t *testing.T, c net.Conn) (size int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { size, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return size
}
