package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// crossCheck finds what is wrong between parts that are right each by itself.
// Parts that are wrong are zero here, and are passed over.
func (l *loader) crossCheck(schema fileSchema, file *File, origins []origin) {
	before := len(l.diags)
	defer func() { l.diags = slices.Concat(l.diags[:before:before], oncePerPlace(l.diags[before:])) }()
	l.checkDuplicates(file.Machines, origins)
	l.checkEndpoints(file, origins)
	l.checkMasters(schema, file.Machines, origins)
	l.checkRanges(schema, file, origins)
}

func (l *loader) checkDuplicates(machines []Machine, origins []origin) {
	names, addresses, hosts := map[string]int{}, map[netip.Addr]int{}, map[string]int{}
	for i, m := range machines {
		if first, twice := names[m.Name]; twice {
			if origins[first].name == origins[i].name {
				l.report(&origins[i].name, "Duplicate machine name", "for_each makes several machines of this block, and two are named %q: make the name from each.key.", m.Name)
			} else {
				l.report(&origins[i].name, "Duplicate machine name", "Another machine is named %q (%s): give each a name of its own.", m.Name, line(origins[first].name))
			}
		} else {
			names[m.Name] = i
		}
		if m.Address.IsValid() {
			if first, twice := addresses[m.Address]; twice {
				if origins[first].address == origins[i].address {
					l.report(&origins[i].address, "Duplicate machine address", "for_each makes several machines of this block, and two have the address %s: make it from each.key or each.value.", m.Address)
				} else {
					l.report(&origins[i].address, "Duplicate machine address", "%s is the address of %s as well (%s): an address belongs to one machine.", m.Address, machines[first].Name, line(origins[first].address))
				}
				if origins[i].host == origins[i].address {
					continue // which is why SSH would go to the same place
				}
			} else {
				addresses[m.Address] = i
			}
		}
		if m.Address6.IsValid() {
			if first, twice := addresses[m.Address6]; twice {
				l.report(&origins[i].address6, "Duplicate machine address", "%s is the address of %s as well (%s): an address belongs to one machine.", m.Address6, machines[first].Name, line(origins[first].address6))
			} else {
				addresses[m.Address6] = i
			}
		}
		if m.SSH.Host == "" {
			continue
		}
		host := fmt.Sprint(strings.ToLower(strings.TrimSuffix(m.SSH.Host, ".")), " ", m.SSH.Port, m.SSH.Bastions)
		if first, twice := hosts[host]; twice {
			l.report(&origins[i].host, "Duplicate SSH host", "%s port %d is where %s is reached as well (%s): give each machine its own ssh.host or ssh.port.", m.SSH.Host, m.SSH.Port, machines[first].Name, line(origins[first].host))
			continue
		}
		hosts[host] = i
	}
}

// oncePerPlace leaves out a mistake of the same kind at the same place: one
// expression makes the addresses of all machines of a for_each.
func oncePerPlace(diags hcl.Diagnostics) hcl.Diagnostics {
	var kept hcl.Diagnostics
	said := map[string]bool{}
	for _, d := range diags {
		place := fmt.Sprint(d.Subject, d.Summary)
		if d.Subject == nil || !said[place] {
			kept = append(kept, d)
		}
		said[place] = true
	}
	return kept
}

func line(r hcl.Range) string { return fmt.Sprintf("line %d", r.Start.Line) }

func (l *loader) checkMasters(schema fileSchema, machines []Machine, origins []origin) {
	if l.blind {
		return
	}
	if len(machines) == 0 {
		l.report(l.rangeOf(nil, schema), "No machines", "A cluster needs at least one block such as: machine \"m1\" { address = \"192.168.56.11\" }")
		return
	}
	masters := 0
	for _, m := range machines {
		if m.Role == Master {
			masters++
		}
	}
	if masters == 0 {
		l.report(&origins[0].role, "No master", "A cluster needs at least one machine with role = \"master\".")
	}
	if masters == 2 {
		l.warn(&origins[0].role, "Even number of masters", "2 masters survive the loss of neither, as one survives no loss: the second adds only work. Take an odd number.")
	} else if masters > 0 && masters%2 == 0 {
		l.warn(&origins[0].role, "Even number of masters", "%d masters survive the loss of %d, as %d do: the last one adds only work. Take an odd number.",
			masters, (masters-1)/2, masters-1)
	}
}

// rangeOf returns the place of an attribute, or of the cluster block where the
// file leaves it out.
func (l *loader) rangeOf(attr *hcl.Attribute, schema fileSchema) *hcl.Range {
	switch {
	case attr != nil:
		return attr.Expr.Range().Ptr()
	case schema.Cluster != nil:
		return &schema.Cluster.NameRange
	}
	return nil
}
