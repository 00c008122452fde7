package userspace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"provision/overlay"
	"provision/overlay/host"
)

// openTUN makes wg0, or takes up the one that an earlier run left: it is
// persistent, so that its address, routes and the pods' connections outlive us.
func openTUN(offloads bool) (tun.Device, error) {
	mtu, err := prepare()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := attach(fd, offloads); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	// Only now: a descriptor without a device cannot be polled, and Go asks once.
	file := os.NewFile(uintptr(fd), "/dev/net/tun")
	link, err := netlink.LinkByName(overlay.Tunnel)
	if err == nil {
		err = netlink.LinkSetAlias(link, host.Alias)
	}
	if err == nil {
		// The device drops what does not fit into one batch: small segments of one
		// large packet. The kernel is told to make the packet smaller instead, so
		// that a batch has room for two.
		err = netlink.LinkSetGSOMaxSegs(link, segmentsMost)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", overlay.Tunnel, err), file.Close())
	}
	native, err := tun.CreateTUNFromFile(file, mtu)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", overlay.Tunnel, err), file.Close())
	}
	if !offloads {
		return native, nil
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", overlay.Tunnel, err), native.Close())
	}
	return &batched{Device: native, raw: raw}, nil
}

// batched reads another large packet of the kernel with the first where one is
// there: a batch is handed from goroutine to goroutine, whatever is in it. Small
// packets are not waiting for each other: of pings that try out a path's MTU two
// would be joined, and virtual links let pass what is joined, however long.
type batched struct {
	tun.Device
	raw syscall.RawConn
}

func (b *batched) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := b.Device.Read(bufs, sizes, offset)
	for err == nil && n > 1 && len(bufs)-n >= segmentsMost && b.more() {
		var m int
		m, err = b.Device.Read(bufs[n:], sizes[n:], offset)
		n += m
	}
	return n, err
}

// more reports whether the next read would not wait.
func (b *batched) more() (more bool) {
	err := b.raw.Control(func(fd uintptr) {
		list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(list, 0)
		more = err == nil && n == 1 && list[0].Revents == unix.POLLIN
	})
	return more && err == nil
}

// prepare looks at what there is under the name. It returns the MTU to keep.
func prepare() (mtu int, err error) {
	link, err := netlink.LinkByName(overlay.Tunnel)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return device.DefaultMTU, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for %s: %w", overlay.Tunnel, err)
	}
	a := link.Attrs()
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return 0, fmt.Errorf("%s: list its addresses: %w", overlay.Tunnel, err)
	}
	ours := a.Alias == host.Alias || a.Alias == "" && len(addresses) == 0 && link.Type() == "tuntap"
	switch {
	case ours && link.Type() == "tuntap":
		return a.MTU, nil
	case ours: // a kernel device of an earlier mode
		if err := netlink.LinkDel(link); err != nil {
			return 0, fmt.Errorf("%s: remove the kernel's device: %w", overlay.Tunnel, err)
		}
		return a.MTU, nil
	default:
		return 0, fmt.Errorf("%s is there already, a %s link, and is not ours: rename or remove it", overlay.Tunnel, link.Type())
	}
}

func attach(fd int, offloads bool) error {
	request, err := unix.NewIfreq(overlay.Tunnel)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if offloads {
		flags |= unix.IFF_VNET_HDR
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		if errors.Is(err, unix.EBUSY) {
			err = errors.New("another process has it: is a second wireguard daemon running?")
		}
		return fmt.Errorf("%s: attach: %w", overlay.Tunnel, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("%s: make persistent: %w", overlay.Tunnel, err)
	}
	return nil
}

// isUp reports whether wg0 is up, so that the device need not wait to be told.
func isUp() bool {
	link, err := netlink.LinkByName(overlay.Tunnel)
	return err == nil && link.Attrs().Flags&net.FlagUp != 0
}
