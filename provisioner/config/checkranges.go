package config

import (
	"encoding/json"
	"net/netip"

	"github.com/hashicorp/hcl/v2"
)

func (l *loader) checkRanges(schema fileSchema, file *File, origins []origin) {
	block := &networkSchema{}
	if schema.Cluster != nil && schema.Cluster.Network != nil {
		block = schema.Cluster.Network
	}
	n := file.Cluster.Network
	pods, services := l.rangeOf(block.Pods, schema), l.rangeOf(block.Services, schema)
	l.checkFamilies(block, n, pods, services)
	for _, both := range [][2]netip.Prefix{{n.Pods, n.Services}, {n.Pods6, n.Services6}} {
		if both[0].IsValid() && both[1].IsValid() && both[0].Overlaps(both[1]) {
			subject := services
			if block.Services == nil {
				subject = pods
			}
			l.report(subject, "Overlapping address ranges", "Pods have %s and Services %s: a cluster needs two ranges that share no address.", both[0], both[1])
		}
	}
	for i, m := range file.Machines {
		pods, services := n.Pods, n.Services
		if m.Address.Is6() {
			pods, services = n.Pods6, n.Services6
		}
		l.checkInside(m.Address, &origins[i].address, pods, services)
		l.checkPods(m, &origins[i].name, n)
		l.checkInside(m.Address6, &origins[i].address6, n.Pods6, n.Services6)
		if m.Address6.IsValid() && m.Address.Is4() && n.Pods.IsValid() && n.Services.IsValid() && !n.Pods6.IsValid() && !n.Services6.IsValid() {
			l.report(&origins[i].address6, "Unused IPv6 address", "address6 is for clusters with both families: give network.pods and network.services a range of IPv6 as well, or leave it out.")
		}
	}
	l.checkUnderlay(file, origins)
	l.checkSubnets(pods, n.Pods, "node_mask", n.NodeMask, len(file.Machines))
	l.checkSubnets(pods, n.Pods6, "node_mask6", n.NodeMask6, len(file.Machines))
}

// checkFamilies makes sure that pods and Services are of the same families.
func (l *loader) checkFamilies(block *networkSchema, n Network, pods, services *hcl.Range) {
	if !n.Pods.IsValid() || !n.Services.IsValid() || n.Pods6.IsValid() == n.Services6.IsValid() {
		return
	}
	if n.Pods6.IsValid() {
		l.report(services, "One family missing", "Pods have addresses of IPv6 (%s) and Services have not: give network.services a range of it too, such as \"fd00:96::/112\".", n.Pods6)
	} else {
		l.report(pods, "One family missing", "Services have addresses of IPv6 (%s) and pods have not: give network.pods a range of it too, such as \"fd00:244::/56\".", n.Services6)
	}
}

// checkUnderlay makes sure that the machines reach each other: that the address of
// each is of one family. Where that is IPv6, a pod on the host's network has no
// other, and a Service of IPv4 alone would not find it.
func (l *loader) checkUnderlay(file *File, origins []origin) {
	first := -1
	for i, m := range file.Machines {
		if !m.Address.IsValid() {
			continue
		}
		if first < 0 {
			first = i
		}
		n, subject := file.Cluster.Network, &origins[i].address
		switch {
		case m.Address.Is4() != file.Machines[first].Address.Is4():
			l.report(subject, "Mixed address families", "%s is not of the family of %s, the address of %s (%s): machines reach each other at these, so all are of IPv4, or all of IPv6.",
				m.Address, file.Machines[first].Address, file.Machines[first].Name, line(origins[first].address))
		case i == first && m.Address.Is6() && n.Pods.IsValid() && n.Services.IsValid() && !n.Pods6.IsValid() && !n.Services6.IsValid():
			l.report(subject, "One family missing", "Machines with an IPv6 address need both families in the cluster: give network.pods and network.services a range of IPv6 after that of IPv4.")
		case m.Address.Is6() && m.Address6.IsValid():
			l.report(&origins[i].address6, "Unused IPv6 address", "address is of IPv6 already: address6 goes beside an address of IPv4.")
		}
	}
}

// checkPods makes sure that a machine's subnet has an address for every pod that is
// asked for by name: one is the subnet's own, one the bridge's, one goes to nobody.
func (l *loader) checkPods(m Machine, subject *hcl.Range, n Network) {
	pods, said := m.Kubelet["maxPods"].(json.Number)
	if !said || !n.Pods.IsValid() {
		return
	}
	if most := 1<<(32-n.NodeMask) - 3; pods.String() != "" {
		if asked, err := pods.Int64(); err == nil && asked > int64(most) {
			l.report(subject, "Too many pods", "max_pods is %d, and a machine's /%d (network.node_mask) has addresses for %d pods: ask for fewer, or for a shorter mask, which only a new cluster can have.", asked, n.NodeMask, most)
		}
	}
}

// checkInside finds a machine's address in a range that is for something else.
func (l *loader) checkInside(address netip.Addr, subject *hcl.Range, pods, services netip.Prefix) {
	if !address.IsValid() {
		return
	}
	if pods.Contains(address) {
		l.report(subject, "Address inside pods", "%s lies in %s, which is for pods: give network.pods a range that no machine is in.", address, pods)
	}
	if services.Contains(address) {
		l.report(subject, "Address inside services", "%s lies in %s, which is for Services: give network.services a range that no machine is in.", address, services)
	}
}

// checkSubnets makes sure that every machine can own a subnet of the pods'.
func (l *loader) checkSubnets(subject *hcl.Range, pods netip.Prefix, name string, mask, machines int) {
	if !pods.IsValid() {
		return
	}
	bits := mask - pods.Bits()
	switch {
	case bits < 0:
		l.report(subject, "Pod range too small", "%s is smaller than the /%d (network.%s) that each machine gets of it.", pods, mask, name)
	case bits > 16:
		l.report(subject, "Pod range too wide", "%s holds more than 65536 subnets of /%d, which is more than Kubernetes can hand out.", pods, mask)
	case machines > 1<<bits:
		l.report(subject, "Too many machines", "%s has room for %d machines with a /%d each, and the file has %d: take a wider network.pods or a longer network.%s.",
			pods, 1<<bits, mask, machines, name)
	}
}
