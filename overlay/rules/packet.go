package rules

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"provision/overlay"
	"provision/overlay/firewall"
)

// States of a connection as nftables has them: one bit for each.
const (
	stateEstablished = 1 << 1
	stateNew         = 1 << 3
)

// packet is the first of a connection that a healthy cluster has, or an answer.
type packet struct {
	way            firewall.Way
	hook           nftables.ChainHook
	in, out        string // links; "" where the machine itself is that end
	source, target netip.AddrPort
	state          uint32
	translated     bool // the destination was a Service's
}

// Ports that no firewall's rule for something else is likely to name.
const (
	anyPort   = 9376
	ephemeral = 41614
)

// packets are those that must get through every wall. self is the machine's own
// address, and pods the cluster's range, of the same family.
func packets(pods netip.Prefix, self netip.Addr) []packet {
	at := func(last byte) netip.Addr { // of a pod
		raw := pods.Masked().Addr().AsSlice()
		raw[len(raw)-1] |= last
		raw[len(raw)-2] |= last >> 6
		addr, _ := netip.AddrFromSlice(raw)
		return addr
	}
	port := func(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }
	here, there := at(5), at(77)
	input, output, forward := *nftables.ChainHookInput, *nftables.ChainHookOutput, *nftables.ChainHookForward
	const bridge, tunnel = overlay.Bridge, overlay.Tunnel
	list := []packet{
		{firewall.Answers, input, bridge, "", port(here, anyPort), port(self, ephemeral), stateEstablished, false},
		{firewall.ToMachine, input, bridge, "", port(here, ephemeral), port(self, 10250), stateNew, false},
		{firewall.FromMachine, output, "", bridge, port(self, ephemeral), port(here, anyPort), stateNew, false},
		{firewall.FromMachine, output, "", tunnel, port(self, ephemeral), port(there, anyPort), stateNew, true},
		{firewall.Between, forward, bridge, tunnel, port(here, ephemeral), port(there, anyPort), stateNew, false},
		{firewall.Between, forward, tunnel, bridge, port(there, ephemeral), port(here, anyPort), stateNew, false},
		{firewall.Between, forward, bridge, bridge, port(here, ephemeral), port(at(6), anyPort), stateNew, true},
	}
	if pods.Addr().Is4() {
		api := packet{firewall.ToAPI, input, bridge, "", port(here, ephemeral), firewall.API, stateNew, true}
		list = append([]packet{api}, list...)
	}
	return list
}

// meta is what nftables knows of a packet besides its bytes; nil where it is not
// known here.
func (p packet) meta(key uint32, index func(link string) uint32) []byte {
	name := func(link string) []byte {
		padded := make([]byte, 16) // IFNAMSIZ
		copy(padded, link)
		return padded
	}
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	switch key {
	case unix.NFT_META_IIFNAME:
		return name(p.in)
	case unix.NFT_META_OIFNAME:
		return name(p.out)
	case unix.NFT_META_IIF:
		return number(index(p.in))
	case unix.NFT_META_OIF:
		return number(index(p.out))
	case unix.NFT_META_NFPROTO:
		return []byte{p.family()}
	case unix.NFT_META_L4PROTO:
		return []byte{unix.IPPROTO_TCP}
	case unix.NFT_META_PKTTYPE:
		return []byte{unix.PACKET_HOST}
	case unix.NFT_META_MARK:
		return number(0)
	}
	return nil
}

// track is what connection tracking knows; nil where it is not known here.
func (p packet) track(key uint32) []byte {
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	switch key {
	case unix.NFT_CT_STATE:
		return number(p.state)
	case unix.NFT_CT_STATUS:
		// The kernel's IPS_ bits: with Services, every connection has met translation.
		const seenReply, confirmed, targetNAT, sourceDone, targetDone = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8
		status := uint32(sourceDone | targetDone)
		if p.hook == *nftables.ChainHookInput || p.hook == *nftables.ChainHookForward {
			status = targetDone // the source's turn comes last
		}
		if p.translated {
			status |= targetNAT
		}
		if p.state == stateEstablished {
			status |= seenReply | confirmed | sourceDone
		}
		return number(status)
	case unix.NFT_CT_MARK:
		return number(0)
	}
	return nil
}

func (p packet) family() byte {
	if p.source.Addr().Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// header is the packet's network header, without a checksum.
func (p packet) header() []byte {
	const length, hops = 60, 64
	if p.family() == unix.NFPROTO_IPV4 {
		head := make([]byte, 12, 20)
		head[0], head[3], head[8], head[9] = 0x45, length, hops, unix.IPPROTO_TCP
		return append(append(head, p.source.Addr().AsSlice()...), p.target.Addr().AsSlice()...)
	}
	head := make([]byte, 8, 40)
	head[0], head[5], head[6], head[7] = 0x60, length, unix.IPPROTO_TCP, hops
	return append(append(head, p.source.Addr().AsSlice()...), p.target.Addr().AsSlice()...)
}

// transport is the packet's TCP header.
func (p packet) transport() []byte {
	head := make([]byte, 20)
	binary.BigEndian.PutUint16(head[0:], p.source.Port())
	binary.BigEndian.PutUint16(head[2:], p.target.Port())
	head[12], head[13] = 0x50, 0x02 // no options; SYN
	if p.state == stateEstablished {
		head[13] = 0x12 // SYN and ACK
	}
	return head
}
