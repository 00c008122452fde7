package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// listen listens on an address that the machine may not have yet: the node's
// own address is put on lo by this process, and can be lost to someone's
// network manager and put back while the socket stays.
func listen(ctx context.Context, address netip.AddrPort) (*net.TCPListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			if address.Addr().Is4() {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
			} else {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
			}
		})
		return errors.Join(err, failed)
	}}
	listener, err := config.Listen(ctx, "tcp", address.String())
	if err != nil {
		return nil, err
	}
	return listener.(*net.TCPListener), nil
}

// putOnLoopback gives the machine an address of its own, where it has it not.
func putOnLoopback(address netip.Addr) error {
	link, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	family := netlink.FAMILY_V4
	if address.Is6() {
		family = netlink.FAMILY_V6
	}
	present, err := netlink.AddrList(link, family)
	if err != nil {
		return fmt.Errorf("addresses of lo: %w", err)
	}
	for _, a := range present {
		if have, ok := netip.AddrFromSlice(a.IP); ok && have.Unmap() == address {
			return nil
		}
	}
	host := &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: host}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("put %s on lo: %w", address, err)
	}
	return nil
}
