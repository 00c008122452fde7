package userspace

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

const (
	// segmentsMost is how many packets the kernel takes as one.
	segmentsMost = 64
	// bytesMost is how long such a packet may be; IPv6 could hold 20 more.
	bytesMost = 1<<16 - 1 - 20 - 8
)

// socket is one family's.
type socket struct {
	conn     *net.UDPConn
	raw      syscall.RawConn
	messages interface {
		ReadBatch([]ipv6.Message, int) (int, error)
		WriteBatch([]ipv6.Message, int) (int, error)
	}
	segments atomic.Bool // the kernel cuts what is sent
	merges   bool        // the kernel joins what is received
	batches  sync.Pool   // of *[]ipv6.Message
}

func (s *socket) over(c *net.UDPConn) (*socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	s.conn, s.raw = c, raw
	s.messages = ipv6.NewPacketConn(c)
	if c.LocalAddr().(*net.UDPAddr).IP.To4() != nil {
		s.messages = ipv4.NewPacketConn(c)
	}
	s.batches.New = func() any {
		list := make([]ipv6.Message, conn.IdealBatchSize)
		for i := range list {
			list[i].OOB = make([]byte, 0, unix.CmsgSpace(unix.SizeofInet6Pktinfo)+unix.CmsgSpace(2))
		}
		return &list
	}
	return s, nil
}

func (s *socket) control(f func(fd int) error) error {
	var err error
	return errors.Join(s.raw.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}

// send sends a batch. What the kernel does not take as one, it is given packet by
// packet: of a link that cannot count checksums from then on, of one whose MTU
// just shrank this time.
func (s *socket) send(bufs [][]byte, to *endpoint, source []byte) error {
	batch := s.batches.Get().(*[]ipv6.Message)
	defer s.batches.Put(batch)
	if s.segments.Load() {
		err := s.write((*batch)[:group(bufs, *batch, to.address, source, segmentsMost)])
		switch {
		case errors.Is(err, unix.EIO):
			s.segments.Store(false)
		case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EMSGSIZE): // the latter since Linux 6.14
			return err
		}
	}
	return s.write((*batch)[:group(bufs, *batch, to.address, source, 1)])
}

func (s *socket) write(list []ipv6.Message) error {
	for len(list) > 0 {
		n, err := s.messages.WriteBatch(list, 0)
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// group makes messages of packets: packets of one length, and a last shorter one,
// are one message that the kernel cuts. A packet alone of its length stays alone:
// it may try out whether that length arrives, and virtual links let pass what is
// joined, however long the packets. It returns how many messages there are.
func group(bufs [][]byte, list []ipv6.Message, to *net.UDPAddr, source []byte, most int) (n int) {
	for len(bufs) > 0 {
		size, total, taken := len(bufs[0]), len(bufs[0]), 1
		fits := func() bool { return taken < min(len(bufs), most) && total+len(bufs[taken]) <= bytesMost }
		for ; fits() && len(bufs[taken]) == size; taken++ {
			total += size
		}
		if taken > 1 && fits() && len(bufs[taken]) < size {
			taken++
		}
		m := &list[n]
		m.Addr, m.Buffers, m.OOB = to, bufs[:taken], append(m.OOB[:0], source...)
		if taken > 1 {
			m.OOB = segmentControl(m.OOB, size)
		}
		bufs = bufs[taken:]
		n++
	}
	return n
}

// reader receives batches from a socket, for one caller at a time.
type reader struct {
	socket *socket
	list   []ipv6.Message
	parts  [][][]byte // of each message that may hold several packets
	size   int        // of the packets that such a message is thought to hold
	misses int        // messages of others since the last that did
	bulk   int        // reads for which more such messages are expected
	joined []byte
	last   *endpoint
}

func newReader(s *socket) *reader {
	r := &reader{socket: s, list: make([]ipv6.Message, conn.IdealBatchSize), size: 1}
	if s.merges {
		r.list = r.list[:conn.IdealBatchSize/segmentsMost]
		r.joined = make([]byte, 1<<16)
		for range r.list {
			parts := make([][]byte, segmentsMost+1)
			parts[segmentsMost] = make([]byte, 1<<16) // what does not fit
			r.parts = append(r.parts, parts)
		}
	}
	for i := range r.list {
		r.list[i].OOB = make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo)+unix.CmsgSpace(4))
	}
	return r
}

// read fills buffers with a packet each. Sizes of those that it leaves out are 0.
func (r *reader) read(bufs [][]byte, sizes []int, endpoints []conn.Endpoint, routes uint32) (int, error) {
	list, size := r.list[:min(len(r.list), len(bufs))], r.size
	if r.bulk--; r.bulk < 0 {
		size = 0 // one buffer for each message is less to do for the kernel
	}
	for i := range list {
		list[i].Buffers, list[i].OOB = bufs[i:i+1], list[i].OOB[:cap(list[i].OOB)]
		if r.parts != nil {
			list[i].Buffers = r.lay(i, bufs, size)
		}
	}
	n, err := r.socket.messages.ReadBatch(list, 0)
	if err != nil {
		return 0, err
	}
	count := 0
	for i := range n {
		m := &list[i]
		said := parseControl(m.OOB[:m.NN])
		e := r.endpoint(m.Addr.(*net.UDPAddr).AddrPort(), said.source, routes)
		if r.parts == nil {
			sizes[i], endpoints[i] = m.N, e
			count = i + 1
			continue
		}
		if said.segment > 0 {
			r.bulk = 16
		}
		at := i * segmentsMost
		clear(sizes[count:at])
		packets := r.split(m.Buffers, bufs[at:][:segmentsMost], sizes[at:], m.N, said.segment)
		for j := range packets {
			endpoints[at+j] = e
		}
		count = at + packets
	}
	return count, nil
}

// lay returns where the kernel is to put a message: into a part of each buffer,
// or all of it into the first.
func (r *reader) lay(message int, bufs [][]byte, size int) [][]byte {
	mine := bufs[message*segmentsMost:][:segmentsMost]
	if size == 0 {
		return mine[:1]
	}
	for i, b := range mine {
		r.parts[message][i] = b[:size]
	}
	return r.parts[message]
}

// split has each packet of a message in a buffer of its own, where all already are
// if they are as long as the parts are. It returns how many there are.
func (r *reader) split(parts, bufs [][]byte, sizes []int, total, segment int) (n int) {
	size := len(parts[0])
	if segment == 0 {
		segment = total
	}
	if total <= size && segment == total {
		sizes[0] = total
		return 1
	}
	if segment == size {
		r.misses = 0
		for ; total > 0 && n < len(bufs); n++ {
			sizes[n] = min(segment, total)
			total -= sizes[n]
		}
		return n
	}
	joined := r.joined[:0]
	for _, part := range parts {
		joined = append(joined, part[:min(len(part), total-len(joined))]...)
	}
	// What is sent much sets the size; small packets in between do not.
	if r.misses++; segment > r.size || r.misses > 16 {
		r.size, r.misses = segment, 0
	}
	for ; len(joined) > 0 && n < len(bufs); n++ {
		sizes[n] = copy(bufs[n], joined[:min(segment, len(joined))])
		joined = joined[sizes[n]:]
	}
	return n
}

// endpoint is the last one where that says the same.
func (r *reader) endpoint(from netip.AddrPort, source []byte, routes uint32) *endpoint {
	if e := r.last; e == nil || e.cleared.Load() || e.routes != routes || e.to.Port() != from.Port() || e.to.Addr() != from.Addr().Unmap() || !bytes.Equal(e.source, source) {
		r.last = newEndpoint(from)
		r.last.source, r.last.routes = bytes.Clone(source), routes
	}
	return r.last
}
