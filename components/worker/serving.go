package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"provision/components"
	"provision/components/pki"
)

// foreignServing says that kubelet serves with a certificate of another authority than
// the cluster's. kubelet itself asks for another only when that comes to its end, or when
// it starts and finds none.
func foreignServing(c components.Cluster, f components.Facts) bool {
	have, there := f.Certificates[pki.KubeletServer]
	trust := c.Trust[pki.ClusterCA]
	if !there && trust.All != trust.Settled { // a run ended after DropServing: kubelet serves with it from memory
		return f.Units[kubelet].Active == "active"
	}
	signs := trust.Signs
	// A machine that has lost the authority's certificate cannot tell, and gets it again.
	return there && signs != "" && pki.Sum(f, pki.ClusterCA) != "" && have.Authority != signs
}

// DropServing takes the certificate with which kubelet serves away. Until kubelet is
// restarted it serves with it still.
type DropServing struct{}

// Component is "worker".
func (DropServing) Component() string { return "worker" }

func (DropServing) String() string { return "drop the certificate with which kubelet serves" }

// Touches is empty: the folder is kubelet's, and goes with it.
func (DropServing) Touches() []components.Touch { return nil }

// Apply deletes the link: kubelet keeps certificates of before beside it.
func (DropServing) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{"rm", "-f", "--", pki.KubeletServerFile}, nil)
	return err
}

// AwaitServing waits until kubelet serves with a certificate of the authority that signs.
type AwaitServing struct {
	Agent     string // path of the agent's binary
	Authority string // SHA-256 (hex) of the authority's certificate
}

// How long a certificate is waited for, and how often one of the authority of before is
// given back: a controller manager may need a moment to read the new authority.
const (
	servesWithin = time.Minute
	servesAgain  = 5
	glance       = 300 * time.Millisecond
)

// Component is "worker".
func (AwaitServing) Component() string { return "worker" }

func (AwaitServing) String() string { return "wait until kubelet serves with another certificate" }

// Touches is empty.
func (AwaitServing) Touches() []components.Touch { return nil }

// Interruptible says that the next run looks again.
func (AwaitServing) Interruptible() bool { return true }

// Apply looks until it is so.
func (a AwaitServing) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, servesWithin)
	defer cancel()
	again := servesAgain
	for {
		out, err := on.Run(ctx, []string{a.Agent, "certificates", "list", "--dir", components.PKI}, nil)
		if err != nil {
			return err
		}
		var has map[string]components.CertFact
		if err := json.Unmarshal(out, &has); err != nil {
			return fmt.Errorf("certificates list: answer: %w", err)
		}
		serving, there := has[pki.KubeletServer]
		switch {
		case there && serving.Authority == a.Authority:
			return nil
		case there && again == 0:
			return errors.New("kubelet's certificate is signed by the authority of before again and again: `provision logs FILE controller-manager` may say why")
		case there:
			again--
			if err := (DropServing{}).Apply(ctx, on, site); err != nil {
				return err
			}
			if _, err := on.Run(ctx, []string{"systemctl", "restart", kubelet}, nil); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kubelet has no certificate to serve with: is its request approved? %w", context.Cause(ctx))
		case <-time.After(glance):
		}
	}
}
