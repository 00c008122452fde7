package userspace

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"provision/overlay"
)

func peerText(key byte, handshake time.Time, subnet string) string {
	return fmt.Sprintf("public_key=%s\nlast_handshake_time_sec=%d\nlast_handshake_time_nsec=0\nallowed_ip=%s\n",
		hex.EncodeToString((&overlay.Key{key})[:]), max(handshake.Unix(), 0), subnet)
}

// Who has no session is silent, and has a share that lasts for a term.
func TestListen(t *testing.T) {
	now := time.Unix(1e9, 0)
	text := "private_key=00\nlisten_port=51820\n" +
		peerText(1, now.Add(-time.Minute), "10.244.1.0/24") +
		peerText(2, time.Time{}, "10.244.2.0/24") +
		peerText(3, now.Add(-time.Hour), "fd00:3::/64") + "errno=0\n"
	list := listen(text, nil, true, now)
	if len(list) != 2 || list[0].subnets[0].String() != "10.244.2.0/24" || list[1].subnets[0].String() != "fd00:3::/64" {
		t.Fatalf("silent: %+v", list)
	}
	if got := list[0].left.Load() + list[1].left.Load(); got != share {
		t.Errorf("%d packets in all, want %d", got, share)
	}
	list[0].left.Store(3)
	if got := listen(text, list, false, now)[0].left.Load(); got != 3 {
		t.Errorf("%d left within the term, want 3", got)
	}
	if got := listen(text, list, true, now)[0].left.Load(); got != share/2 {
		t.Errorf("%d left in the next term, want %d", got, share/2)
	}
	if list := listen("private_key=00\nerrno=0\n", nil, true, now); len(list) != 0 {
		t.Errorf("silent among nobody: %+v", list)
	}
}

// A session is over before the device stops sending into it, and whenever it is
// looked at next.
func TestListenInTime(t *testing.T) {
	now := time.Unix(1e9, 0)
	for age, silent := range map[time.Duration]bool{
		device.RekeyAfterTime + device.RekeyAttemptTime/3: false, // about to be renewed
		device.RejectAfterTime - glance:                   true,
	} {
		if list := listen(peerText(1, now.Add(-age), "10.244.1.0/24"), nil, true, now); (len(list) == 1) != silent {
			t.Errorf("after %v: silent %v, want %v", age, len(list) == 1, silent)
		}
	}
}

// packets is a TUN from which one batch is read.
type packets struct {
	tun.Device
	batch [][]byte
}

func (p packets) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for i, b := range p.batch {
		sizes[i] = copy(bufs[i][offset:], b)
	}
	return len(p.batch), os.ErrDeadlineExceeded
}

// Only what silent peers have no share for is left out.
func TestGate(t *testing.T) {
	to := func(a string) []byte {
		b := make([]byte, 60)
		if addr := netip.MustParseAddr(a); addr.Is4() {
			b[0] = 4 << 4
			copy(b[16:], addr.AsSlice())
		} else {
			b[0] = 6 << 4
			copy(b[24:], addr.AsSlice())
		}
		return b
	}
	g := &gate{in: newWindow(), out: newWindow(), Device: packets{batch: [][]byte{to("10.244.1.9"), to("10.244.2.9"), to("10.244.2.9"), to("fd00:2::9"), {0}, to("fd00:1::9")}}}
	read := func() (passed []int) {
		bufs, sizes := make([][]byte, 8), make([]int, 8)
		for i := range bufs {
			bufs[i] = make([]byte, 100)
		}
		n, err := g.Read(bufs, sizes, 16)
		if err != os.ErrDeadlineExceeded {
			t.Errorf("the TUN's own error is lost: %v", err)
		}
		for i := range n {
			if sizes[i] > 0 {
				passed = append(passed, i)
			}
		}
		return passed
	}
	if got := read(); len(got) != 6 {
		t.Errorf("before anybody was listened to: %v", got)
	}
	s := &silence{subnets: []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24"), netip.MustParsePrefix("fd00:2::/64")}}
	s.left.Store(1)
	g.silent.Store(&[]*silence{s})
	if got := fmt.Sprint(read()); got != "[0 1 4 5]" {
		t.Errorf("passed %s, want [0 1 4 5]: one packet of the share, then none", got)
	}
	if got := fmt.Sprint(read()); got != "[0 4 5]" {
		t.Errorf("passed %s, want [0 4 5]", got)
	}
}
