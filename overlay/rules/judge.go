package rules

import (
	"bytes"

	"github.com/google/nftables/expr"
)

// answer is whether a rule is for a packet. What is not understood may be.
type answer int

const (
	no answer = iota
	maybe
	yes
)

// outcome is what may become of a packet: a set.
type outcome int

const (
	accepted outcome = 1 << iota
	dropped
	passed // to whoever comes next
)

// judge asks one table's rules what they do with one packet.
type judge struct {
	packet packet
	index  func(link string) uint32
	rules  func(chain string) [][]expr.Any
	set    func(name string) *set // nil: its elements are not known
	// admits says that what a chain does is not to be looked at: it will accept.
	admits func(chain string) bool
	steps  int
}

// A ruleset of ten thousands of rules belongs to a program, and is a tree where
// every packet meets few of them. Beyond the bounds nothing is said of it.
const (
	maxSteps = 50000
	maxDepth = 16 // the kernel's own
)

// chain walks a chain and those that it jumps to.
func (j *judge) chain(name string, depth int) outcome {
	if depth > maxDepth || j.admits(name) {
		return accepted
	}
	var all outcome
	for _, exprs := range j.rules(name) {
		if j.steps++; j.steps > maxSteps {
			return accepted
		}
		match, verdict := j.rule(exprs)
		if match == no || verdict == nil {
			continue
		}
		does, ends := j.verdict(verdict, depth)
		all |= does
		if match == yes && ends {
			return all
		}
	}
	return all | passed
}

// verdict says what a verdict does, and whether the chain goes on after it.
func (j *judge) verdict(v *expr.Verdict, depth int) (does outcome, ends bool) {
	switch v.Kind {
	case expr.VerdictDrop:
		return dropped, true
	case expr.VerdictReturn:
		return passed, true
	case expr.VerdictGoto:
		return j.chain(v.Chain, depth+1), true
	case expr.VerdictJump:
		does = j.chain(v.Chain, depth+1)
		return does &^ passed, does&passed == 0
	case expr.VerdictContinue, expr.VerdictBreak:
		return 0, false
	default:
		return accepted, true // to a program, which may well let it pass
	}
}

// rule runs a rule's expressions. Those that only count, log or mark are none of
// our business; without a verdict it has none.
func (j *judge) rule(exprs []expr.Any) (match answer, verdict *expr.Verdict) {
	var regs registers
	match = yes
	for _, e := range exprs {
		is := yes
		switch e := e.(type) {
		case *expr.Meta:
			if !e.SourceRegister {
				regs.store(e.Register, j.packet.meta(uint32(e.Key), j.index))
			}
		case *expr.Ct:
			if !e.SourceRegister {
				regs.store(e.Register, j.packet.track(uint32(e.Key)))
			}
		case *expr.Payload:
			is = j.payload(&regs, e)
		case *expr.Immediate:
			regs.store(e.Register, e.Data)
		case *expr.Bitwise:
			regs.bitwise(e)
		case *expr.Cmp:
			is = regs.compare(e)
		case *expr.Range:
			is = regs.between(e)
		case *expr.Lookup:
			is, verdict = j.lookup(&regs, e)
		case *expr.Match:
			is = j.xtables(e)
		case *expr.Verdict:
			return match, e
		case *expr.Reject:
			return match, &expr.Verdict{Kind: expr.VerdictDrop}
		case *expr.Target:
			if e.Name == "REJECT" {
				return match, &expr.Verdict{Kind: expr.VerdictDrop}
			}
		case *expr.Queue:
			return match, &expr.Verdict{Kind: expr.VerdictAccept} // a program decides
		case *expr.Counter, *expr.Log, *expr.Notrack:
		default:
			regs.forget() // it may have written any
			is = maybe
		}
		if match = min(match, is); match == no {
			return no, nil
		}
		if verdict != nil {
			return match, verdict // of a map, which ends a rule
		}
	}
	return match, nil
}

func (j *judge) payload(regs *registers, e *expr.Payload) answer {
	if e.OperationType != expr.PayloadLoad {
		return yes
	}
	var from []byte
	switch e.Base {
	case expr.PayloadBaseNetworkHeader:
		from = j.packet.header()
	case expr.PayloadBaseTransportHeader:
		from = j.packet.transport()
	default:
		regs.store(e.DestRegister, nil)
		return yes
	}
	if uint64(e.Offset)+uint64(e.Len) > uint64(len(from)) {
		return no // as the kernel has it
	}
	regs.store(e.DestRegister, from[e.Offset:e.Offset+e.Len])
	return yes
}

// lookup looks into a set, or a map of verdicts.
func (j *judge) lookup(regs *registers, e *expr.Lookup) (answer, *expr.Verdict) {
	const verdictRegister = 0
	is, value := maybe, []byte(nil)
	if of := j.set(e.SetName); of != nil {
		is, value = of.find(regs, e.SourceRegister)
	}
	switch {
	case e.IsDestRegSet && e.DestRegister == verdictRegister:
		return is, readVerdict(value)
	case e.IsDestRegSet:
		regs.store(e.DestRegister, nil)
	case e.Invert:
		is = yes - is
	}
	return is, nil
}

// compare is nftables' comparison: of as many bytes as it has.
func (r *registers) compare(e *expr.Cmp) answer {
	have := r.load(e.Register, len(e.Data))
	if have == nil {
		return maybe
	}
	return holds(e.Op, bytes.Compare(have, e.Data))
}

func holds(op expr.CmpOp, order int) answer {
	is := map[expr.CmpOp]bool{
		expr.CmpOpEq: order == 0, expr.CmpOpNeq: order != 0,
		expr.CmpOpLt: order < 0, expr.CmpOpLte: order <= 0, expr.CmpOpGt: order > 0, expr.CmpOpGte: order >= 0,
	}[op]
	if is {
		return yes
	}
	return no
}
