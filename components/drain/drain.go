// Package drain empties a machine of its pods before it goes: it closes the Node to
// new ones and evicts those that are there, which PodDisruptionBudgets may delay.
// Pods of DaemonSets and kubelet's own stay until the machine itself goes.
package drain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"provision/components"
)

// within bounds a drain, and pause is between two looks.
const (
	within = 5 * time.Minute
	pause  = 500 * time.Millisecond
)

// Drain evicts the pods of a Node. Where they do not all go, the Node is opened
// again, unless it was closed before, and the error names what held them.
type Drain struct {
	Node    string
	Timeout time.Duration // 0: 5 minutes
}

// Component is "drain".
func (Drain) Component() string { return "drain" }

func (a Drain) String() string {
	return "close node " + a.Node + " to new pods and evict those that it has"
}

// Touches is empty: nothing of it is on the machine.
func (Drain) Touches() []components.Touch { return nil }

// Interruptible says that the next run goes on where this one was.
func (Drain) Interruptible() bool { return true }

// Apply drains.
func (a Drain) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	closed, err := a.close(ctx, api)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has no Node: kubelet never came, or an earlier run got this far
	}
	if err != nil {
		return err
	}
	if err := a.empty(ctx, api); err != nil {
		if closed {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, a.set(undo, api, nil))
		}
		return err
	}
	return nil
}

func (a Drain) path() string { return "/api/v1/nodes/" + a.Node }

// close closes the Node, and says whether it was open.
func (a Drain) close(ctx context.Context, api components.API) (bool, error) {
	text, err := api.Do(ctx, "GET", a.path(), "", nil)
	if err != nil {
		return false, err
	}
	var node struct{ Spec struct{ Unschedulable bool } }
	if err := json.Unmarshal(text, &node); err != nil {
		return false, fmt.Errorf("node %s: %w", a.Node, err)
	}
	if node.Spec.Unschedulable {
		return false, nil
	}
	return true, a.set(ctx, api, true)
}

func (a Drain) set(ctx context.Context, api components.API, unschedulable any) error {
	body, err := json.Marshal(map[string]any{"spec": map[string]any{"unschedulable": unschedulable}})
	if err != nil {
		return err
	}
	_, err = api.Do(ctx, "PATCH", a.path(), "application/merge-patch+json", body)
	return err
}

// empty evicts until nothing is left.
func (a Drain) empty(ctx context.Context, api components.API) error {
	timeout := a.Timeout
	if timeout == 0 {
		timeout = within
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not empty after %s", timeout))
	defer cancel()
	var held []string // what was not evicted at the last look, and why
	var failed error  // a look that got no answer: a master may be going
	for {
		pods, err := a.pods(ctx, api)
		if err == nil && len(pods) == 0 {
			return nil
		}
		if failed = err; err == nil {
			held = held[:0]
			for _, p := range pods {
				held = append(held, p.evict(ctx, api))
			}
		}
		select {
		case <-ctx.Done():
			return a.stuck(context.Cause(ctx), held, failed)
		case <-time.After(pause):
		}
	}
}

// mostNamed bounds how many pods an error names.
const mostNamed = 5

func (a Drain) stuck(cause error, held []string, failed error) error {
	if failed != nil && !errors.Is(failed, context.DeadlineExceeded) && !errors.Is(failed, context.Canceled) {
		return fmt.Errorf("node %s: %w: %w", a.Node, cause, failed)
	}
	more := ""
	if n := len(held) - mostNamed; n > 0 {
		held, more = held[:mostNamed], fmt.Sprintf("; and %d more", n)
	}
	return fmt.Errorf("node %s: %w; it takes new pods again: %s%s", a.Node, cause, strings.Join(held, "; "), more)
}

type pod struct {
	Metadata struct {
		Namespace, Name, UID string
		Annotations          map[string]string
		OwnerReferences      []struct {
			Kind       string
			Controller bool
		}
		DeletionTimestamp string
	}
	Spec   struct{ NodeName string }
	Status struct{ Phase string }
}

// pods are those that have to go.
func (a Drain) pods(ctx context.Context, api components.API) ([]pod, error) {
	text, err := api.Do(ctx, "GET", "/api/v1/pods?fieldSelector="+url.QueryEscape("spec.nodeName="+a.Node), "", nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Items []pod }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("the list of pods: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(p pod) bool { return p.Spec.NodeName != a.Node || p.stays() }), nil
}

// stays says that a pod is no concern of a drain.
func (p pod) stays() bool {
	if _, mirror := p.Metadata.Annotations["kubernetes.io/config.mirror"]; mirror {
		return true
	}
	for _, owner := range p.Metadata.OwnerReferences {
		if owner.Controller && owner.Kind == "DaemonSet" {
			return true
		}
	}
	return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed"
}

// evict asks for a pod to go, and says what holds it.
func (p pod) evict(ctx context.Context, api components.API) string {
	name := p.Metadata.Namespace + "/" + p.Metadata.Name
	if p.Metadata.DeletionTimestamp != "" {
		return name + " has not ended yet"
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "policy/v1", "kind": "Eviction",
		"metadata":      map[string]string{"namespace": p.Metadata.Namespace, "name": p.Metadata.Name},
		"deleteOptions": map[string]any{"preconditions": map[string]string{"uid": p.Metadata.UID}},
	})
	if err != nil {
		return name + ": " + err.Error()
	}
	_, err = api.Do(ctx, "POST", "/api/v1/namespaces/"+p.Metadata.Namespace+"/pods/"+p.Metadata.Name+"/eviction", "application/json", body)
	var refused interface{ HTTPStatus() int }
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return name + " has not ended yet"
	case errors.As(err, &refused) && refused.HTTPStatus() == http.StatusTooManyRequests:
		return name + " may not be evicted, by its PodDisruptionBudget"
	}
	return name + ": " + err.Error()
}
