package rules

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"provision/overlay"
	"provision/overlay/firewall"
)

// Strangers finds the chains of others that drop what a cluster needs to get
// through: in nftables no accept of ours can overrule them. Packets of each kind
// are led through every base chain, by its rules and those it jumps to, to its
// end and policy: most firewalls accept by policy and reject in their last rule.
//
// pods are the cluster's ranges, and self the machine's own address. A chain is
// named once, for the first way that it closes; one that cannot be understood
// for certain is taken to be open. It changes nothing, and sees no
// iptables-legacy, whose rules are not nftables'.
func Strangers(pods []netip.Prefix, self netip.Addr) ([]firewall.Wall, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("nftables: list chains: %w", err)
	}
	var walls []firewall.Wall
	var errs []error
	for _, c := range chains {
		if c.Hooknum == nil || c.Type != nftables.ChainTypeFilter || friend(c.Table) {
			continue
		}
		t := &table{conn: conn, Table: c.Table, chains: chains}
		for _, p := range ways(c, pods, self) {
			if !t.drops(c, p) {
				continue
			}
			walls = append(walls, firewall.Wall{Family: families[c.Table.Family], Table: c.Table.Name, Chain: c.Name, Way: p.way, UFW: t.has("ufw")})
			break
		}
		errs = append(errs, t.err)
	}
	return walls, errors.Join(errs...)
}

var families = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
}

// friend is a table whose drops are meant: ours, and that of Services, which is
// long.
func friend(t *nftables.Table) bool {
	return t.Name == Table || t.Name == "kube-proxy" || families[t.Family] == ""
}

// ways are the packets that come by a chain.
func ways(c *nftables.Chain, pods []netip.Prefix, self netip.Addr) []packet {
	var list []packet
	for _, of := range pods {
		four := of.Addr().Is4()
		if c.Table.Family == nftables.TableFamilyIPv4 && !four || c.Table.Family == nftables.TableFamilyIPv6 && four {
			continue
		}
		machine := self
		if four != self.Is4() {
			// To pods of the other family it speaks as bridge0, which has their subnet's first address.
			machine = of.Masked().Addr().Next()
		}
		for _, p := range packets(of, machine) {
			if p.hook == *c.Hooknum {
				list = append(list, p)
			}
		}
	}
	return list
}

// table reads a table of others piece by piece, and each piece once.
type table struct {
	*nftables.Table
	conn   *nftables.Conn
	chains []*nftables.Chain
	rules  map[string][][]expr.Any
	sets   map[string]*set
	err    error
}

// drops says that a base chain certainly drops a packet.
func (t *table) drops(c *nftables.Chain, p packet) bool {
	j := judge{packet: p, index: index, rules: t.chain, set: t.set, admits: func(chain string) bool {
		// The overlay's agent has its rules there, or will have.
		return chain == dockerChain && p.hook == *nftables.ChainHookForward && c.Table.Name == "filter" && c.Table.Family != nftables.TableFamilyINet
	}}
	does := j.chain(c.Name, 0)
	if does&passed != 0 {
		does &^= passed
		if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			does |= dropped
		} else {
			does |= accepted
		}
	}
	return t.err == nil && does == dropped
}

// has says that a chain's name begins so.
func (t *table) has(prefix string) bool {
	return slices.ContainsFunc(t.chains, func(c *nftables.Chain) bool {
		return c.Table.Name == t.Name && c.Table.Family == t.Family && len(c.Name) > len(prefix) && c.Name[:len(prefix)] == prefix
	})
}

func (t *table) chain(name string) [][]expr.Any {
	if rules, known := t.rules[name]; known {
		return rules
	}
	list, err := t.conn.GetRules(t.Table, &nftables.Chain{Name: name, Table: t.Table})
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("nftables: rules of chain %s of table %s %s: %w", name, families[t.Family], t.Name, err)
	}
	var rules [][]expr.Any
	for _, rule := range list {
		rules = append(rules, rule.Exprs)
	}
	if t.rules == nil {
		t.rules = map[string][][]expr.Any{}
	}
	t.rules[name] = rules
	return rules
}

// set reads a rule's own set. One with a name is somebody's list, of any length
// and of what comes and goes.
func (t *table) set(name string) *set {
	if s, known := t.sets[name]; known {
		return s
	}
	var read *set
	of, err := t.conn.GetSetByName(t.Table, name)
	if err == nil && of.Anonymous {
		elements, err := t.conn.GetSetElements(of)
		if err == nil {
			read = newSet(of, elements)
		}
	}
	if t.sets == nil {
		t.sets = map[string]*set{}
	}
	t.sets[name] = read
	return read
}

// index is a link's number, and one that none has where it is not there yet.
func index(link string) uint32 {
	if link != overlay.Bridge && link != overlay.Tunnel {
		return 0
	}
	i, err := net.InterfaceByName(link)
	if err != nil {
		return ^uint32(0)
	}
	return uint32(i.Index)
}
