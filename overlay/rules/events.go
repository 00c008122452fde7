package rules

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"provision/overlay/notices"
)

// Events tells, until the context ends, that nftables changed: ours, the
// overlay's table; others, somebody's, but for that of Services, which changes
// all day. They may miss a change, as package notices says.
func Events(ctx context.Context) (ours, others <-chan struct{}) {
	const mine, theirs, kinds = 0, 1, 2
	told := notices.Follow(ctx, unix.NETLINK_NETFILTER, []uint{unix.NFNLGRP_NFTABLES}, kinds, func(m syscall.NetlinkMessage) int {
		switch tableOf(m) {
		case "", "kube-proxy":
			return -1
		case Table:
			return mine
		}
		return theirs
	})
	return told[mine], told[theirs]
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
