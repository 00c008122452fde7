package rules

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// docker drops what is forwarded, unless it is its own, and no accept of another
// table can overrule a drop. Its chain for other people's rules is asked before
// its own; docker keeps what is in it over restarts, and makes it anew at boot.
const dockerChain = "DOCKER-USER"

// mark is the comment by which our rules in a chain of others are known again.
const mark = "provision"

// AdmitDocker has docker's firewall let pods' packets through, where there is
// one. It says whether it had to write. A docker that uses iptables-legacy cannot
// be told through nftables.
func AdmitDocker() (written bool, err error) {
	return eachDockerChain(func(conn *nftables.Conn, chain *nftables.Chain, ours []*nftables.Rule) bool {
		links, ways := []string{overlay.Bridge, overlay.Tunnel}, []expr.MetaKey{expr.MetaKeyOIFNAME, expr.MetaKeyIIFNAME}
		if len(ours) == len(links)*len(ways) {
			return false
		}
		for _, rule := range ours {
			conn.DelRule(rule)
		}
		for _, link := range links { // the tunnel alone: a NodePort's client and a pod elsewhere
			for _, way := range ways {
				conn.InsertRule(&nftables.Rule{
					Table: chain.Table, Chain: chain, UserData: userdata.AppendString(nil, userdata.TypeComment, mark),
					// As iptables-nft writes it, whose chain this is: what it cannot read, it would refuse to touch.
					Exprs: []expr.Any{
						&expr.Meta{Key: way, Register: 1},
						&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte(link), 0)},
						&expr.Counter{},
						&expr.Verdict{Kind: expr.VerdictAccept},
					},
				})
			}
		}
		return true
	})
}

// WithdrawDocker takes our rules out of docker's chain.
func WithdrawDocker() (removed bool, err error) {
	return eachDockerChain(func(conn *nftables.Conn, _ *nftables.Chain, ours []*nftables.Rule) bool {
		for _, rule := range ours {
			conn.DelRule(rule)
		}
		return len(ours) > 0
	})
}

// eachDockerChain calls change with our rules in docker's chain of each family,
// and commits what it asked for.
func eachDockerChain(change func(*nftables.Conn, *nftables.Chain, []*nftables.Rule) bool) (changed bool, err error) {
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("nftables: %w", err)
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := &nftables.Table{Name: "filter", Family: family}
		chain, err := conn.ListChain(table, dockerChain)
		if err != nil && strings.HasSuffix(err.Error(), unix.ENOENT.Error()) {
			continue // the library hands on no more than the text
		}
		if err != nil {
			return changed, fmt.Errorf("nftables: chain %s: %w", dockerChain, err)
		}
		rules, err := conn.GetRules(table, chain)
		if err != nil {
			return changed, fmt.Errorf("nftables: chain %s: %w", dockerChain, err)
		}
		var ours []*nftables.Rule
		for _, rule := range rules {
			if comment, ok := userdata.GetString(rule.UserData, userdata.TypeComment); ok && comment == mark {
				ours = append(ours, rule)
			}
		}
		if !change(conn, chain, ours) {
			continue
		}
		if err := conn.Flush(); err != nil {
			return changed, fmt.Errorf("nftables: chain %s: %w", dockerChain, err)
		}
		changed = true
	}
	return changed, nil
}
