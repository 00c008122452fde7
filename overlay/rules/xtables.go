package rules

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// xtables answers the conditions that iptables-nft leaves to the older modules.
func (j *judge) xtables(e *expr.Match) answer {
	switch info := e.Info.(type) {
	case *xt.Comment:
		return yes
	case *xt.ConntrackMtinfo1:
		return j.conntrack(info.ConntrackMtinfoBase, uint16(info.StateMask))
	case *xt.ConntrackMtinfo2:
		return j.conntrack(info.ConntrackMtinfoBase, info.StateMask)
	case *xt.ConntrackMtinfo3:
		return j.conntrack(info.ConntrackMtinfoBase, info.StateMask)
	case *xt.Tcp:
		inside := within(info.SrcPorts, j.packet.source.Port()) != (info.InvFlags&xt.TcpInvSrcPorts != 0) &&
			within(info.DstPorts, j.packet.target.Port()) != (info.InvFlags&xt.TcpInvDestPorts != 0)
		switch {
		case !inside:
			return no
		case info.FlagsMask != 0 || info.Option != 0:
			return maybe
		}
		return yes
	case *xt.Udp:
		return no // the packets here are TCP's
	case *xt.AddrTypeV1:
		return j.addressType(info)
	}
	if info, ok := e.Info.(*xt.Unknown); ok && e.Name == "multiport" && e.Rev == 1 {
		return j.multiport(*info)
	}
	return maybe
}

// multiport reads struct xt_multiport_v1: which side, how many, fifteen ports,
// which of them begin a range, and whether to invert.
func (j *judge) multiport(info []byte) answer {
	const most, portsAt, rangesAt, invertAt = 15, 2, 32, 47
	const fromSource, toTarget, either = 0, 1, 2
	if len(info) <= invertAt || info[1] > most {
		return maybe
	}
	is := false
	for i := 0; i < int(info[1]); i++ {
		port := func(n int) uint16 { return binary.NativeEndian.Uint16(info[portsAt+2*n:]) }
		ports := [2]uint16{port(i), port(i)}
		if info[rangesAt+i] != 0 && i+1 < int(info[1]) {
			i++
			ports[1] = port(i)
		}
		source, target := within(ports, j.packet.source.Port()), within(ports, j.packet.target.Port())
		is = is || source && (info[0] == fromSource || info[0] == either) || target && (info[0] == toTarget || info[0] == either)
	}
	if is != (info[invertAt] != 0) {
		return yes
	}
	return no
}

func within(ports [2]uint16, port uint16) bool { return ports[0] <= port && port <= ports[1] }

// conntrack answers for a connection's state, of all that the module can ask.
func (j *judge) conntrack(info xt.ConntrackMtinfoBase, states uint16) answer {
	const known = uint16(xt.ConntrackState | xt.ConntrackStateAlias)
	if info.MatchFlags&^known != 0 {
		return maybe
	}
	const translated = 1 << 7 // XT_CONNTRACK_STATE_DNAT
	is := uint32(states)&j.packet.state != 0 || j.packet.translated && states&translated != 0
	if is != (info.InvertFlags&uint16(xt.ConntrackState) != 0) {
		return yes
	}
	return no
}

// addressType tells the machine's own addresses from those of others.
func (j *judge) addressType(info *xt.AddrTypeV1) answer {
	const unicast, local = 1 << 1, 1 << 2
	const invertSource, invertTarget = 1, 2
	kind := func(link string) uint16 {
		if link == "" {
			return local
		}
		return unicast
	}
	if info.Flags&^(invertSource|invertTarget) != 0 {
		return maybe
	}
	is := func(mask uint16, link string, invert bool) bool { return mask == 0 || (mask&kind(link) != 0) != invert }
	if is(info.Source, j.packet.in, info.Flags&invertSource != 0) && is(info.Dest, j.packet.out, info.Flags&invertTarget != 0) {
		return yes
	}
	return no
}
