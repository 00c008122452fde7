package rules

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Events tells, until the context ends, that nftables changed: ours, the
// overlay's table; others, somebody's, but for that of Services, which changes
// all day.
//
// They may miss a change: whoever needs certainty looks from time to time.
func Events(ctx context.Context) (ours, others <-chan struct{}) {
	mine, theirs := make(chan struct{}, 1), make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			follow(ctx, mine, theirs)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
				tell(mine) // what happened in between
				tell(theirs)
			}
		}
	}()
	return mine, theirs
}

// follow returns when the subscription ends, which an overrun does.
func follow(ctx context.Context, ours, others chan<- struct{}) {
	socket, err := nl.Subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
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
			switch name := tableOf(m); name {
			case "", "kube-proxy":
			case Table:
				tell(ours)
			default:
				tell(others)
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

// about are the changes that may close or open a way. A set's elements come and
// go with whoever a rule counts.
var about = []uint16{
	unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE,
}

// tableOf names the table that a message is about; "" where it is about none.
func tableOf(m syscall.NetlinkMessage) string {
	const fixed = 4 // bytes of struct nfgenmsg
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || !slices.Contains(about, m.Header.Type&0xff) || len(m.Data) < fixed+4 {
		return ""
	}
	// The first attribute, of kind 1, is the table's name in all of them.
	attribute := m.Data[fixed:]
	length := int(binary.NativeEndian.Uint16(attribute))
	if kind := binary.NativeEndian.Uint16(attribute[2:]); kind != 1 || length < 4 || length > len(attribute) {
		return ""
	}
	return strings.TrimRight(string(attribute[4:length]), "\x00")
}
