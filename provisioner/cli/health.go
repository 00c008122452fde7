package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"provision/components"
	"provision/provisioner/plan"
)

// readyPatience is what an API server has to say whether it is ready.
const readyPatience = 5 * time.Second

// elections are the Leases of kube-system whose holder does the work.
var elections = []string{"kube-controller-manager", "kube-scheduler"}

// leaseStatus is who does a work that only one does at a time.
type leaseStatus struct {
	Name    string  `json:"name"`
	Holder  string  `json:"holder"` // a machine
	Renewed float64 `json:"renewedSecondsAgo"`
	Problem string  `json:"problem,omitempty"`
}

// ready asks each master's own API server whether it is ready. The answers are by
// master: "ready", or what is wrong; of a master that was not looked at there is none.
func (s *session) ready(ctx context.Context, found plan.Facts) map[string]string {
	said := map[string]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range s.cluster.Masters() {
		if f, looked := found.Machines[m.Name]; !looked || plan.Untouched(f) {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, readyPatience)
			defer cancel()
			answer := "ready"
			api, err := site{s}.APIOf(ctx, m.Name)
			if err == nil {
				_, err = api.Do(ctx, http.MethodGet, "/readyz", "", nil)
			}
			if err != nil {
				answer = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			said[m.Name] = answer
		})
	}
	all.Wait()
	return said
}

// leases asks who does the work. Each is renewed by its holder's clock, which may
// differ from ours.
func leases(ctx context.Context, api components.API, machines map[string]components.Facts, now time.Time) ([]leaseStatus, error) {
	var all []leaseStatus
	for _, name := range elections {
		data, err := api.Do(ctx, http.MethodGet, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"+name, "", nil)
		if errors.Is(err, fs.ErrNotExist) {
			all = append(all, leaseStatus{Name: name, Problem: "nobody ever held it"})
			continue
		}
		if err != nil {
			return nil, err
		}
		var lease struct {
			Spec struct {
				HolderIdentity       string
				LeaseDurationSeconds int
				RenewTime            time.Time
			}
		}
		if err := json.Unmarshal(data, &lease); err != nil {
			return nil, fmt.Errorf("the Lease %s: %w", name, err)
		}
		status := leaseStatus{Name: name}
		status.Holder, _, _ = strings.Cut(lease.Spec.HolderIdentity, "_")
		status.Renewed = max(now.Add(machines[status.Holder].ClockSkew).Sub(lease.Spec.RenewTime).Seconds(), 0)
		// One whose holder was not looked at is not judged by a clock that is not known.
		_, looked := machines[status.Holder]
		switch {
		case status.Holder == "":
			status.Renewed, status.Problem = 0, "nobody holds it"
		case looked && status.Renewed > float64(2*lease.Spec.LeaseDurationSeconds+5):
			status.Problem = "its holder does not renew it"
		}
		all = append(all, status)
	}
	return all, nil
}
