package plan

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"provision/components"
	"provision/overlay"
	"provision/overlay/firewall"
)

// checkFirewall finds firewalls that would drop the pods' packets: what is
// forwarded from and to them, and what they send to the machine itself (the API,
// host ports). What machines send each other was tried for real.
//
// A rule that names the pods' bridge or their range is taken to be the answer to
// this very sentence, whatever else it says: a firewall is its owner's.
func checkFirewall(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	for _, wall := range f.Firewalls {
		if !admits(wall, c.Network.PodRanges()) {
			way := map[string]firewall.Way{"forward": firewall.Forwarded, "input": firewall.Received}[wall.Hook]
			return walled(firewall.Wall{Family: wall.Family, Table: wall.Table, Way: way, UFW: isUFW(wall)})
		}
	}
	return ""
}

// everything is a rule without a condition.
var everything = regexp.MustCompile(`^(counter( packets \d+ bytes \d+)? )?accept$|^-A \S+ -j ACCEPT$`)

func admits(wall components.Firewall, pods []netip.Prefix) bool {
	names := func(rule string) bool {
		return slices.ContainsFunc(pods, func(p netip.Prefix) bool { return strings.Contains(rule, p.String()) })
	}
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
		if !strings.Contains(chain, other) && (strings.Contains(rule, overlay.Bridge) || names(rule) || everything.MatchString(rule)) {
			return true
		}
	}
	return false
}

// walled is the sentence about a wall.
func walled(wall firewall.Wall) string {
	return fmt.Sprintf("has a firewall (%s) that drops %s; let them pass: %s", wall.Place(), wall.Drops(), wall.Remedy())
}

// isUFW says that ufw wrote the rules, by the names of its chains.
func isUFW(wall components.Firewall) bool {
	return slices.ContainsFunc(wall.Accepts, func(rule string) bool {
		return strings.HasPrefix(rule, "chain ufw") || strings.HasPrefix(rule, "-A ufw")
	})
}
