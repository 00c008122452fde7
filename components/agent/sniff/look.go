package sniff

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/components/wire"
	"provision/overlay"
)

const (
	waiting = 20        // milliseconds for which nothing comes before the clock is looked at
	burst   = 64        // packets of one link before the next has its turn
	held    = 4 << 20   // bytes of packets that the kernel holds for us, of each link
	largest = 128 << 10 // bytes of a packet: segments come joined
)

// look is open sockets, one for each link.
type look struct {
	request wire.Request
	sockets []unix.PollFd
	links   []wire.Link
}

// open begins to look: the kernel keeps what passes from now on.
func open(request wire.Request) (*look, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	chosen := slices.DeleteFunc(all, func(l netlink.Link) bool { return !outer(l, all) })
	if len(chosen) == 0 || len(chosen) > wire.MaxLinks {
		return nil, fmt.Errorf("%d links lead out of this machine, which are not 1 to %d", len(chosen), wire.MaxLinks)
	}
	k := &look{request: request}
	for _, link := range chosen {
		fd, err := listen(link.Attrs().Index)
		if err != nil {
			k.close()
			return nil, fmt.Errorf("%s: %w", link.Attrs().Name, err)
		}
		k.sockets = append(k.sockets, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		k.links = append(k.links, wire.Link{Name: link.Attrs().Name})
	}
	return k, nil
}

// outer says that packets may leave the machine on a link: it is up, not
// loopback, not the overlay's or a pod's, and no port of a bridge that leads to
// something on the machine itself (a container of docker's).
func outer(link netlink.Link, all []netlink.Link) bool {
	a := link.Attrs()
	if a.Flags&net.FlagUp == 0 || a.Flags&net.FlagLoopback != 0 || a.Name == overlay.Bridge || a.Name == overlay.Tunnel {
		return false
	}
	if a.MasterIndex == 0 {
		return true
	}
	if slices.ContainsFunc(all, func(m netlink.Link) bool { return m.Attrs().Index == a.MasterIndex && m.Attrs().Name == overlay.Bridge }) {
		return false
	}
	_, err := os.Stat(filepath.Join("/sys/class/net", a.Name, "device")) // a card's
	return err == nil
}

// listen opens a socket that gets what a link receives and sends, from the IP
// header on.
func listen(index int) (int, error) {
	// Protocol 0 gets nothing before it is bound, so that no other link's packets come.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, held) // less: more is missed, and said
	const every = unix.ETH_P_ALL
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every<<8 | every>>8, Ifindex: index}); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (k *look) close() {
	for _, s := range k.sockets {
		unix.Close(int(s.Fd))
	}
}

// until counts until stop says so and what had come by then is counted, or a
// bound is met.
func (k *look) until(stop func() bool, deadline time.Time) (wire.Report, error) {
	report := wire.Report{Links: k.links}
	buffer := make([]byte, largest)
	packets, bytes := 0, 0
	for {
		last := stop() // before the poll: what it finds came before
		if _, err := unix.Poll(k.sockets, waiting); err != nil && !errors.Is(err, unix.EINTR) {
			return report, fmt.Errorf("wait for packets: %w", err)
		}
		quiet := true
		for i, s := range k.sockets {
			if s.Revents == 0 {
				continue
			}
			for range burst {
				n, _, err := unix.Recvfrom(int(s.Fd), buffer, unix.MSG_DONTWAIT)
				if err != nil {
					break // nothing more, or the link went down
				}
				quiet = false
				packets, bytes = packets+1, bytes+n
				count(&k.links[i], buffer[:n], k.request)
			}
		}
		switch {
		case last && quiet:
		case packets >= wire.MaxPackets || bytes >= wire.MaxBytes:
			report.Ended = fmt.Sprintf("%d packets of %d MiB passed", packets, bytes>>20)
		case time.Now().After(deadline):
			report.Ended = "it took too long"
		default:
			continue
		}
		for i, s := range k.sockets {
			if said, err := unix.GetsockoptTpacketStats(int(s.Fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				k.links[i].Missed = int(said.Drops)
			}
		}
		return report, nil
	}
}
