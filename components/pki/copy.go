package pki

import (
	"bytes"
	"context"
	"fmt"

	"provision/components"
)

// CopyAuthorities brings another master the authorities, the service account
// key and the encryption key. They pass through the provisioner's memory, and
// through nothing else.
type CopyAuthorities struct {
	Agent string // path of the agent's binary, the same on both machines
	From  string // the master that has them
	Next  bool   // those that are to follow, which are authorities alone
}

// Component is "pki".
func (CopyAuthorities) Component() string { return "pki" }

func (a CopyAuthorities) String() string {
	if a.Next {
		return "copy the authorities that are to follow from " + a.From
	}
	return "copy the authorities, the service account key and the encryption key from " + a.From
}

// Touches is what certificates are kept in.
func (CopyAuthorities) Touches() []components.Touch { return touches }

// Apply carries them over. A master that has others is left as it is: that is an error.
func (a CopyAuthorities) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	from, err := site.Machine(a.From)
	if err != nil {
		return err
	}
	what := "authorities"
	if a.Next {
		what = "next"
	}
	secrets, err := from.Run(ctx, []string{a.Agent, "certificates", "export-" + what, "--dir", components.PKI}, nil)
	if err != nil {
		return fmt.Errorf("on %s: %w", from.Name(), err)
	}
	_, err = on.Run(ctx, []string{a.Agent, "certificates", "import-" + what, "--dir", components.PKI}, bytes.NewReader(secrets))
	return err
}
