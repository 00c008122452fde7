package userspace

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// bind is the device's sockets. It does what conn.StdNetBind does, but copies no
// packet: those of a batch lie where the device has them, and the kernel gathers
// and scatters them; and one address serves a batch, where a packet had its own.
type bind struct {
	offloads bool // UDP's
	in, out  *window
	routes   atomic.Uint32 // how often routes changed: sources of before are forgotten

	mu      sync.RWMutex
	sockets [2]*socket // IPv4's and IPv6's; nil: closed, or a family the kernel does not have
}

var _ conn.Bind = (*bind)(nil)

func newBind(offloads bool, in, out *window) *bind {
	return &bind{offloads: offloads, in: in, out: out}
}

func (b *bind) BatchSize() int { return conn.IdealBatchSize }

func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	to, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, err
	}
	return newEndpoint(to), nil
}

// Open listens on a port of both families, a free one for 0.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sockets != [2]*socket{} {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	var err error
	for range 100 {
		var sockets [2]*socket
		chosen := port
		for i, network := range []string{"udp4", "udp6"} {
			if sockets[i], err = openSocket(network, chosen, b.offloads); errors.Is(err, syscall.EAFNOSUPPORT) {
				err = nil
			}
			if err != nil {
				break
			}
			if sockets[i] != nil {
				chosen = uint16(sockets[i].conn.LocalAddr().(*net.UDPAddr).Port)
			}
		}
		if err == nil && sockets == [2]*socket{} {
			return nil, 0, syscall.EAFNOSUPPORT
		}
		if err == nil {
			var receive []conn.ReceiveFunc
			for _, s := range sockets {
				if s != nil {
					receive = append(receive, b.receive(s))
				}
			}
			b.sockets = sockets
			return receive, chosen, nil
		}
		err = errors.Join(err, closeAll(sockets))
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, 0, err
}

func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	sockets := b.sockets
	b.sockets = [2]*socket{}
	return closeAll(sockets)
}

func closeAll(sockets [2]*socket) (err error) {
	for _, s := range sockets {
		if s != nil {
			err = errors.Join(err, s.conn.Close())
		}
	}
	return err
}

func (b *bind) SetMark(mark uint32) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var errs []error
	for _, s := range b.sockets {
		if s != nil {
			errs = append(errs, s.control(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }))
		}
	}
	return errors.Join(errs...)
}

func (b *bind) Send(bufs [][]byte, to conn.Endpoint) error {
	defer b.out.done(payloads(bufs))
	e := to.(*endpoint)
	b.mu.RLock()
	s := b.sockets[0]
	if e.to.Addr().Is6() {
		s = b.sockets[1]
	}
	b.mu.RUnlock()
	if s == nil {
		return syscall.EAFNOSUPPORT
	}
	return s.send(bufs, e, e.from(b.routes.Load()))
}

func (b *bind) receive(s *socket) conn.ReceiveFunc {
	r := newReader(s)
	type place struct {
		index  int
		buffer *byte
	}
	var inside []place // of the last packets that the window counts
	return func(bufs [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
		// The device keeps the buffer of a packet that it takes. What it left where it
		// was is of no session, as what strangers send is, and takes no place: they
		// would shut the window to everybody else.
		left := 0
		for _, p := range inside {
			if &bufs[p.index][0] == p.buffer {
				left++
			}
		}
		b.in.done(left)
		b.in.enter()
		n, err := r.read(bufs, sizes, endpoints, b.routes.Load())
		inside = inside[:0]
		for i := range n {
			if sizes[i] > 0 && payload(bufs[i][:sizes[i]]) {
				inside = append(inside, place{i, &bufs[i][0]})
			}
		}
		b.in.add(len(inside))
		return n, err
	}
}

// payloads counts the packets that carry something.
func payloads(bufs [][]byte) (n int) {
	for _, b := range bufs {
		if payload(b) {
			n++
		}
	}
	return n
}

// payload is false for keepalives and what belongs to a handshake.
func payload(packet []byte) bool {
	return len(packet) > device.MessageKeepaliveSize && binary.LittleEndian.Uint32(packet) == device.MessageTransportType
}

// socketBuffer is what the kernel holds of a burst, in bytes: as upstream's.
const socketBuffer = 7 << 20

// openSocket binds one. UDP_GRO is asked for where it can be read back, since
// Linux 5.12: before, the kernel had its own mistakes.
func openSocket(network string, port uint16, offloads bool) (*socket, error) {
	s := &socket{}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		s.raw = c
		return s.control(func(fd int) error {
			for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, socketBuffer) // as much as is allowed
			}
			if offloads {
				_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
				s.segments.Store(err == nil)
				err = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
				set, unreadable := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO)
				if s.merges = err == nil && unreadable == nil && set == 1; !s.merges && err == nil {
					unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 0)
				}
			}
			if network == "udp4" {
				return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			}
			return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
		})
	}}
	c, err := config.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	return s.over(c.(*net.UDPConn))
}

// watch has the sockets forget, whenever routes change, from which address to
// answer whom, until the context ends: what was right may lead nowhere. subscribe
// is netlink's.
func (b *bind) watch(ctx context.Context, subscribe func(chan<- netlink.RouteUpdate, <-chan struct{}) error, log *slog.Logger) {
	for told := false; ctx.Err() == nil; {
		if err := b.follow(ctx, subscribe); err != nil && !told {
			log.Warn("cannot hear of routes that change", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			b.routes.Add(1) // what happened in between
		}
	}
}

// follow returns when the subscription ends, which an overrun does.
func (b *bind) follow(ctx context.Context, subscribe func(chan<- netlink.RouteUpdate, <-chan struct{}) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // its socket is closed by nobody else
	changes := make(chan netlink.RouteUpdate, 64)
	if err := subscribe(changes, ctx.Done()); err != nil {
		return err
	}
	for range changes {
		b.routes.Add(1)
	}
	return nil
}
