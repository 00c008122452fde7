package pki

import (
	"context"
	"fmt"

	"provision/components"
	"provision/overlay"
)

// MakePresharedKey makes, on the first master, the secret that goes into every
// handshake of the overlay. It never replaces one.
type MakePresharedKey struct {
	Agent string // path of the agent's binary
}

// Component is "pki".
func (MakePresharedKey) Component() string { return "pki" }

func (MakePresharedKey) String() string { return "make the overlay's pre-shared key" }

// Touches is empty: the file is in a folder that only we use.
func (MakePresharedKey) Touches() []components.Touch { return nil }

// Apply runs "agent certificates preshared-key".
func (a MakePresharedKey) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{a.Agent, "certificates", "preshared-key", "--file", components.PresharedKey}, nil)
	return err
}

// CopyPresharedKey brings a machine the first master's key. It passes through
// the provisioner's memory, and through nothing else.
type CopyPresharedKey struct {
	From string // the machine that has it
}

// Component is "pki".
func (CopyPresharedKey) Component() string { return "pki" }

func (a CopyPresharedKey) String() string { return "copy the overlay's pre-shared key from " + a.From }

// Touches is empty: the file is in a folder that only we use.
func (CopyPresharedKey) Touches() []components.Touch { return nil }

// Apply carries it over. What is no key is not passed on, and not quoted.
func (a CopyPresharedKey) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	from, err := site.Machine(a.From)
	if err != nil {
		return err
	}
	text, err := from.ReadFile(ctx, components.PresharedKey)
	if err != nil {
		return fmt.Errorf("on %s: %w", from.Name(), err)
	}
	key, err := overlay.ParsePresharedKey(text)
	if err != nil {
		return fmt.Errorf("on %s: %s: %w", from.Name(), components.PresharedKey, err)
	}
	return on.WriteFile(ctx, components.PresharedKey, 0o600, key.PresharedKeyText())
}
