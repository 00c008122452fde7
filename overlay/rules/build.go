package rules

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"provision/overlay"
)

// IP and TCP header bytes that an MTU holds beside a segment.
const (
	headers4 = 40
	headers6 = 60
)

// build returns the table's chains. What nft would print is in the comments.
func build(table *nftables.Table, want overlay.Rules) []chain {
	base := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) chain {
		accept := nftables.ChainPolicyAccept
		return chain{Chain: nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept}}
	}
	// Before connection tracking: nothing that lies is worth an entry.
	spoof := base("spoof", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	arrive := base("arrive", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle)
	leak := base("leak", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, nftables.ChainPriorityFilter)
	leave := base("leave", nftables.ChainTypeFilter, nftables.ChainHookPostrouting, nftables.ChainPriorityMangle)
	policy := chain{Chain: nftables.Chain{Name: Policy, Table: table}}
	forward := base("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityRef(*nftables.ChainPriorityFilter-10))
	forward.rules = [][]expr.Any{{&expr.Verdict{Kind: expr.VerdictJump, Chain: Policy}}}
	outside := base("outside", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)

	for _, pods := range want.Pods {
		// iifname != { bridge0, wg0, lo } ip saddr PODS drop
		// A packet of a pod comes from a pod here or out of the tunnel.
		spoof.rules = append(spoof.rules, rule(notVia(expr.MetaKeyIIFNAME), prefix(source, pods, expr.CmpOpEq), drop()))
		// oifname != { bridge0, wg0, lo } ip daddr PODS drop
		// Fail closed: a packet for a pod never leaves in clear.
		leak.rules = append(leak.rules, rule(notVia(expr.MetaKeyOIFNAME), prefix(destination, pods, expr.CmpOpEq), drop()))
		// oifname != { bridge0, wg0, lo } ip saddr PODS ip daddr != PODS masquerade
		// Pods, and this machine where it speaks with a pod address of its own.
		outside.rules = append(outside.rules, rule(notVia(expr.MetaKeyOIFNAME), prefix(source, pods, expr.CmpOpEq), differs(destination, pods), masquerade()))
		// oifname wg0 ip saddr != PODS masquerade
		// The peer takes nothing but this machine's pod subnet: a NodePort's client or
		// another bridge of this machine borrows wg0's address.
		outside.rules = append(outside.rules, rule(via(expr.MetaKeyOIFNAME, expr.CmpOpEq, overlay.Tunnel), prefix(source, pods, expr.CmpOpNeq), masquerade()))
		// iifname|oifname wg0 tcp flags syn / syn,rst tcp option maxseg size set MSS
		// Both ways, since the peer may be of another MTU. The kernel only lowers it.
		mss := want.MTU - headers4
		if pods.Addr().Is6() {
			mss = want.MTU - headers6
		}
		arrive.rules = append(arrive.rules, rule(via(expr.MetaKeyIIFNAME, expr.CmpOpEq, overlay.Tunnel), family(pods), clamp(mss)))
		leave.rules = append(leave.rules, rule(via(expr.MetaKeyOIFNAME, expr.CmpOpEq, overlay.Tunnel), family(pods), clamp(mss)))
	}
	return []chain{policy, spoof, arrive, forward, leave, leak, outside} // what is jumped to comes first
}

type match = []expr.Any

func rule(parts ...match) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func via(key expr.MetaKey, op expr.CmpOp, name string) match {
	padded := make([]byte, 16) // IFNAMSIZ
	copy(padded, name)
	return match{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: padded},
	}
}

func notVia(key expr.MetaKey) match {
	return rule(via(key, expr.CmpOpNeq, overlay.Bridge), via(key, expr.CmpOpNeq, overlay.Tunnel), via(key, expr.CmpOpNeq, "lo"))
}

func family(p netip.Prefix) match {
	proto := byte(2) // NFPROTO_IPV4
	if p.Addr().Is6() {
		proto = 10
	}
	return match{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
	}
}

type field int

const (
	source field = iota
	destination
)

// prefix matches packets of the prefix's family whose address is in it, or not.
func prefix(f field, p netip.Prefix, op expr.CmpOp) match {
	return append(family(p), compare(f, p, op)...)
}

// differs is prefix without looking at the family a second time.
func differs(f field, p netip.Prefix) match { return compare(f, p, expr.CmpOpNeq) }

func compare(f field, p netip.Prefix, op expr.CmpOp) match {
	size := uint32(p.Addr().BitLen() / 8)
	offset := uint32(12) // of the source in an IPv4 header
	if p.Addr().Is6() {
		offset = 8
	}
	if f == destination {
		offset += size
	}
	return match{
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask(p), Xor: make([]byte, size)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

func mask(p netip.Prefix) []byte {
	m := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

func clamp(mss int) match {
	return match{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{6}}, // TCP
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x06}, Xor: []byte{0}}, // of SYN and RST
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}},                                  // SYN alone
		&expr.Immediate{Register: 1, Data: []byte{byte(mss >> 8), byte(mss)}},
		&expr.Exthdr{SourceRegister: 1, Type: 2, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt}, // maxseg
	}
}

func masquerade() match { return match{&expr.Masq{}} }

func drop() match { return match{&expr.Verdict{Kind: expr.VerdictDrop}} }
