package pki

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"provision/components"
)

// Init makes, on the first master, what is missing of the authorities, the
// service account key and the key that secrets are encrypted with. It never
// replaces any of them.
type Init struct {
	Agent string // path of the agent's binary
}

// Component is "pki".
func (Init) Component() string { return "pki" }

func (Init) String() string {
	return "make the cluster's authorities, service account key and encryption key"
}

// Touches names the folder only: the journal must never hold a copy of a key.
func (Init) Touches() []components.Touch { return touches }

var touches = []components.Touch{{Kind: components.KindDir, Name: components.PKI}}

// Apply runs "agent certificates init".
func (a Init) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	return verb(ctx, on, a.Agent, "init")
}

// Issue gives a machine certificates: it makes keys and requests, a master
// signs them, it installs the answer.
type Issue struct {
	Agent  string // path of the agent's binary, the same on both machines
	Signer string // the machine that holds the authorities' keys
	Leaves []Leaf
	// NewKeys has the machine make other keys. They take over together with their
	// certificates.
	NewKeys bool
}

// Component is "pki".
func (Issue) Component() string { return "pki" }

func (a Issue) String() string {
	names := make([]string, len(a.Leaves))
	for i, leaf := range a.Leaves {
		names[i] = leaf.Name
	}
	if a.NewKeys {
		return "make new keys and issue certificates " + strings.Join(names, ", ")
	}
	return "issue certificates " + strings.Join(names, ", ")
}

// Touches names the folder only: the journal must never hold a copy of a key.
func (Issue) Touches() []components.Touch { return touches }

// Apply carries the request to the signer and its answer back. What is signed
// is what the plan says, whatever the machine asked for.
func (a Issue) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	signer, err := site.Machine(a.Signer)
	if err != nil {
		return err
	}
	var requests Requests
	if err := a.run(ctx, on, "request", LeafList{Leaves: a.Leaves, NewKeys: a.NewKeys}, &requests); err != nil {
		return err
	}
	if len(requests.Requests) != len(a.Leaves) {
		return fmt.Errorf("certificates request: %d answers to %d leaves", len(requests.Requests), len(a.Leaves))
	}
	for i, leaf := range a.Leaves {
		if got := requests.Requests[i].Leaf.Name; got != leaf.Name {
			return fmt.Errorf("certificates request: answered %.80q where %q was asked", got, leaf.Name)
		}
		requests.Requests[i].Leaf = leaf
	}
	var signed Signed
	if err := a.run(ctx, signer, "sign", requests, &signed); err != nil {
		return fmt.Errorf("on %s: %w", signer.Name(), err)
	}
	return a.run(ctx, on, "install", signed, nil)
}

func (a Issue) run(ctx context.Context, on components.Machine, verb string, in, out any) error {
	stdin, err := json.Marshal(in)
	if err != nil {
		return err
	}
	stdout, err := on.Run(ctx, []string{a.Agent, "certificates", verb, "--dir", components.PKI}, bytes.NewReader(stdin))
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(stdout, out); err != nil {
		return fmt.Errorf("certificates %s: answer: %w", verb, err)
	}
	return nil
}
