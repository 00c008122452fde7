package facts

import (
	"fmt"
	"strings"

	"provision/components"
	"provision/overlay/firewall"
)

// readFirewall reads "<hook> <family> <table>".
func readFirewall(p *parser, rest string) error {
	fields := strings.SplitN(rest, " ", 3)
	way, known := map[string]firewall.Way{"input": firewall.Received, "forward": firewall.Forwarded}[fields[0]]
	if len(fields) != 3 || !known || !(firewall.Wall{Family: fields[1], Table: fields[2], Way: way}).Valid() {
		return fmt.Errorf("not a hook, a family and a table")
	}
	p.facts.Firewalls = append(p.facts.Firewalls, components.Firewall{Hook: fields[0], Family: fields[1], Table: fields[2]})
	return nil
}

// readFirewallRule reads "<family> <table> <rule>", after the tables' own records.
func readFirewallRule(p *parser, rest string) error {
	fields := strings.SplitN(rest, " ", 3)
	if len(fields) != 3 {
		return fmt.Errorf("not a family, a table and a rule")
	}
	for i, f := range p.facts.Firewalls {
		if f.Family == fields[0] && f.Table == fields[1] {
			p.facts.Firewalls[i].Accepts = append(f.Accepts, fields[2])
		}
	}
	return nil
}
