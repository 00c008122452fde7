// Package device talks to WireGuard behind wg0: whether the kernel has it, what
// the device holds, and the differences that make it hold what it should. Kernel
// and userspace devices are configured alike, through wgctrl.
//
// Making the device is left to overlay/host (kernel) and overlay/userspace.
package device

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// KernelSupport asks the kernel for a WireGuard link with an MTU that no link
// can have: it loads the module if it has one, then refuses the number and makes
// nothing; a kernel without WireGuard refuses the kind first.
func KernelSupport() (bool, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "wgprobe", 1<<31-1
	err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		return true, nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	case err == nil:
		// A kernel that takes the MTU has WireGuard, too; but now there is a link.
		return true, netlink.LinkDel(&netlink.Wireguard{LinkAttrs: attrs})
	default:
		return false, fmt.Errorf("ask the kernel for WireGuard: %w", err)
	}
}

// Resolve returns who encrypts on this machine.
func Resolve(mode overlay.Mode) (overlay.Mode, error) {
	if mode == overlay.Userspace {
		return mode, nil
	}
	supported, err := KernelSupport()
	switch {
	case err != nil:
		return "", err
	case supported:
		return overlay.Kernel, nil
	case mode == overlay.Kernel:
		return "", errors.New("mode is kernel, and this kernel has no WireGuard: load or install the wireguard module, or choose auto")
	default:
		return overlay.Userspace, nil
	}
}
