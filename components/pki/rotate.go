package pki

import (
	"context"
	"fmt"
	"time"

	"provision/components"
)

// Step is one that a master takes towards other authorities. Each can be taken again, and
// then does what is left of it.
type Step struct {
	Agent string // path of the agent's binary
	Verb  string // of "agent certificates": MakeNext, Switch or Retire
}

// The steps, in their order. Between the first two the authorities that are to follow are
// copied, and trusted everywhere.
const (
	MakeNext = "next"   // they are made; what an earlier run made of them stays
	Switch   = "switch" // they sign; those of before are kept without their keys, and trusted
	Retire   = "retire" // those of before are marked as not to be trusted any more: see Trust, and Forget
)

var steps = map[string]string{
	MakeNext: "make the authorities that are to follow",
	Switch:   "sign with the next authorities",
	Retire:   "retire the authorities of before",
}

// Component is "pki".
func (Step) Component() string { return "pki" }

func (a Step) String() string { return steps[a.Verb] }

// Touches names the folder only: the journal must never hold a copy of a key.
func (Step) Touches() []components.Touch { return touches }

// Apply runs the agent.
func (a Step) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	return verb(ctx, on, a.Agent, a.Verb)
}

// Forget takes away what is left of the authorities of before.
type Forget struct{}

// Component is "pki".
func (Forget) Component() string { return "pki" }

func (Forget) String() string { return "forget the authorities of before" }

// Touches is empty: the folder is ours.
func (Forget) Touches() []components.Touch { return nil }

// Apply deletes the folder.
func (Forget) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{"rm", "-rf", "--", RetiredDir}, nil)
	return err
}

// picksUp is longer than any process of ours takes to read a new certificate of its own
// (20 s), and to come back to those that it calls.
const picksUp = 30 * time.Second

// AwaitUse waits until every process has come to use the certificates that it was given.
type AwaitUse struct{}

// Component is "pki".
func (AwaitUse) Component() string { return "pki" }

func (AwaitUse) String() string {
	return fmt.Sprintf("wait %v, until every process uses its new certificate", picksUp)
}

// Touches is empty: nothing is changed.
func (AwaitUse) Touches() []components.Touch { return nil }

// Interruptible says that nothing is changed.
func (AwaitUse) Interruptible() bool { return true }

// Apply waits.
func (AwaitUse) Apply(ctx context.Context, _ components.Machine, _ components.Site) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(picksUp):
		return nil
	}
}

func verb(ctx context.Context, on components.Machine, agent, verb string) error {
	_, err := on.Run(ctx, []string{agent, "certificates", verb, "--dir", components.PKI}, nil)
	return err
}
