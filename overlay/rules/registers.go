package rules

import (
	"bytes"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// registers are nftables' sixteen words. What is in a word may not be known.
type registers struct {
	bytes [64]byte
	known [64]bool
}

// place is where a register's bytes begin: the first four numbers are four words
// each, those from NFT_REG32_00 one.
func place(register uint32) (int, bool) {
	switch {
	case register >= unix.NFT_REG_1 && register <= unix.NFT_REG_4:
		return int(register-unix.NFT_REG_1) * 16, true
	case register >= unix.NFT_REG32_00 && register <= unix.NFT_REG32_15:
		return int(register-unix.NFT_REG32_00) * 4, true
	}
	return 0, false
}

// store puts bytes into a register, padded to whole words; nil is a word that is
// not known, and so is all that could have come after it.
func (r *registers) store(register uint32, data []byte) {
	at, ok := place(register)
	if !ok {
		return
	}
	if data == nil {
		for i := at; i < min(at+16, len(r.known)); i++ {
			r.known[i] = false
		}
		return
	}
	for i := 0; i < (len(data)+3)/4*4 && at+i < len(r.bytes); i++ {
		r.bytes[at+i], r.known[at+i] = 0, true
		if i < len(data) {
			r.bytes[at+i] = data[i]
		}
	}
}

// load returns a register's first bytes, and nil where they are not all known.
func (r *registers) load(register uint32, length int) []byte {
	at, ok := place(register)
	if !ok || at+length > len(r.bytes) {
		return nil
	}
	for _, known := range r.known[at : at+length] {
		if !known {
			return nil
		}
	}
	return r.bytes[at : at+length]
}

func (r *registers) forget() { r.known = [64]bool{} }

func (r *registers) bitwise(e *expr.Bitwise) {
	have := r.load(e.SourceRegister, int(e.Len))
	if have == nil || len(e.Mask) < len(have) || len(e.Xor) < len(have) {
		r.store(e.DestRegister, nil) // shifts have no mask
		return
	}
	result := bytes.Clone(have)
	for i := range result {
		result[i] = result[i]&e.Mask[i] ^ e.Xor[i]
	}
	r.store(e.DestRegister, result)
}

func (r *registers) between(e *expr.Range) answer {
	have := r.load(e.Register, len(e.FromData))
	if have == nil || len(e.FromData) != len(e.ToData) {
		return maybe
	}
	inside := bytes.Compare(have, e.FromData) >= 0 && bytes.Compare(have, e.ToData) <= 0
	if inside == (e.Op == expr.CmpOpEq) {
		return yes
	}
	return no
}
