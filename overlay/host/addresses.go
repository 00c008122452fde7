package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// EnsureAddresses gives a link the addresses that it should have, and takes away
// others of the pod ranges. Addresses outside of them are left alone.
func EnsureAddresses(name string, want, pods []netip.Prefix) error {
	link, err := find(name)
	if link == nil {
		return errors.Join(err, fmt.Errorf("%s is not there", name))
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("%s: list its addresses: %w", name, err)
	}
	var errs []error
	var have []netip.Prefix
	for _, addr := range list {
		p := prefixOf(addr.IPNet)
		have = append(have, p)
		stale := !slices.Contains(want, p) && slices.ContainsFunc(pods, func(r netip.Prefix) bool { return r.Contains(p.Addr()) })
		if stale {
			if err := netlink.AddrDel(link, &addr); err != nil {
				errs = append(errs, fmt.Errorf("%s: remove address %v: %w", name, p, err))
			}
		}
	}
	if slices.ContainsFunc(want, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		errs = append(errs, speakIPv6(name))
		local := linkLocal(link.Attrs().HardwareAddr)
		own := func(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() }
		if local.IsValid() && !slices.ContainsFunc(have, own) {
			// Without it nobody at the bridge is asked for, and one after the other is lost
			// as the answers to earlier questions grow old.
			addr := netlink.Addr{IPNet: ipNet(netip.PrefixFrom(local, 64)), Flags: unix.IFA_F_NODAD, Scope: unix.RT_SCOPE_LINK}
			if err := netlink.AddrReplace(link, &addr); err != nil {
				errs = append(errs, fmt.Errorf("%s: add address %v: %w", name, local, err))
			}
		}
	}
	for _, p := range want {
		if slices.Contains(have, p) {
			continue
		}
		// The subnet's route is one of ours, so that it can be compared and healed
		// like the others; the kernel is told not to make its own.
		addr := netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NOPREFIXROUTE}
		if p.Addr().Is6() {
			addr.Flags |= unix.IFA_F_NODAD // nobody else can have it, and waiting costs a second
		}
		if err := netlink.AddrReplace(link, &addr); err != nil {
			errs = append(errs, fmt.Errorf("%s: add address %v: %w", name, p, err))
		}
	}
	return errors.Join(errs...)
}

// linkLocal is the address that the kernel gives a link as it comes up; invalid
// for one without a hardware address, which asks nobody.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	if len(mac) != 6 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// UnderlayMTU returns the smallest MTU on the way to any peer, in bytes: that of
// the link which holds the machine's address, or of the route to a peer where
// that is less.
func UnderlayMTU(address netip.Addr, peers []overlay.Peer) (int, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return 0, fmt.Errorf("list addresses: %w", err)
	}
	mtus := map[int]int{}
	mtuOf := func(index int) int {
		if _, known := mtus[index]; !known {
			mtus[index] = 0
			if link, err := netlink.LinkByIndex(index); err == nil && link.Attrs().Name != overlay.Tunnel {
				mtus[index] = link.Attrs().MTU
			}
		}
		return mtus[index]
	}
	smallest := 0
	take := func(mtu int) {
		if mtu > 0 && (smallest == 0 || mtu < smallest) {
			smallest = mtu
		}
	}
	for _, addr := range addresses {
		if prefixOf(addr.IPNet).Addr() == address {
			take(mtuOf(addr.LinkIndex))
		}
	}
	if smallest == 0 {
		return 0, fmt.Errorf("no link has the machine's address %v", address)
	}
	for _, p := range peers {
		routes, err := netlink.RouteGet(p.Endpoint.Addr().AsSlice())
		if err != nil {
			continue // no route to it now: its MTU counts when there is one
		}
		for _, r := range routes {
			take(mtuOf(r.LinkIndex))
			take(r.MTU)
		}
	}
	return smallest, nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
