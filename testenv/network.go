package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Names in the switch's namespace. A machine's port has the machine's name.
const (
	mainBridge = "lab"
	cutBridge  = "cut" // where machines that were cut off together still see each other
	cablePort  = "cable"
	outPort    = "outside"
)

// outsideAddr plays a host on the internet. The range is for documentation
// (RFC 5737) and is routed nowhere.
var outsideAddr = netip.MustParseAddr("203.0.113.10")

// cableName is the caller's end of the cable to the switch.
func (l *Lab) cableName() string { return "plab-" + l.ID }

// in opens a netlink handle in a namespace.
func in(ns netns.NsHandle) (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return h, nil
}

// makeSwitch fills an empty namespace with the lab's two bridges.
func makeSwitch(ns netns.NsHandle) error {
	err := inNetwork(ns, func() error { // the switch itself has nothing to say
		return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h, err := in(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, name := range []string{mainBridge, cutBridge} {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		if err := h.LinkAdd(bridge); err != nil {
			return fmt.Errorf("bridge %s: %w", name, err)
		}
		if err := h.LinkSetUp(bridge); err != nil {
			return fmt.Errorf("bridge %s: %w", name, err)
		}
	}
	return nil
}

// plug lays a cable from the switch's port of that name to a namespace, where
// its end is called end and has the addresses. The link's own address follows from the first
// of them, so that a machine that lost its power comes back as the same neighbour.
func plug(sw netns.NsHandle, port string, to netns.NsHandle, end string, addresses []netip.Prefix) error {
	h, err := in(sw)
	if err != nil {
		return err
	}
	defer h.Close()
	bridge, err := h.LinkByName(mainBridge)
	if err != nil {
		return err
	}
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: port, MasterIndex: bridge.Attrs().Index},
		PeerName:         end,
		PeerNamespace:    netlink.NsFd(int(to)),
		PeerHardwareAddr: linkAddress(addresses[0].Addr()),
	}
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("port %s: %w", port, err)
	}
	if err := h.LinkSetUp(veth); err != nil {
		return fmt.Errorf("port %s: %w", port, err)
	}
	far, err := in(to)
	if err != nil {
		return err
	}
	defer far.Close()
	return configure(far, end, addresses...)
}

func linkAddress(addr netip.Addr) net.HardwareAddr {
	ip := addr.AsSlice()
	return append(net.HardwareAddr{0x02, 0x1a}, ip[len(ip)-4:]...)
}

func configure(h *netlink.Handle, name string, addresses ...netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	for _, addr := range addresses {
		with := &netlink.Addr{IPNet: ipNet(addr)}
		if addr.Addr().Is6() {
			with.Flags = unix.IFA_F_NODAD // nobody else has it, and asking around takes a second
		}
		if err := h.AddrAdd(link, with); err != nil {
			return fmt.Errorf("%s: address %s: %w", name, addr, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// wire connects a machine's new namespace: eth0 with its addresses, and the way out.
func (l *Lab) wire(sw, ns netns.NsHandle, m Machine) error {
	if err := plug(sw, m.Name, ns, "eth0", onSubnet(m.Address, m.Address6)); err != nil {
		return err
	}
	h, err := in(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := linkUp(h, "lo"); err != nil || !l.Route {
		return err
	}
	for _, gateway := range l.gateways(m) {
		if err := h.RouteAdd(&netlink.Route{Gw: net.IP(gateway.AsSlice())}); err != nil {
			return fmt.Errorf("the route to %s: %w", gateway, err)
		}
	}
	return nil
}

func linkUp(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	return h.LinkSetUp(link)
}

// wireOutside makes the host that plays the internet.
func (l *Lab) wireOutside(sw, ns netns.NsHandle) error {
	if err := plug(sw, outPort, ns, "eth0", l.withSix(l.gateway())); err != nil {
		return err
	}
	h, err := in(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := linkUp(h, "lo"); err != nil {
		return err
	}
	addresses := []netip.Prefix{netip.PrefixFrom(outsideAddr, 32)}
	if l.speaks6() {
		addresses = append(addresses, netip.PrefixFrom(outsideAddr6, 128))
	}
	return configure(h, "lo", addresses...)
}

// chooseSubnet returns a /24 that no route of the namespace touches.
func chooseSubnet(ns netns.NsHandle) (netip.Prefix, error) {
	h, err := in(ns)
	if err != nil {
		return netip.Prefix{}, err
	}
	defer h.Close()
	routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("routes: %w", err)
	}
	var taken []netip.Prefix
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(route.Dst.IP.To4())
		if ones, _ := route.Dst.Mask.Size(); ok && ones > 0 {
			taken = append(taken, netip.PrefixFrom(addr, ones))
		}
	}
	return freeSubnet(taken)
}

func freeSubnet(taken []netip.Prefix) (netip.Prefix, error) {
	for third := 56; third < 256; third++ {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(third), 0}), 24)
		if !slices.ContainsFunc(taken, subnet.Overlaps) {
			return subnet, nil
		}
	}
	return netip.Prefix{}, errors.New("every subnet from 192.168.56.0/24 to 192.168.255.0/24 is routed already")
}

// attach moves machines' ports to a bridge of the switch; "" takes them off any.
func attach(sw netns.NsHandle, bridge string, names ...string) error {
	h, err := in(sw)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, name := range names {
		port, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s has no cable: is it switched off? %w", name, err)
		}
		if bridge == "" {
			err = h.LinkSetNoMaster(port)
		} else {
			var to netlink.Link
			if to, err = h.LinkByName(bridge); err == nil {
				err = h.LinkSetMaster(port, to)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// unplug removes a port of the switch and the cable in it.
func unplug(sw netns.NsHandle, name string) error {
	h, err := in(sw)
	if err != nil {
		return err
	}
	defer h.Close()
	port, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.LinkDel(port)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func ipPrefix(addr netip.Addr, subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(addr, subnet.Bits())
}
