package components

import (
	"encoding/json"
	"net/netip"
	"regexp"
)

// Member is a machine as the cluster's inventory has it, which finds again what
// left the file.
type Member struct {
	Name    string     `json:"name"`
	Role    Role       `json:"role"`
	Address netip.Addr `json:"address"`
	// Login is how the last run came to it by SSH: "user@host:port".
	Login   string `json:"login,omitempty"`
	HostKey string `json:"host_key,omitempty"` // the one that the file named, as in authorized_keys; else known_hosts has it
}

// Member is the machine's entry in the inventory.
func (m MachineSpec) Member() Member {
	return Member{Name: m.Name, Role: m.Role, Address: m.Address, Login: m.Login, HostKey: m.HostKey}
}

// Same says that an entry is of the same machine in the same part. How SSH came to it
// last is no difference: two people may each have a way of their own.
func (m Member) Same(other Member) bool {
	return m.Name == other.Name && m.Role == other.Role && m.Address == other.Address
}

// maxMembers bounds an inventory: Kubernetes is made for no more Nodes.
const maxMembers = 5000

var nodeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// ParseInventory reads an inventory. Whoever may write the cluster's ConfigMaps may
// have changed it: what can be no machine is passed over.
func ParseInventory(text string) []Member {
	var list []json.RawMessage
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	var members []Member
	seen := map[string]bool{}
	for _, entry := range list[:min(len(list), maxMembers)] {
		var m Member
		if json.Unmarshal(entry, &m) == nil && nodeName.MatchString(m.Name) && (m.Role == Master || m.Role == Worker) && m.Address.IsValid() && m.Address.Zone() == "" && !seen[m.Name] {
			seen[m.Name] = true
			members = append(members, m)
		}
	}
	return members
}
