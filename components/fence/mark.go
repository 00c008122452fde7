package fence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"provision/components"
)

// Mark taints a machine's Node as out of service.
type Mark struct {
	Node string
	Via  []string // masters whose API servers are asked, in order
	// Stopped says that everything on the machine was seen to be stopped. Else it
	// is somebody's word that it is dead, and a Node that is Ready refutes that.
	Stopped bool
}

// Component is "fence".
func (Mark) Component() string { return "fence" }

func (a Mark) String() string {
	return "mark node " + a.Node + " as out of service: its pods are deleted, its volumes detached, and both may start elsewhere"
}

// Touches is empty: nothing of it is on the machine.
func (Mark) Touches() []components.Touch { return nil }

// Apply marks it, unless it is marked.
func (a Mark) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	return change(ctx, site, a.Via, a.Node, func(n node) ([]map[string]any, error) {
		if n.ready() && !a.Stopped {
			return nil, fmt.Errorf("node %s is Ready: its kubelet runs, and so do its pods", a.Node)
		}
		if slices.ContainsFunc(n.Spec.Taints, isMark) {
			return n.Spec.Taints, nil
		}
		return append(slices.Clone(n.Spec.Taints), map[string]any{"key": Taint.Key, "value": Taint.Value, "effect": Taint.Effect}), nil
	})
}

// Unmark takes the mark away.
type Unmark struct {
	Node string
	Via  []string
}

// Component is "fence".
func (Unmark) Component() string { return "fence" }

func (a Unmark) String() string { return "take the mark from node " + a.Node + ": pods may run there" }

// Touches is empty.
func (Unmark) Touches() []components.Touch { return nil }

// Apply takes it away where it is there.
func (a Unmark) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	return change(ctx, site, a.Via, a.Node, func(n node) ([]map[string]any, error) {
		return slices.DeleteFunc(slices.Clone(n.Spec.Taints), isMark), nil
	})
}

func isMark(taint map[string]any) bool { return taint["key"] == Taint.Key }

// node is what there is of a Node that matters here. Of others' taints
// everything is kept.
type node struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Taints []map[string]any `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func (n node) ready() bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}

func get(ctx context.Context, api components.API, name string) (node, error) {
	var n node
	text, err := api.Do(ctx, "GET", "/api/v1/nodes/"+name, "", nil)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(text, &n)
}

// tries bounds how often somebody else's change makes us begin anew: taints are
// one list, which the controller manager writes too.
const tries = 5

func change(ctx context.Context, site components.Site, via []string, name string, edit func(node) ([]map[string]any, error)) error {
	api, err := serving(ctx, site, via)
	if err != nil {
		return err
	}
	for range tries {
		var n node
		if n, err = get(ctx, api, name); err != nil {
			return err
		}
		taints, refused := edit(n)
		if refused != nil {
			return refused
		}
		if len(taints) == len(n.Spec.Taints) {
			return nil
		}
		var body []byte
		if body, err = json.Marshal(map[string]any{
			"metadata": map[string]string{"resourceVersion": n.Metadata.ResourceVersion},
			"spec":     map[string]any{"taints": taints},
		}); err != nil {
			return err
		}
		if _, err = api.Do(ctx, "PATCH", "/api/v1/nodes/"+name, "application/merge-patch+json", body); err == nil {
			return nil
		}
	}
	return fmt.Errorf("taints of node %s: %w", name, err)
}
