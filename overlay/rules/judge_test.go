package rules

import (
	"net/netip"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"provision/overlay/firewall"
)

func one(kind expr.VerdictKind, chain string) *expr.Verdict {
	return &expr.Verdict{Kind: kind, Chain: chain}
}

// TestOutcomes leads the first packet of a pod through chains made by hand.
func TestOutcomes(t *testing.T) {
	port := func(op expr.CmpOp, port uint16) []expr.Any {
		return []expr.Any{
			&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: op, Register: 1, Data: []byte{byte(port >> 8), byte(port)}},
		}
	}
	then := func(match []expr.Any, v *expr.Verdict) []expr.Any { return append(match[:len(match):len(match)], v) }
	unknown := []expr.Any{&expr.Numgen{Register: 1, Modulus: 2}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 0, 0, 0}}}
	drop, accept := one(expr.VerdictDrop, ""), one(expr.VerdictAccept, "")
	for name, test := range map[string]struct {
		chains map[string][][]expr.Any
		want   outcome
	}{
		"an empty chain":       {nil, passed},
		"a rule":               {map[string][][]expr.Any{"base": {{drop}}}, dropped},
		"a port":               {map[string][][]expr.Any{"base": {then(port(expr.CmpOpEq, 6444), accept), {drop}}}, accepted},
		"another port":         {map[string][][]expr.Any{"base": {then(port(expr.CmpOpEq, 22), accept), {drop}}}, dropped},
		"ports above":          {map[string][][]expr.Any{"base": {then(port(expr.CmpOpGt, 1023), accept), {drop}}}, accepted},
		"perhaps accepted":     {map[string][][]expr.Any{"base": {then(unknown, accept), {drop}}}, accepted | dropped},
		"perhaps dropped":      {map[string][][]expr.Any{"base": {then(unknown, drop)}}, dropped | passed},
		"back from a jump":     {map[string][][]expr.Any{"base": {{one(expr.VerdictJump, "a")}, {drop}}, "a": {{one(expr.VerdictReturn, "")}, {accept}}}, dropped},
		"no way back":          {map[string][][]expr.Any{"base": {{one(expr.VerdictGoto, "a")}, {drop}}}, passed},
		"perhaps back":         {map[string][][]expr.Any{"base": {{one(expr.VerdictJump, "a")}, {drop}}, "a": {then(unknown, accept)}}, accepted | dropped},
		"a jump in a circle":   {map[string][][]expr.Any{"base": {{one(expr.VerdictJump, "base")}, {drop}}}, accepted},
		"to a program":         {map[string][][]expr.Any{"base": {{&expr.Counter{}, &expr.Queue{}}, {drop}}}, accepted},
		"a module's reject":    {map[string][][]expr.Any{"base": {{&expr.Target{Name: "REJECT"}}}}, dropped},
		"a module's log":       {map[string][][]expr.Any{"base": {{&expr.Target{Name: "LOG"}}}}, passed},
		"an unknown module":    {map[string][][]expr.Any{"base": {{&expr.Match{Name: "recent", Info: &xt.Unknown{}}, accept}, {drop}}}, accepted | dropped},
		"ports, cut short":     {map[string][][]expr.Any{"base": {{&expr.Match{Name: "multiport", Rev: 1, Info: &xt.Unknown{1, 200}}, drop}}}, dropped | passed},
		"beyond the packet":    {map[string][][]expr.Any{"base": {{&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 1 << 31, Len: 1 << 31}, drop}}}, passed},
		"a register too many":  {map[string][][]expr.Any{"base": {{&expr.Cmp{Register: 99, Data: make([]byte, 100)}, drop}}}, dropped | passed},
		"a map without values": {map[string][][]expr.Any{"base": {{&expr.Lookup{SetName: "none", SourceRegister: 1, IsDestRegSet: true}}, {drop}}}, accepted | dropped},
	} {
		t.Run(name, func(t *testing.T) {
			p := packets(netip.MustParsePrefix("10.244.0.0/16"), netip.MustParseAddr("10.0.0.1"))[0]
			if p.way != firewall.ToAPI {
				t.Fatalf("the first packet is %+v", p)
			}
			j := judge{packet: p, index: index, rules: func(chain string) [][]expr.Any { return test.chains[chain] },
				set: func(string) *set { return nil }, admits: func(string) bool { return false }}
			if got := j.chain("base", 0); got != test.want {
				t.Errorf("got %b, want %b", got, test.want)
			}
		})
	}
}

func TestAnEndlessRulesetIsGivenUp(t *testing.T) {
	rules := make([][]expr.Any, 300)
	for i := range rules {
		rules[i] = []expr.Any{&expr.Limit{}, one(expr.VerdictJump, "base")}
	}
	j := judge{packet: packets(netip.MustParsePrefix("fd00::/48"), netip.MustParseAddr("fd01::1"))[0], index: index,
		rules: func(string) [][]expr.Any { return rules }, set: func(string) *set { return nil }, admits: func(string) bool { return false }}
	if got := j.chain("base", 0); got&accepted == 0 || j.steps > 2*maxSteps {
		t.Errorf("got %b after %d steps", got, j.steps)
	}
}
