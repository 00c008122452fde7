package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/components/pki"
	"provision/overlay"
	"provision/provisioner/plan"
)

// expiresSoon is when a certificate's end is worth a warning, where it lives for longer
// than that: machines renew theirs at half of the time.
const expiresSoon = 30 * 24 * time.Hour

// extra is what status asks the API for beyond what a plan needs.
type extra struct {
	version  string            // the API server's: "1.36.3"
	modes    map[string]string // how the overlay encrypts, by node
	policies []string          // namespace/name of network policies, a few of them
	leases   []leaseStatus
}

// maxPolicies bounds how many network policies are named.
const maxPolicies = 5

func askMore(ctx context.Context, api components.API) (extra, error) {
	more := extra{modes: map[string]string{}}
	data, err := api.Do(ctx, http.MethodGet, "/api/v1/nodes", "", nil)
	if err != nil {
		return more, err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Namespace, Name string
				Annotations     map[string]string
			}
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return more, fmt.Errorf("the list of nodes: %w", err)
	}
	for _, node := range list.Items {
		var said struct{ Mode string }
		if json.Unmarshal([]byte(node.Metadata.Annotations[overlay.Annotation]), &said) == nil {
			more.modes[node.Metadata.Name] = said.Mode
		}
	}
	if data, err = api.Do(ctx, http.MethodGet, "/version", "", nil); err != nil {
		return more, err
	}
	var is struct{ GitVersion string }
	if err := json.Unmarshal(data, &is); err != nil {
		return more, fmt.Errorf("the API server's version: %w", err)
	}
	more.version = strings.TrimPrefix(is.GitVersion, "v")
	list.Items = nil
	data, err = api.Do(ctx, http.MethodGet, fmt.Sprintf("/apis/networking.k8s.io/v1/networkpolicies?limit=%d", maxPolicies), "", nil)
	if err != nil {
		return more, err
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return more, fmt.Errorf("the list of network policies: %w", err)
	}
	for _, policy := range list.Items {
		more.policies = append(more.policies, policy.Metadata.Namespace+"/"+policy.Metadata.Name)
	}
	return more, nil
}

// warnings are of what goes on working for now, and will not always, or does not
// do what somebody believes.
func warnings(c components.Cluster, found plan.Facts, more extra, now time.Time) []string {
	var all []string
	soon, within := expiresSoon, "30 days"
	if third := pki.Lifetime(c) / 3; third < soon {
		soon, within = third, third.String()
	}
	for _, m := range c.Machines {
		certificates := found.Machines[m.Name].Certificates
		var names []string
		var first time.Time
		for name, certificate := range certificates {
			if certificate.NotAfter.Sub(now) < soon {
				names = append(names, name)
				if first.IsZero() || certificate.NotAfter.Before(first) {
					first = certificate.NotAfter
				}
			}
		}
		if slices.Sort(names); len(names) > 0 {
			all = append(all, fmt.Sprintf("%s: %d of its certificates end within %s, the first (one of %s) on %s: `provision up` renews them",
				m.Name, len(names), within, some(names), first.UTC().Format(time.DateOnly)))
		}
	}
	if plan.Rotating(c, found) {
		all = append(all, "the authorities are being replaced, and that has not come to its end: `provision certs rotate --ca` goes on with it")
	}
	if len(more.policies) > 0 {
		all = append(all, fmt.Sprintf("there are network policies (%s), and nothing in this cluster enforces them: pods that they should keep apart reach each other", some(more.policies)))
	}
	return all
}

// some names the first few of many.
func some(names []string) string {
	const few = 3
	text := ""
	for i, name := range names[:min(few, len(names))] {
		if i > 0 {
			text += ", "
		}
		text += name
	}
	if len(names) > few {
		text += ", ..."
	}
	return text
}
