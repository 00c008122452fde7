package pki

import (
	"context"
	"fmt"
	"time"

	"provision/components"
)

// Next makes, on a master, the authorities that are to follow. They are not used yet;
// what an earlier run made of them stays.
type Next struct {
	Agent string // path of the agent's binary
}

// Component is "pki".
func (Next) Component() string { return "pki" }

func (Next) String() string { return "make the authorities that are to follow" }

// Touches names the folder only: the journal must never hold a copy of a key.
func (Next) Touches() []components.Touch { return touches }

// Apply runs "agent certificates next".
func (a Next) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	return verb(ctx, on, a.Agent, "next")
}

// Switch has a master sign with the next authorities. Those of before are kept, without
// their keys, and stay trusted.
type Switch struct {
	Agent string // path of the agent's binary
}

// Component is "pki".
func (Switch) Component() string { return "pki" }

func (Switch) String() string { return "sign with the next authorities" }

// Touches is empty: the folder is ours.
func (Switch) Touches() []components.Touch { return nil }

// Apply runs "agent certificates switch".
func (a Switch) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	return verb(ctx, on, a.Agent, "switch")
}

// Retire says that the authorities of before are not to be trusted any more. What trusts
// them is told by Trust, and the mark stays until that is done everywhere: see Forget.
type Retire struct {
	Agent string // path of the agent's binary
}

// Component is "pki".
func (Retire) Component() string { return "pki" }

func (Retire) String() string { return "retire the authorities of before" }

// Touches is empty: the folder is ours.
func (Retire) Touches() []components.Touch { return nil }

// Apply runs "agent certificates retire".
func (a Retire) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	return verb(ctx, on, a.Agent, "retire")
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
