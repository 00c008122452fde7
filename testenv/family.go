package testenv

import (
	"fmt"
	"net/netip"
)

// What addresses the machines of a lab have.
const (
	onlyIPv4     = "4"
	onlyIPv6     = "6"
	bothFamilies = "both"
)

// outsideAddr6 is outsideAddr's of IPv6, from the range for documentation (RFC 3849).
var outsideAddr6 = netip.MustParseAddr("2001:db8::10")

func checkIP(o Options) error {
	switch {
	case o.IP != "" && o.IP != onlyIPv4 && o.IP != onlyIPv6 && o.IP != bothFamilies:
		return fmt.Errorf("there is no address family %q: there are %s, %s and %s", o.IP, onlyIPv4, onlyIPv6, bothFamilies)
	case o.Driver == qemu && o.IP != "" && o.IP != onlyIPv4:
		return fmt.Errorf("emulated machines have IPv4 alone")
	}
	return nil
}

// dress gives machines, which have an address of IPv4, those that they are to have.
func dress(ip string, machines []Machine) []Machine {
	for i, m := range machines {
		switch ip {
		case bothFamilies:
			machines[i].Address6 = six(m.Address)
		case onlyIPv6:
			machines[i].Address = six(m.Address)
		}
	}
	return machines
}

// speaks6 says that there is IPv6 in the lab at all.
func (l *Lab) speaks6() bool { return l.IP == bothFamilies || l.IP == onlyIPv6 }

// six returns the lab's address of IPv6 that looks like one of IPv4:
// fd00:192:168:56::11 goes with 192.168.56.11.
func six(addr netip.Addr) netip.Addr {
	a := addr.As4()
	return netip.MustParseAddr(fmt.Sprintf("fd00:%d:%d:%d::%d", a[0], a[1], a[2], a[3]))
}

// onSubnet are the addresses of a link on the lab's switch, with their prefix lengths.
func onSubnet(addresses ...netip.Addr) []netip.Prefix {
	var list []netip.Prefix
	for _, a := range addresses {
		switch {
		case a.Is4():
			list = append(list, netip.PrefixFrom(a, 24))
		case a.Is6():
			list = append(list, netip.PrefixFrom(a, 64))
		}
	}
	return list
}

// withSix are an address of the lab's own and, where there is IPv6, the one that looks like it.
func (l *Lab) withSix(addr netip.Addr) []netip.Prefix {
	if l.speaks6() {
		return onSubnet(addr, six(addr))
	}
	return onSubnet(addr)
}

// gateways are the outside host's addresses on the switch, for the families of a machine.
func (l *Lab) gateways(m Machine) []netip.Addr {
	var list []netip.Addr
	if m.Address.Is4() {
		list = append(list, l.gateway())
	}
	if m.Address.Is6() || m.Address6.IsValid() {
		list = append(list, six(l.gateway()))
	}
	return list
}

// nameServer is the outside host as a machine knows it.
func (m Machine) nameServer() netip.Addr {
	if m.Address.Is4() {
		return outsideAddr
	}
	return outsideAddr6
}
