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
	// One table has chains for both hooks, and chains that those jump to. By the names
	// that everybody gives them, a rule is not taken for the other hook's answer.
	other := map[string]string{"input": "forward", "forward": "input"}[wall.Hook]
	chain := ""
	for _, rule := range wall.Accepts {
		if name, ok := strings.CutPrefix(rule, "chain "); ok {
			chain = strings.ToLower(name)
			if name == "DOCKER-USER {" && wall.Hook == "forward" && wall.Family != "legacy" {
				return true // the overlay's agent puts its rules there
			}
			continue
		}
		if fields := strings.Fields(rule); len(fields) > 1 && fields[0] == "-A" {
			chain = strings.ToLower(fields[1])
		}
		if !strings.Contains(chain, other) && (strings.Contains(rule, overlay.Bridge) || strings.Contains(rule, pods) || everything.MatchString(rule)) {
			return true
		}
	}
	return false
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
