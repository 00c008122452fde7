package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"provision/components"
	"provision/overlay"
)

// checkFirewall finds firewalls that would drop the pods' packets: what is
// forwarded from and to them, and what they send to the machine itself (the API,
// host ports). What machines send each other was tried for real.
//
// A rule that names the pods' bridge or their range is taken to be the answer to
// this very sentence, whatever else it says: a firewall is its owner's.
func checkFirewall(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	for _, wall := range f.Firewalls {
		if !admits(wall, c.Network.Pods.String()) {
			return fmt.Sprintf("has a firewall (table %s %s) that drops %s; let them pass: %s",
				wall.Family, wall.Table, map[string]string{"forward": "forwarded packets, the pods' too", "input": "what pods send to the machine"}[wall.Hook], remedy(wall))
		}
	}
	return ""
}

// everything is a rule without a condition.
var everything = regexp.MustCompile(`^(counter( packets \d+ bytes \d+)? )?accept$|^-A \S+ -j ACCEPT$`)

func admits(wall components.Firewall, pods string) bool {
	return slices.ContainsFunc(wall.Accepts, func(rule string) bool {
		switch {
		case rule == "chain DOCKER-USER {":
			return wall.Hook == "forward" && wall.Family != "legacy" // the overlay's agent puts its rules there
		case strings.HasPrefix(rule, "chain "):
			return false
		}
		return strings.Contains(rule, overlay.Bridge) || strings.Contains(rule, pods) || everything.MatchString(rule)
	})
}

// remedy is what its owner types, for the tool that most likely wrote the table.
func remedy(wall components.Firewall) string {
	const bridge = overlay.Bridge
	chain := func(part string) bool {
		return slices.ContainsFunc(wall.Accepts, func(rule string) bool {
			return strings.HasPrefix(rule, "chain "+part) || strings.HasPrefix(rule, "-A "+part)
		})
	}
	in := wall.Hook == "input"
	switch {
	case chain("ufw"):
		if in {
			return "ufw allow in on " + bridge
		}
		return fmt.Sprintf("ufw route allow in on %s; ufw route allow out on %s", bridge, bridge)
	case wall.Family == "legacy" || wall.Table == "filter" && wall.Family == "ip":
		if in {
			return fmt.Sprintf("iptables -I INPUT -i %s -j ACCEPT", bridge)
		}
		return fmt.Sprintf("iptables -I FORWARD -i %s -j ACCEPT; iptables -I FORWARD -o %s -j ACCEPT", bridge, bridge)
	case in:
		return fmt.Sprintf("nft insert rule %s %s input iifname %s accept", wall.Family, wall.Table, bridge)
	default:
		return fmt.Sprintf("nft insert rule %s %s forward iifname %s accept; nft insert rule %s %s forward oifname %s accept", wall.Family, wall.Table, bridge, wall.Family, wall.Table, bridge)
	}
}
