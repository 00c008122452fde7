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
	// Spares says that the machine stays, and pods that nobody would make anew elsewhere
	// stay on it.
	Spares bool
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

// Mark is the annotation of a Node that a Drain has closed: where the machine stays, or
// comes back into the file, it is opened again, however often runs were killed.
const Mark = "provision.internal/drained"

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
			if failed := set(undo, api, a.Node, nil, nil); failed != nil {
				return errors.Join(err, fmt.Errorf("and it is closed to new pods still: %w", failed))
			}
			err = fmt.Errorf("%w; it takes new pods again", err)
		}
		return err
	}
	return nil
}

// closing is what of a Node says whether it takes pods.
type closing struct {
	Metadata struct{ Annotations map[string]string }
	Spec     struct{ Unschedulable bool }
}

func look(ctx context.Context, api components.API, node string) (closing, error) {
	var found closing
	text, err := api.Do(ctx, "GET", "/api/v1/nodes/"+node, "", nil)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return found, fmt.Errorf("node %s: %w", node, err)
	}
	return found, nil
}

// close closes the Node, and says whether it is this Drain's to open again.
func (a Drain) close(ctx context.Context, api components.API) (bool, error) {
	node, err := look(ctx, api, a.Node)
	if err != nil {
		return false, err
	}
	if node.Spec.Unschedulable {
		return node.Metadata.Annotations[Mark] != "", nil
	}
	return true, set(ctx, api, a.Node, true, "yes")
}

// set closes a Node, or opens it where unschedulable is nil.
func set(ctx context.Context, api components.API, node string, unschedulable, mark any) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{Mark: mark}},
		"spec":     map[string]any{"unschedulable": unschedulable},
	})
	if err != nil {
		return err
	}
	_, err = api.Do(ctx, "PATCH", "/api/v1/nodes/"+node, "application/merge-patch+json", body)
	return err
}

// Open lets new pods come to a Node again that a Drain has closed. One that somebody
// else closed stays closed.
type Open struct {
	Node string
}

// Component is "drain".
func (Open) Component() string { return "drain" }

func (a Open) String() string { return "let new pods come to node " + a.Node + " again" }

// Touches is empty: nothing of it is on the machine.
func (Open) Touches() []components.Touch { return nil }

// Rescue opens it also where what the machine was emptied for has failed.
func (a Open) Rescue(ctx context.Context, on components.Machine, site components.Site, failed error) error {
	if err := a.Apply(ctx, on, site); err != nil {
		return fmt.Errorf("%w; and it takes no new pods: %w", failed, err)
	}
	return failed
}

// Apply opens it.
func (a Open) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	node, err := look(ctx, api, a.Node)
	if err != nil || node.Metadata.Annotations[Mark] == "" {
		return err
	}
	return set(ctx, api, a.Node, nil, nil)
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
	turns := newTurns()
	for {
		pods, err := a.pods(ctx, api)
		if err == nil && len(pods) == 0 {
			return nil
		}
		if failed = err; err == nil {
			held = held[:0]
			now, later := turns.next(ctx, api, pods)
			for _, p := range now {
				held = append(held, p.evict(ctx, api))
			}
			for _, p := range later {
				held = append(held, p.Metadata.Namespace+"/"+p.Metadata.Name+" waits for the one before it to be replaced")
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
	return fmt.Errorf("node %s: %w: %s%s", a.Node, cause, strings.Join(held, "; "), more)
}

// owner is what a pod is one of several of.
type owner struct {
	Kind, Name, UID string
	Controller      bool
}

type pod struct {
	Metadata struct {
		Namespace, Name, UID string
		Annotations          map[string]string
		OwnerReferences      []owner
		DeletionTimestamp    string
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
	return slices.DeleteFunc(list.Items, func(p pod) bool {
		return p.Spec.NodeName != a.Node || p.stays() || a.Spares && p.controller().UID == ""
	}), nil
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
