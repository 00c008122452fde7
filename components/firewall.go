package components

// Firewall is a chain of somebody else's that drops what no rule of its accepts.
type Firewall struct {
	Hook   string // "input" or "forward"
	Family string // nftables' ("inet", "ip", ...), or "legacy" for iptables-legacy
	Table  string
	// Accepts are the table's rules that accept something, and the names of its
	// chains, as the machine's own tool prints them.
	Accepts []string
}
