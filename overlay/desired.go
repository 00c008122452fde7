package overlay

import (
	"net/netip"
	"strings"
)

// Host is what a machine's kernel should hold for the overlay to work, all of
// it. overlay/host, overlay/device and overlay/rules compare it with what there
// is and write the differences.
type Host struct {
	MTU     int // of wg0, bridge0 and pods, bytes
	Bridge  []netip.Prefix
	Tunnel  []netip.Prefix
	Routes  []Route
	Sysctls []Sysctl
	Device  Device
	Rules   Rules
	CNI     CNI
}

// Route is a route of ours in the main table.
type Route struct {
	Prefix netip.Prefix
	Device string     // "" for an unreachable route
	Source netip.Addr // preferred source; invalid: none
	Metric int        // smaller wins
}

// Unreachable says that the route refuses what no other route takes.
func (r Route) Unreachable() bool { return r.Device == "" }

// Sysctl is a kernel parameter by its name below /proc/sys.
type Sysctl struct {
	Name, Value string
	Optional    string // what is lost where the kernel has no such parameter; "": it must be there
}

// Device is what WireGuard should hold. The private key is not part of it: it
// never leaves overlay/state and overlay/device.
type Device struct {
	Port             int
	KeepaliveSeconds int
	Peers            []Peer
}

// Rules is what the nftables rules are made of.
type Rules struct {
	Pods []netip.Prefix
	MTU  int
}

// CNI is what pods are made with. It is empty until the subnets are known.
type CNI struct {
	MTU     int
	Subnets []Subnet
}

// Subnet is a node's pod subnet, and who has which address of it.
type Subnet struct {
	Prefix netip.Prefix
	Bridge netip.Addr // bridge0's, the pods' gateway: the first host
	Tunnel netip.Addr // wg0's: the second
	First  netip.Addr // the first that a pod may have: the third
}

// lastMetric is the metric of the unreachable route: the worst but one that
// exists, so that any other route of the same prefix wins.
const lastMetric = 1<<32 - 2

// metric6 is what the kernel makes of 0 for IPv6, where 0 means "the default".
const metric6 = 1024

func newSubnet(p netip.Prefix) Subnet {
	bridge := p.Addr().Next()
	return Subnet{Prefix: p, Bridge: bridge, Tunnel: bridge.Next(), First: bridge.Next().Next()}
}

// Desired returns what the kernel should hold. underlay is the smallest MTU on
// the way to any peer, in bytes; it counts only where the configuration names
// no MTU itself.
func Desired(c Config, m Mesh, underlay int) Host {
	h := Host{MTU: c.MTU}
	if h.MTU == 0 {
		h.MTU = max(underlay-Overhead, MinMTU)
	}
	h.Device = Device{Port: c.Port, KeepaliveSeconds: c.KeepaliveSeconds, Peers: m.Peers}
	h.Rules.MTU, h.CNI.MTU = h.MTU, h.MTU
	families := ""
	for _, r := range c.Pods {
		h.Rules.Pods = append(h.Rules.Pods, r.Prefix)
		// Fail closed: a pod's address that no device leads to is not looked for
		// behind the default route.
		h.Routes = append(h.Routes, Route{Prefix: r.Prefix, Metric: lastMetric})
		if r.Prefix.Addr().Is4() {
			families += "4"
		} else {
			families += "6"
		}
	}
	for _, p := range m.Subnets {
		h.addSubnet(c, m, newSubnet(p))
	}
	h.Sysctls = sysctls(families)
	return h
}

func (h *Host) addSubnet(c Config, m Mesh, s Subnet) {
	h.CNI.Subnets = append(h.CNI.Subnets, s)
	h.Bridge = append(h.Bridge, netip.PrefixFrom(s.Bridge, s.Prefix.Bits()))
	h.Tunnel = append(h.Tunnel, netip.PrefixFrom(s.Tunnel, s.Tunnel.BitLen()))
	metric := 0
	if s.Prefix.Addr().Is6() {
		metric = metric6
	}
	same := func(p netip.Prefix) bool { return p.Addr().Is4() == s.Prefix.Addr().Is4() }
	h.Routes = append(h.Routes, Route{Prefix: s.Prefix, Device: Bridge, Source: s.Bridge, Metric: metric})
	for _, p := range c.Services {
		if same(p) {
			// kube-proxy rewrites the destination before the packet reaches any
			// device; the route only makes the machine let it out, with a source that
			// every pod may answer.
			h.Routes = append(h.Routes, Route{Prefix: p, Device: Bridge, Source: s.Bridge, Metric: metric})
		}
	}
	for _, peer := range m.Peers {
		for _, p := range peer.Subnets {
			if same(p) {
				// wg0's own address as source: any other of this machine's is not
				// among what the peer accepts from it.
				h.Routes = append(h.Routes, Route{Prefix: p, Device: Tunnel, Source: s.Tunnel, Metric: metric})
			}
		}
	}
}

func sysctls(families string) []Sysctl {
	const hairpin = "a Service whose pod is on the same machine does not answer: br_netfilter is not loaded"
	var list []Sysctl
	if strings.Contains(families, "4") {
		list = append(list,
			Sysctl{Name: "net/ipv4/ip_forward", Value: "1"},
			// Writing the former writes them as well; each can be switched off alone.
			Sysctl{Name: "net/ipv4/conf/" + Bridge + "/forwarding", Value: "1"},
			Sysctl{Name: "net/ipv4/conf/" + Tunnel + "/forwarding", Value: "1"},
			// The larger of "all" and a device's own value holds: 2, loose, wins over a
			// strict default, which would drop answers that come back another way.
			Sysctl{Name: "net/ipv4/conf/" + Bridge + "/rp_filter", Value: "2"},
			Sysctl{Name: "net/ipv4/conf/" + Tunnel + "/rp_filter", Value: "2"},
			Sysctl{Name: "net/bridge/bridge-nf-call-iptables", Value: "1", Optional: hairpin},
		)
	}
	if strings.Contains(families, "6") {
		list = append(list,
			Sysctl{Name: "net/ipv6/conf/all/forwarding", Value: "1"},
			Sysctl{Name: "net/bridge/bridge-nf-call-ip6tables", Value: "1", Optional: hairpin},
		)
	}
	return list
}
