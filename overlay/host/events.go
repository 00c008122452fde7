package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// Events tells, until the context ends, that something changed: urgent has what
// may concern the overlay at once (its links, addresses, routes, forwarding), and
// other the rest, a dozen for each pod that starts.
//
// They may miss a change (the kernel drops messages that nobody reads in time):
// whoever needs certainty looks from time to time.
func Events(ctx context.Context) (urgent, other <-chan struct{}) {
	now, later := make(chan struct{}, 1), make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			follow(ctx, now, later)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
				tell(later) // what happened in between
			}
		}
	}()
	return now, later
}

// follow returns when the subscription ends, which an overrun does.
func follow(ctx context.Context, urgent, other chan<- struct{}) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_NETCONF,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, socket.Close)()
	defer socket.Close()
	for {
		messages, from, err := socket.Receive()
		if err != nil {
			return
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for _, m := range messages {
			if concerns(m) {
				tell(urgent)
			} else {
				tell(other)
			}
		}
	}
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting to be taken already
	}
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
