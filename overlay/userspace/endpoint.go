package userspace

import (
	"net"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// endpoint is where a peer is, and which of our addresses it spoke to. Packets
// share it, so nothing of it changes but that the source is forgotten.
type endpoint struct {
	to      netip.AddrPort
	address *net.UDPAddr // to, as the socket wants it

	source  []byte // the control message that it came with; nil: the kernel chooses
	routes  uint32 // of the bind's, when it came
	cleared atomic.Bool
}

var _ conn.Endpoint = (*endpoint)(nil)

func newEndpoint(to netip.AddrPort) *endpoint {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	return &endpoint{to: to, address: net.UDPAddrFromAddrPort(to)}
}

func (e *endpoint) ClearSrc()           { e.cleared.Store(true) }
func (e *endpoint) DstToString() string { return e.to.String() }
func (e *endpoint) DstIP() netip.Addr   { return e.to.Addr() }
func (e *endpoint) SrcToString() string { return e.SrcIP().String() }

func (e *endpoint) DstToBytes() []byte {
	b, _ := e.to.MarshalBinary() // never fails
	return b
}

func (e *endpoint) SrcIP() netip.Addr {
	if e.cleared.Load() || len(e.source) == 0 {
		return netip.Addr{}
	}
	data := e.source[unix.CmsgLen(0):]
	if e.to.Addr().Is4() {
		return netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Spec_dst)
	}
	return netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr)
}

// from returns the control message that answers from the address which the peer
// spoke to: nil where that is not known, or the routes have changed since.
func (e *endpoint) from(routes uint32) []byte {
	if e.routes != routes || e.cleared.Load() {
		return nil
	}
	return e.source
}

// received is what the kernel said beside a packet.
type received struct {
	source  []byte // level, type and data of the address it was sent to
	segment int    // bytes of each packet in it; 0: it is one
}

func parseControl(control []byte) received {
	var r received
	for len(control) > unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		switch {
		case header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && len(data) >= 4:
			r.segment = int(*(*int32)(unsafe.Pointer(&data[0])))
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo,
			header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			r.source = control[:min(unix.CmsgSpace(len(data)), len(control))]
		}
		control = rest
	}
	return r
}

// segmentControl is the control message by which the kernel cuts what it is given
// into packets of a size.
func segmentControl(to []byte, size int) []byte {
	at := len(to)
	to = append(to, make([]byte, unix.CmsgSpace(2))...)
	header := (*unix.Cmsghdr)(unsafe.Pointer(&to[at]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&to[at+unix.CmsgLen(0)])) = uint16(size)
	return to
}
