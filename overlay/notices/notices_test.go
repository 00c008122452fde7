//go:build lab

package notices

import (
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestFollow: what changes is told as its own kind and as no other, and a notice
// that nobody took stands for all that follow.
func TestFollow(t *testing.T) {
	const links, addresses, kinds = 0, 1, 2
	told := Follow(t.Context(), unix.NETLINK_ROUTE, []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR}, kinds, func(m syscall.NetlinkMessage) int {
		switch m.Header.Type {
		case unix.RTM_NEWLINK:
			return links
		case unix.RTM_NEWADDR:
			return addresses
		}
		return -1
	})
	time.Sleep(100 * time.Millisecond) // it subscribes beside us
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "notices"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(bridge) })
	for range 3 { // three changes, of which nobody takes notice
		netlink.LinkSetAlias(bridge, time.Now().String())
	}
	taken(t, "a link", told[links])
	select {
	case <-told[addresses]:
		t.Error("an address that nobody gave was told")
	case <-time.After(100 * time.Millisecond):
	}
	address, err := netlink.ParseAddr("192.0.2.1/32")
	if err == nil {
		err = netlink.AddrAdd(bridge, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	taken(t, "an address", told[addresses])
}

func taken(t *testing.T, what string, told <-chan struct{}) {
	t.Helper()
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		t.Errorf("%s was not told", what)
	}
}
