// Package firewall has the words for other people's packet filters that take
// packets from pods: which wall, which packets, and what its owner types to let
// them pass. Those are the same before anything is installed and in the status.
//
// Whether a wall takes them is found by overlay/rules in the kernel, and by
// provisioner/plan in what a machine's own tools print.
package firewall

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"provision/overlay"
)

// API is where pods find the API server on every machine: the balancer's
// address for them.
var API = netip.MustParseAddrPort("192.0.0.11:6444")

// Way is a way that packets of a healthy cluster take.
type Way string

// The ways. Each has its hook in hooks, and its words in words.
const (
	ToAPI       Way = "pod-api"     // DNS servers and controllers; what pods send to their machine
	ToMachine   Way = "pod-machine" // host ports, metrics
	FromMachine Way = "machine-pod" // kubelet's probes, the machine's own questions to Services
	Answers     Way = "pod-answers" // and what is answered to them
	Between     Way = "pod-pod"     // through the tunnel, and on the bridge
	Forwarded   Way = "forwarded"   // anything; what is known of a wall by its policy alone
	Received    Way = "received"    // the same of what is sent to the machine
)

var words = map[Way]string{
	ToAPI:       "what pods send to the API server",
	ToMachine:   "what pods send to the machine",
	FromMachine: "what the machine sends to pods",
	Answers:     "what pods answer the machine, its health checks too",
	Between:     "what pods send to each other",
	Forwarded:   "forwarded packets, the pods' too",
	Received:    "what pods send to the machine",
}

// hooks are netfilter's names for where each way is filtered.
var hooks = map[Way]string{
	ToAPI: "input", ToMachine: "input", Answers: "input", Received: "input",
	FromMachine: "output", Between: "forward", Forwarded: "forward",
}

// Wall is a chain of others, and a way that it closes.
type Wall struct {
	Family string `json:"family"` // nftables' name, "ip", "ip6" or "inet"; "legacy" for iptables-legacy
	Table  string `json:"table"`
	Chain  string `json:"chain,omitempty"` // the base chain, where it is known
	Way    Way    `json:"way"`
	UFW    bool   `json:"ufw,omitempty"` // ufw wrote it
}

var name = regexp.MustCompile(`^[A-Za-z0-9_./-]{1,64}$`)

// Valid says that a wall can be shown with a command to type: a machine's word
// for a name might be anything.
func (w Wall) Valid() bool {
	return slices.Contains([]string{"ip", "ip6", "inet", "legacy"}, w.Family) && name.MatchString(w.Table) &&
		(w.Chain == "" || name.MatchString(w.Chain)) && words[w.Way] != ""
}

// Place is where the wall stands: "chain FORWARD of table ip filter".
func (w Wall) Place() string {
	if w.Chain == "" {
		return fmt.Sprintf("table %s %s", w.Family, w.Table)
	}
	return fmt.Sprintf("chain %s of table %s %s", w.Chain, w.Family, w.Table)
}

// Drops says what the wall drops.
func (w Wall) Drops() string { return words[w.Way] }

// Hook is netfilter's name for where the wall stands.
func (w Wall) Hook() string { return hooks[w.Way] }

// Remedy is what its owner types, for the tool that most likely wrote the table.
func (w Wall) Remedy() string {
	const bridge, tunnel = overlay.Bridge, overlay.Tunnel
	hook := w.Hook()
	switch {
	case w.Table == "firewalld":
		// One zone for both: between zones it forwards nothing.
		return fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s; firewall-cmd --permanent --zone=trusted --add-interface=%s; firewall-cmd --reload", bridge, tunnel)
	case w.UFW:
		return map[string]string{
			"input":   "ufw allow in on " + bridge,
			"forward": fmt.Sprintf("ufw route allow in on %s; ufw route allow out on %s", bridge, bridge),
			"output":  fmt.Sprintf("ufw allow out on %s; ufw allow out on %s", bridge, tunnel),
		}[hook]
	case w.Family == "legacy" || w.Table == "filter" && w.Family != "inet":
		tool := map[string]string{"ip": "iptables", "ip6": "ip6tables", "legacy": "iptables"}[w.Family]
		return map[string]string{
			"input":   fmt.Sprintf("%s -I INPUT -i %s -j ACCEPT", tool, bridge),
			"forward": fmt.Sprintf("%s -I FORWARD -i %s -j ACCEPT; %s -I FORWARD -o %s -j ACCEPT", tool, bridge, tool, bridge),
			"output":  fmt.Sprintf("%s -I OUTPUT -o %s -j ACCEPT; %s -I OUTPUT -o %s -j ACCEPT", tool, bridge, tool, tunnel),
		}[hook]
	}
	chain := w.Chain
	if chain == "" {
		chain = hook
	}
	insert := fmt.Sprintf("nft insert rule %s %s %s ", w.Family, w.Table, chain)
	return map[string]string{
		"input":   insert + "iifname " + bridge + " accept",
		"forward": insert + "iifname " + bridge + " accept; " + insert + "oifname " + bridge + " accept",
		"output":  insert + "oifname { " + bridge + ", " + tunnel + " } accept",
	}[hook]
}
