package addons

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"provision/components"
)

// readyWithin bounds the wait for the whole cluster: images are on the machines
// already, so what is left is starting processes.
const readyWithin = 3 * time.Minute

// WaitReady waits until the Nodes are ready and DNS serves, where that is ours.
type WaitReady struct {
	Nodes []string
	DNS   bool
}

// Component is "addons".
func (WaitReady) Component() string { return "addons" }

func (a WaitReady) String() string {
	if !a.DNS {
		return "wait until " + strings.Join(a.Nodes, ", ") + " can be used"
	}
	return "wait until " + strings.Join(a.Nodes, ", ") + " and DNS are ready"
}

// Interruptible says that nothing is lost by not waiting.
func (WaitReady) Interruptible() bool { return true }

// Touches is empty.
func (WaitReady) Touches() []components.Touch { return nil }

// Apply asks again and again; what is not ready in the end is the error.
func (a WaitReady) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	began := time.Now()
	var last error // what was wrong, not that time was up
	for {
		missing, err := a.look(ctx, site)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if err == nil {
			last = fmt.Errorf("%s not ready after %s", strings.Join(missing, ", "), time.Since(began).Round(time.Second))
		} else if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(a.pause()):
		}
	}
}

// pause is the time between two looks. Each brings all Nodes, of 5 kB or so, through
// the operator's link: of hundreds, ten times a second would be more than it carries.
func (a WaitReady) pause() time.Duration {
	return max(100*time.Millisecond, time.Duration(len(a.Nodes))*4*time.Millisecond)
}

func (a WaitReady) look(ctx context.Context, site components.Site) ([]string, error) {
	api, err := site.API(ctx)
	if err != nil {
		return nil, err
	}
	return a.missing(ctx, api)
}

// missing names what is not ready yet.
func (a WaitReady) missing(ctx context.Context, api components.API) ([]string, error) {
	ready, err := readyNodes(ctx, api)
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(a.Nodes), func(name string) bool { return ready[name] })
	if len(missing) > 0 || !a.DNS {
		return missing, nil
	}
	var dns struct {
		Status struct {
			AvailableReplicas int `json:"availableReplicas"`
		} `json:"status"`
	}
	text, err := api.Do(ctx, "GET", "/apis/apps/v1/namespaces/kube-system/deployments/coredns", "", nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &dns); err != nil {
		return nil, err
	}
	if dns.Status.AvailableReplicas == 0 {
		return []string{"DNS"}, nil
	}
	return nil, nil
}

func readyNodes(ctx context.Context, api components.API) (map[string]bool, error) {
	text, err := api.Do(ctx, "GET", "/api/v1/nodes?resourceVersion=0", "", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, node := range list.Items {
		for _, condition := range node.Status.Conditions {
			ready[node.Metadata.Name] = ready[node.Metadata.Name] || condition.Type == "Ready" && condition.Status == "True"
		}
	}
	return ready, nil
}
