package verify

import "net/netip"

// inIPv6 is the stage as IPv6 sees it: pods and Services have their address of
// that family, or none.
func (s *stage) inIPv6() *stage {
	other := *s
	other.six = true
	other.pods, other.services = map[string]map[string]pod{}, map[string]service{}
	for set, pods := range s.pods {
		other.pods[set] = map[string]pod{}
		for machine, p := range pods {
			p.address = firstIPv6(p.addresses)
			other.pods[set][machine] = p
		}
	}
	for name, found := range s.services {
		found.address = firstIPv6(found.addresses)
		other.services[name] = found
	}
	return &other
}

func firstIPv4(addresses []string) string {
	for _, text := range addresses {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() {
			return text
		}
	}
	return ""
}

func firstIPv6(addresses []string) string {
	for _, text := range addresses {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() {
			return text
		}
	}
	return ""
}
