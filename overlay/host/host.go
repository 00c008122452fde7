// Package host compares links, addresses, routes and kernel parameters with
// what they should be, through netlink and /proc/sys, and writes the differences.
//
// It decides nothing: what should be comes from overlay.Desired. WireGuard's own
// configuration is left to overlay/device, nftables to overlay/rules.
package host

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"provision/overlay"
)

// Alias marks the links that are ours ("ip link" shows it). A machine may well
// have a wg0 of its owner's.
const Alias = "provision"

// ErrNoTunnel says that wg0 is to be made by the userspace daemon, which has not
// done so yet.
var ErrNoTunnel = errors.New("wg0 is not there: the wireguard unit makes it, and does not run")

// EnsureBridge makes bridge0, or corrects it.
func EnsureBridge(mtu int, gateway netip.Addr) error {
	// A bridge without an address of its own takes the lowest of its ports', and
	// changes it with every pod that comes or goes, under the pods' ARP caches.
	mac := hardwareAddr(gateway)
	link, err := find(overlay.Bridge)
	if err != nil {
		return err
	}
	if link == nil {
		// Its MTU is set below: one that a bridge was made with follows those of its ports.
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = overlay.Bridge, mac
		if link, err = add(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
	}
	if err := own(link, "bridge"); err != nil {
		return err
	}
	if link.Attrs().HardwareAddr.String() != mac.String() {
		if err := netlink.LinkSetHardwareAddr(link, mac); err != nil {
			return fmt.Errorf("%s: set its address: %w", overlay.Bridge, err)
		}
	}
	return settle(link, mtu)
}

// EnsureTunnel makes wg0 in kernel mode, or corrects what there is. In userspace
// mode a missing wg0 is ErrNoTunnel.
func EnsureTunnel(mode overlay.Mode, mtu int) error {
	link, err := find(overlay.Tunnel)
	if err != nil {
		return err
	}
	kind := "tuntap"
	if mode == overlay.Kernel {
		kind = "wireguard"
	}
	if link != nil && mode == overlay.Kernel && link.Type() == "tuntap" && link.Attrs().Alias == Alias {
		// What an earlier userspace mode left behind.
		if err := netlink.LinkDel(link); err != nil {
			return fmt.Errorf("%s: remove the userspace device: %w", overlay.Tunnel, err)
		}
		link = nil
	}
	if link == nil {
		if mode != overlay.Kernel {
			return ErrNoTunnel
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = overlay.Tunnel, mtu
		if link, err = add(&netlink.Wireguard{LinkAttrs: attrs}); err != nil {
			return err
		}
	}
	if err := own(link, kind); err != nil {
		return err
	}
	return settle(link, mtu)
}

// add makes a link and returns it as the kernel has it. It has no alias yet: the
// kernel takes none while it makes one.
func add(link netlink.Link) (netlink.Link, error) {
	name := link.Attrs().Name
	if err := netlink.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	unique(name)
	made, err := find(name)
	if made == nil {
		return nil, errors.Join(err, fmt.Errorf("%s went away as soon as it was made", name))
	}
	return made, nil
}

// find returns nil where there is no such link.
func find(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", name, err)
	}
	return link, nil
}

// own refuses a link that somebody else made. One without an alias and without
// addresses is taken over: the CNI plugin makes bridge0 where a pod is quicker
// than we are, and the daemon may have died between making wg0 and marking it.
func own(link netlink.Link, kind string) error {
	a := link.Attrs()
	if link.Type() != kind {
		return fmt.Errorf("%s is a %s link, not a %s link: somebody else made it; rename or remove it", a.Name, link.Type(), kind)
	}
	if a.Alias == Alias {
		return nil
	}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("%s: list its addresses: %w", a.Name, err)
	}
	for _, addr := range addresses {
		if !addr.IP.IsLinkLocalUnicast() {
			return fmt.Errorf("%s is there already, with address %v, and is not ours: rename or remove it", a.Name, addr.IPNet)
		}
	}
	if a.Alias != "" {
		return fmt.Errorf("%s is there already, with alias %q, and is not ours: rename or remove it", a.Name, a.Alias)
	}
	if err := netlink.LinkSetAlias(link, Alias); err != nil {
		return fmt.Errorf("%s: mark as ours: %w", a.Name, err)
	}
	return nil
}

func settle(link netlink.Link, mtu int) error {
	a := link.Attrs()
	if a.MTU != mtu {
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("%s: set MTU %d: %w", a.Name, mtu, err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s: set up: %w", a.Name, err)
		}
	}
	return nil
}

// hardwareAddr is locally administered and follows from the address, so that a
// bridge that is made again is the one that pods know.
func hardwareAddr(addr netip.Addr) net.HardwareAddr {
	sum := fnv.New32a()
	sum.Write(addr.AsSlice())
	return sum.Sum([]byte{0x02, 0x50})
}
