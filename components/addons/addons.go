// Package addons is what provision keeps in the cluster's API: the rights of
// its identities, the policy that guards pod subnets, the API's endpoint, DNS,
// the inventory, and the Nodes' labels and taints.
//
// What was applied is remembered in the cluster, by its sum: what somebody else
// changed since is not looked for.
package addons

import (
	"encoding/json"

	"provision/components"
	"provision/templates"
)

// Actions apply what is not in the cluster as wanted. They belong to one
// machine only, which need not be a special one, and need an API that is ready.
func Actions(c components.Cluster, facts components.ClusterFacts) []components.Action {
	var actions []components.Action
	for _, addon := range wanted(c) {
		if facts.Applied[addon.Name] != addon.Sum {
			actions = append(actions, addon)
		}
	}
	return actions
}

// wanted are the addons, in order: rights before those who need them, and DNS,
// which takes the longest to be ready, as early as that allows.
func wanted(c components.Cluster) []Apply {
	replicas := 1
	if len(c.Machines) > 1 {
		replicas = 2
	}
	return []Apply{
		newApply("identities", "the rights of machines and people", templates.IdentitiesYAML()),
		newApply("api-endpoint", "the API's endpoint for pods", templates.APIEndpointYAML(templates.APIEndpoint{
			Address: components.NodeAPI,
			Port:    components.PortBalancer,
		})),
		newApply("coredns", "CoreDNS", templates.CoreDNSYAML(templates.CoreDNS{
			Image:    c.Image("coredns"),
			Address:  c.Network.ServiceAddress(10),
			Domain:   c.Network.Domain,
			Replicas: replicas,
		})),
		newApply("pod-subnets", "the policy that guards pod subnets", templates.PodSubnetsYAML()),
		newApply("inventory", "the inventory", templates.InventoryYAML(templates.Inventory{
			Cluster:  c.Name,
			Machines: machines(c),
		})),
	}
}

// Machine is a machine in the inventory.
type Machine struct {
	Name    string          `json:"name"`
	Role    components.Role `json:"role"`
	Address string          `json:"address"`
}

// machines is the inventory's list: it finds again what left the file.
func machines(c components.Cluster) string {
	list := make([]Machine, len(c.Machines))
	for i, m := range c.Machines {
		list[i] = Machine{Name: m.Name, Role: m.Role, Address: m.Address.String()}
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // plain data always marshals
	}
	return string(text)
}
