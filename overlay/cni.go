package overlay

import (
	"encoding/json"
	"net/netip"
)

// leases is where host-local keeps who has which address: below /run, since no
// pod outlives a boot.
const leases = "/run/provision/cni"

// Leases is the folder with a file for each address that a pod of this machine has,
// named by it.
const Leases = leases + "/" + network

const network = "provision"

// Conflist returns the CNI configuration with which pods are made: the file's
// content.
//
// The bridge plugin only plugs pods into bridge0, which has its address from us
// (isGateway would add one), and masquerading is a matter of overlay/rules.
func (c CNI) Conflist() []byte {
	type route struct {
		Dst string `json:"dst"`
	}
	type addressRange struct {
		Subnet  netip.Prefix `json:"subnet"`
		First   netip.Addr   `json:"rangeStart"`
		Gateway netip.Addr   `json:"gateway"`
	}
	type ipam struct {
		Type    string           `json:"type"`
		DataDir string           `json:"dataDir"`
		Ranges  [][]addressRange `json:"ranges"`
		Routes  []route          `json:"routes"`
	}
	type plugin struct {
		Type         string          `json:"type"`
		Bridge       string          `json:"bridge,omitempty"`
		MTU          int             `json:"mtu,omitempty"`
		IsGateway    *bool           `json:"isGateway,omitempty"`
		IPMasq       *bool           `json:"ipMasq,omitempty"`
		HairpinMode  bool            `json:"hairpinMode,omitempty"`
		IPAM         *ipam           `json:"ipam,omitempty"`
		Backend      string          `json:"backend,omitempty"`
		Capabilities map[string]bool `json:"capabilities,omitempty"`
	}
	no := false
	addresses := &ipam{Type: "host-local", DataDir: leases}
	for _, s := range c.Subnets {
		addresses.Ranges = append(addresses.Ranges, []addressRange{{Subnet: s.Prefix, First: s.First, Gateway: s.Bridge}})
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if s.Prefix.Addr().Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		addresses.Routes = append(addresses.Routes, route{all.String()})
	}
	list := struct {
		Version string   `json:"cniVersion"`
		Name    string   `json:"name"`
		Plugins []plugin `json:"plugins"`
	}{"1.0.0", network, []plugin{
		{Type: "bridge", Bridge: Bridge, MTU: c.MTU, IsGateway: &no, IPMasq: &no, HairpinMode: true, IPAM: addresses},
		// hostPort. nftables, which it executes as "nft": containerd's PATH has it.
		{Type: "portmap", Backend: "nftables", Capabilities: map[string]bool{"portMappings": true}},
	}}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil { // its fields are plain values, all of which can be written
		panic(err)
	}
	return append(data, '\n')
}
