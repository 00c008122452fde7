package config

import (
	"net/netip"

	"github.com/hashicorp/hcl/v2"
)

// endpoint returns the address and port at which the other machines reach a
// machine's tunnel; port where the file names none. It is invalid where nothing
// was said. Unlike a machine's address it may be IPv6: the tunnel carries the
// pods' packets over either.
func (l *loader) endpoint(attr *hcl.Attribute, port int) netip.AddrPort {
	text := l.text(attr, "")
	if text == "" {
		return netip.AddrPort{}
	}
	endpoint, err := netip.ParseAddrPort(text)
	if addr, lone := netip.ParseAddr(text); lone == nil {
		endpoint, err = netip.AddrPortFrom(addr, uint16(port)), nil
	}
	subject := attr.Expr.Range().Ptr()
	addr := endpoint.Addr()
	switch {
	case err != nil:
		l.report(subject, "Invalid endpoint", "endpoint must be an address, with a port where it is not overlay.port: \"203.0.113.7\", \"203.0.113.7:51820\" or \"[2001:db8::7]:51820\"; not %q.", text)
	case endpoint.Port() == 0:
		l.report(subject, "Invalid endpoint", "The port of an endpoint is a number from 1 to 65535; left out, it is overlay.port.")
	case !reachable(addr):
		l.report(subject, "Invalid endpoint", "%s is no address that other machines can reach.", addr)
	default:
		return endpoint
	}
	return netip.AddrPort{}
}

// reachable reports whether an address can be one at which others are reached.
func reachable(addr netip.Addr) bool {
	return addr.Zone() == "" && !addr.Is4In6() && addr.IsGlobalUnicast() && !(addr.Is4() && unusable(netip.PrefixFrom(addr, 32)))
}

// checkEndpoints finds machines whose packets would go to the wrong place.
// Several machines behind one address are told apart by their ports.
func (l *loader) checkEndpoints(file *File, origins []origin) {
	n := file.Cluster.Network
	at := map[netip.AddrPort]int{}
	for i, m := range file.Machines {
		endpoint, subject := m.Endpoint, origins[i].endpoint
		said := endpoint.IsValid()
		if !said {
			endpoint, subject = netip.AddrPortFrom(m.Address, uint16(file.Cluster.Overlay.Port)), origins[i].address
		}
		if !endpoint.IsValid() {
			continue
		}
		if said && n.holds(endpoint.Addr()) {
			l.report(&subject, "Endpoint inside the cluster", "%s lies in a range of pods or Services: an endpoint is an address of the network around them.", endpoint.Addr())
		}
		first, twice := at[endpoint]
		if !twice {
			at[endpoint] = i
			continue
		}
		if said || file.Machines[first].Endpoint.IsValid() { // else it is their address, of which that is said
			l.report(&subject, "Duplicate endpoint", "%s is where %s is reached as well (%s): machines behind one address need a port each.",
				endpoint, file.Machines[first].Name, line(origins[first].endpoint))
		}
	}
}
