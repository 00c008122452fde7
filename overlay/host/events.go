package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"provision/overlay"
	"provision/overlay/notices"
)

// Events tells, until the context ends, that something changed: urgent has what
// may concern the overlay at once (its links, addresses, routes, forwarding), and
// other the rest, a dozen for each pod that starts. They may miss a change, as
// package notices says.
func Events(ctx context.Context) (urgent, other <-chan struct{}) {
	const now, later, kinds = 0, 1, 2
	groups := []uint{unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_NETCONF,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_NETCONF}
	told := notices.Follow(ctx, unix.NETLINK_ROUTE, groups, kinds, func(m syscall.NetlinkMessage) int {
		if concerns(m) {
			return now
		}
		return later
	})
	return told[now], told[later]
}

// concerns says that a message may be of what the overlay made, or stand in its
// way: not of a pod's links.
func concerns(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		name := attribute(m.Data, unix.SizeofIfInfomsg, unix.IFLA_IFNAME)
		name = bytes.TrimRight(name, "\x00")
		return string(name) == overlay.Bridge || string(name) == overlay.Tunnel
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		const scope = 3 // its place in struct ifaddrmsg
		return len(m.Data) > scope && m.Data[scope] < unix.RT_SCOPE_LINK
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		const table, protocol = 4, 5 // in struct rtmsg
		return len(m.Data) > protocol && m.Data[table] == unix.RT_TABLE_MAIN && m.Data[protocol] != unix.RTPROT_KERNEL
	case unix.RTM_NEWNETCONF:
		const all, index = -1, 1 // the attribute NETCONFA_IFINDEX
		of := attribute(m.Data, 4, index)
		return len(of) == 4 && int32(binary.NativeEndian.Uint32(of)) == all
	}
	return false
}

// attribute returns the first of a kind behind a message's fixed part of so many
// bytes, nil where there is none.
func attribute(data []byte, fixed int, kind uint16) []byte {
	if len(data) < fixed {
		return nil
	}
	list, err := nl.ParseRouteAttr(data[fixed:])
	if err != nil {
		return nil
	}
	for _, a := range list {
		if a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == kind {
			return a.Value
		}
	}
	return nil
}
