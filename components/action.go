package components

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
)

// Action is one change to one machine: plain data that prints, and that knows
// how to happen. It holds no secret: what is born during the run (a key, a
// certificate) is made and moved inside Apply.
//
// Apply must be repeatable: a run may be killed in the middle of it and the
// next plan may hold the same action again.
type Action interface {
	// Component is the component it belongs to: "base", "kubelet", ...
	Component() string
	// String says what it does, as a person reads it in a plan.
	String() string
	// Touches names what it changes, so that the journal can keep the old value.
	Touches() []Touch
	// Apply does it.
	Apply(ctx context.Context, on Machine, site Site) error
}

// Touch names one thing that an action changes. It is the journal's key.
type Touch struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // a path, a dotted sysctl, a unit, a module
}

// Kind is what sort of thing a Touch names.
type Kind string

// The kinds of things that the journal keeps old values of.
const (
	KindFile   Kind = "file"
	KindDir    Kind = "dir"
	KindSysctl Kind = "sysctl"
	KindUnit   Kind = "unit"
	KindModule Kind = "module"
)

// Sum returns the SHA-256 of content in hex, as Facts and manifests give it.
func Sum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
