// Package rules keeps one nftables table of ours: what keeps pod traffic inside
// the tunnel, masquerades what leaves for the outside, and fits TCP to the MTU.
//
// The table is compared with what it should be and, where it differs, written
// anew in one transaction: there is no moment without it. Nobody else's table is
// touched; Services are left to kube-proxy.
//
// Chain network-policy is empty here, and is where NetworkPolicies will be
// enforced: all that is forwarded passes it before everybody else's filters, with
// the addresses of the pods themselves. It belongs to whoever enforces them, with
// every chain, set and map of the table whose name begins with "network-policy-":
// this package makes the chain and jumps to it, and never looks into any of them.
package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"provision/overlay"
)

// Table is the name of our table, of family inet.
const Table = "provision-overlay"

// Policy is the name of the chain, and with a hyphen the beginning of the names,
// that belong to whoever enforces NetworkPolicies.
const Policy = "network-policy"

func reserved(name string) bool { return name == Policy || strings.HasPrefix(name, Policy+"-") }

// chain is a chain and its rules, which are nobody's business in a reserved one.
type chain struct {
	nftables.Chain
	rules [][]expr.Any
}

// Ensure makes the table what it should be. It says whether it had to write.
func Ensure(want overlay.Rules) (written bool, err error) {
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("nftables: %w", err)
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	chains := build(table, want)
	if same(conn, table, chains) {
		return false, nil
	}
	present, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("nftables: list chains: %w", err)
	}
	present = slices.DeleteFunc(present, func(c *nftables.Chain) bool { return c.Table.Name != Table || reserved(c.Name) })
	// A transaction, which fails as a whole where somebody was quicker.
	conn.AddTable(table)
	for _, c := range present {
		conn.FlushChain(c) // all before any is deleted, which one that is jumped to cannot be
	}
	for _, c := range present {
		conn.DelChain(c)
	}
	for _, c := range chains {
		conn.AddChain(&c.Chain)
		for _, exprs := range c.rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: &c.Chain, Exprs: exprs})
		}
	}
	if err := conn.Flush(); err != nil {
		return false, fmt.Errorf("nftables: write table inet %s: %w", Table, err)
	}
	return true, nil
}

// same reports whether the kernel has exactly these chains with these rules.
func same(conn *nftables.Conn, table *nftables.Table, want []chain) bool {
	for _, w := range want {
		have, err := conn.ListChain(table, w.Name)
		if err != nil || !sameChain(have, &w.Chain) {
			return false
		}
		if reserved(w.Name) {
			continue
		}
		list, err := conn.GetRules(table, &w.Chain)
		if err != nil || len(list) != len(w.rules) {
			return false
		}
		for i, rule := range list {
			if fingerprint(rule.Exprs) != fingerprint(w.rules[i]) {
				return false
			}
		}
	}
	return true
}

func sameChain(have, want *nftables.Chain) bool {
	if want.Hooknum == nil {
		return have.Hooknum == nil
	}
	return have.Type == want.Type &&
		have.Policy != nil && *have.Policy == *want.Policy &&
		have.Hooknum != nil && *have.Hooknum == *want.Hooknum &&
		have.Priority != nil && *have.Priority == *want.Priority
}

// fingerprint makes expressions comparable: they are pointers to plain values.
func fingerprint(exprs []expr.Any) string {
	text := ""
	for _, e := range exprs {
		fields, err := json.Marshal(e)
		if err != nil {
			return err.Error()
		}
		text += fmt.Sprintf("%T%s\n", e, fields)
	}
	return text
}

// Remove takes the table away and says whether there was one.
func Remove() (removed bool, err error) {
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("nftables: %w", err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("nftables: list tables: %w", err)
	}
	i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == Table })
	if i < 0 {
		return false, nil
	}
	conn.DelTable(tables[i])
	if err := conn.Flush(); err != nil {
		return false, fmt.Errorf("nftables: remove table inet %s: %w", Table, err)
	}
	return true, nil
}
