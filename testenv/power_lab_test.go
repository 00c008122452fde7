//go:build lab

package testenv

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func (l *Lab) power(t *testing.T) {
	l.must(t, "w1", "touch /root/kept && sync && ip link add name wg0 type bridge && touch /run/lost")
	boot := l.must(t, "w1", "cat /proc/sys/kernel/random/boot_id")
	begin := time.Now()
	if err := l.Kill("w1"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the power took %s to fail", took)
	}
	if l.running("w1") {
		t.Error("w1 still runs")
	}
	if err := l.Kill("w1"); err != nil {
		t.Error("a second power failure:", err)
	}
	if err := l.Cut("w1"); err == nil || !strings.Contains(err.Error(), "switched off") {
		t.Errorf("cutting a machine that is off: %v", err)
	}
	if err := l.Start(deadline(t), "w1"); err != nil {
		t.Fatal(err)
	}
	if got := l.must(t, "w1", "ls /root/kept; ls /run/lost 2>/dev/null; ls /sys/class/net"); got != "/root/kept\neth0\nlo" {
		t.Errorf("its disk and nothing else should have stayed: %q", got)
	}
	if l.must(t, "w1", "cat /proc/sys/kernel/random/boot_id") == boot {
		t.Error("the boot id is the old one")
	}
	if err := l.Start(deadline(t), "w1"); err == nil {
		t.Error("a running machine was started")
	}
	l.on(t, "w1", "systemctl poweroff") // the connection may break before it answers
	for end := time.Now().Add(20 * time.Second); l.running("w1"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("w1 does not halt")
		}
	}
	if err := l.Start(deadline(t), "w1"); err != nil {
		t.Error("after it halted by itself:", err)
	}
}

// lastPackets watches the wire while machines die, with a connection open to each.
func (l *Lab) lastPackets(t *testing.T) {
	m, err := l.Machine("w1")
	if err != nil {
		t.Fatal(err)
	}
	dying := func(kill func() error) int {
		t.Helper()
		capture := l.capture(t, m.Address)
		conn, err := net.DialTimeout("tcp4", m.Address.String()+":22", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		if err := kill(); err != nil {
			t.Fatal(err)
		}
		return capture()
	}
	polite := dying(func() error { return killNamed(func(name string) bool { return name == l.group("w1") }) })
	if polite == 0 {
		t.Fatal("killing processes alone was expected to say goodbye: the capture sees nothing")
	}
	if err := l.Start(deadline(t), "w1"); err != nil {
		t.Fatal(err)
	}
	if n := dying(func() error { return l.Kill("w1") }); n > 0 {
		t.Errorf("%d packets said goodbye after the power had failed", n)
	}
}

// capture counts TCP packets from an address that end a connection, at the switch's
// end of the cable, until a second after the returned function is called.
func (l *Lab) capture(t *testing.T, from netip.Addr) func() int {
	t.Helper()
	fd := -1
	err := l.onSwitch(func(sw netns.NsHandle) error {
		h, err := in(sw)
		if err != nil {
			return err
		}
		defer h.Close()
		link, err := h.LinkByName(cablePort)
		if err != nil {
			return err
		}
		return inNetwork(sw, func() error {
			all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
			if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all)); err != nil {
				return err
			}
			timeout := unix.Timeval{Usec: 100_000}
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() int {
		defer unix.Close(fd)
		goodbyes := 0
		packet := make([]byte, 2048)
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			n, _, err := unix.Recvfrom(fd, packet, 0)
			if err == nil && endsConnection(packet[:n], from) {
				goodbyes++
			}
		}
		return goodbyes
	}
}

// endsConnection says whether an Ethernet frame is a FIN or RST from the address.
func endsConnection(frame []byte, from netip.Addr) bool {
	const ethernet = 14
	if len(frame) < ethernet+20 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return false
	}
	ip := frame[ethernet:]
	size := int(ip[0]&15) * 4
	source, _ := netip.AddrFromSlice(ip[12:16])
	return source == from && ip[9] == unix.IPPROTO_TCP && len(ip) >= size+14 && ip[size+13]&(0x01|0x04) != 0
}
