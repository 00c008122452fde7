package userspace

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// large is a TUN whose reads give several packets each.
type large struct {
	tun.Device
	file    *os.File
	packets int
}

func (l large) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for i := range l.packets {
		sizes[i] = 1
	}
	_, err := l.file.Read(make([]byte, 1))
	return l.packets, err
}

// A batch holds what there is, as long as the largest that may come has room.
func TestBatched(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, feed := os.NewFile(uintptr(fds[0]), "tun"), os.NewFile(uintptr(fds[1]), "kernel")
	defer file.Close()
	defer feed.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ waiting, packets, want int }{
		{1, 47, 47},
		{2, 1, 1},
		{2, 47, 94},
		{4, 47, 94}, // a third would not fit if it were the largest
		{2, segmentsMost, 2 * segmentsMost},
		{9, 7, 63},
		{20, 7, 70},
	} {
		for range c.waiting {
			feed.Write([]byte{1})
		}
		b := &batched{Device: large{file: file, packets: c.packets}, raw: raw}
		left := c.waiting*c.packets - c.want
		for _, want := range []int{c.want, left} {
			if want == 0 {
				continue
			}
			n, err := b.Read(make([][]byte, 128), make([]int, 128), 16)
			if err != nil || n != want {
				t.Errorf("%d times %d packets: read %d, want %d: %v", c.waiting, c.packets, n, want, err)
			}
		}
	}
}
