// Package addons is what provision keeps in the cluster's API: the rights of
// its identities, the policy that guards pod subnets, the API's endpoint, DNS,
// metrics and storage where they are wanted, the inventory, and the Nodes' labels
// and taints.
//
// What was applied is remembered in the cluster, by its sum. Objects that are gone
// since, or that somebody changed, are facts, and applied again.
package addons

import (
	"slices"

	"provision/components"
	"provision/templates"
)

// Access applies, before any kubelet starts, what the machines and pods need
// of the API from their first moment on. It belongs to the job of the master
// on, and needs its API server ready. DNS is among it, so that its pods wait for
// nodes and not the nodes for them. Each machine's Node is Nodes' affair.
func Access(c components.Cluster, on components.MachineSpec, facts components.ClusterFacts) []components.Action {
	identities := missing(facts, newIdentities())
	if len(identities) > 0 {
		identities = slices.Insert(identities, 0, components.Action(newGrant(c, on)))
	}
	needed := policies(c)
	if c.Addons.DNS {
		needed = append(needed, removable(facts, dns(c)))
	}
	return append(identities, missing(facts, needed...)...)
}

// All is every addon of ours that a cluster has, for whoever compares them with what
// there is.
func All(c components.Cluster) []Apply {
	all := append([]Apply{newIdentities()}, policies(c)...)
	for _, addon := range builtin(c) {
		if addon.on {
			all = append(all, addon.Apply)
		}
	}
	return all
}

func newIdentities() Apply {
	return newApply("identities", "the rights of machines and people", templates.IdentitiesYAML())
}

func policies(c components.Cluster) []Apply {
	return []Apply{
		newApply("pod-subnets", "the policy that guards pod subnets", templates.PodSubnetsYAML()),
		newApply("node-names", "the policy that keeps machines away which left", templates.NodeNamesYAML()),
		newApply("api-endpoint", "the API's endpoint for pods", templates.APIEndpointYAML(templates.APIEndpoint{
			Address: components.NodeAPI,
			Port:    components.PortBalancer,
		})),
		newApply("api-servers", "the list of API servers for balancers", templates.APIServersYAML(templates.APIServers{
			Lists: masterAddresses(c),
			Port:  components.PortAPI,
		})),
	}
}

// replicas of CoreDNS: two on two machines that it may run on, never two on one.
func replicas(c components.Cluster) int {
	able := 0
	for _, m := range c.Machines {
		if runsDNS(m) {
			able++
		}
	}
	return min(2, max(1, able))
}

// runsDNS says whether CoreDNS tolerates the machine's taints.
func runsDNS(m components.MachineSpec) bool {
	return !slices.ContainsFunc(m.NodeTaints(), func(t components.Taint) bool {
		return t.Effect != "PreferNoSchedule" && t.Key != "CriticalAddonsOnly" && t != components.ControlPlaneTaint
	})
}

// masterAddresses are those at which API servers listen: an EndpointSlice holds
// addresses of one family.
func masterAddresses(c components.Cluster) []templates.APIServerList {
	v4, v6 := templates.APIServerList{Name: "ipv4", Type: "IPv4"}, templates.APIServerList{Name: "ipv6", Type: "IPv6"}
	for _, m := range c.Masters() {
		if m.Address.Is4() {
			v4.Addresses = append(v4.Addresses, m.Address)
		} else {
			v6.Addresses = append(v6.Addresses, m.Address)
		}
	}
	return slices.DeleteFunc([]templates.APIServerList{v4, v6}, func(list templates.APIServerList) bool { return len(list.Addresses) == 0 })
}

// Inventory notes which machines there are.
func Inventory(c components.Cluster, facts components.ClusterFacts) []components.Action {
	all := Enrol{Cluster: c.Name}
	known := true
	for _, m := range c.Machines {
		all.Machines = append(all.Machines, m.Member())
		known = known && slices.ContainsFunc(facts.Inventory, m.Member().Same)
	}
	if known {
		return nil
	}
	return []components.Action{all}
}

// missing are those that were not applied as they are now, or are not there as they were.
func missing(facts components.ClusterFacts, wanted ...Apply) []components.Action {
	var missing []components.Action
	for _, addon := range wanted {
		addon.Edited = facts.Edited[addon.Name]
		if facts.Applied[addon.Name] != addon.Sum || len(addon.Edited) > 0 {
			missing = append(missing, addon)
		}
	}
	return missing
}
