package rules

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// set is a rule's own set or map: "{ 22, 80-90 }".
type set struct {
	ranges []span
}

// span is one element, or an interval of them with both ends in it.
type span struct {
	from, to []byte
	value    []byte // of a map
}

// newSet reads what the kernel has of a set; nil where that is more than is
// understood here.
func newSet(of *nftables.Set, elements []nftables.SetElement) *set {
	s := &set{}
	if of.Interval && of.Concatenation {
		return nil
	}
	if !of.Interval {
		for _, e := range elements {
			s.ranges = append(s.ranges, span{e.Key, e.Key, e.Val})
		}
		return s
	}
	slices.SortFunc(elements, func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) })
	for i, e := range elements {
		if e.IntervalEnd {
			continue
		}
		to := bytes.Repeat([]byte{0xff}, len(e.Key)) // an interval without an end goes to the last
		if i+1 < len(elements) {
			to = before(elements[i+1].Key)
		}
		s.ranges = append(s.ranges, span{e.Key, to, e.Val})
	}
	return s
}

// before is the key that precedes one: the kernel's intervals end before their end.
func before(key []byte) []byte {
	less := bytes.Clone(key)
	for i := len(less) - 1; i >= 0; i-- {
		less[i]--
		if less[i] != 0xff {
			break
		}
	}
	return less
}

// find looks for what is in a register, and returns what a map has for it.
func (s *set) find(r *registers, register uint32) (answer, []byte) {
	for _, span := range s.ranges {
		have := r.load(register, len(span.from))
		if have == nil {
			return maybe, nil
		}
		if bytes.Compare(have, span.from) >= 0 && bytes.Compare(have, span.to) <= 0 {
			return yes, span.value
		}
	}
	return no, nil
}

// readVerdict reads a map's value as the kernel writes it: two attributes, of
// which the library keeps the bytes: a code, and the chain to go to.
func readVerdict(value []byte) *expr.Verdict {
	const codeAt, chainAt = 4, 12
	if len(value) < codeAt+4 {
		return &expr.Verdict{Kind: expr.VerdictAccept} // not understood: not certainly dropped
	}
	v := &expr.Verdict{Kind: expr.VerdictKind(int32(binary.BigEndian.Uint32(value[codeAt:])))}
	if len(value) > chainAt {
		v.Chain = string(bytes.TrimRight(value[chainAt:], "\x00"))
	}
	return v
}
