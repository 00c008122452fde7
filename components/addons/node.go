package addons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/components/actions"
)

// RoleLabel is the label by which "kubectl get nodes" shows a role.
func RoleLabel(role components.Role) string {
	if role == components.Master {
		return "node-role.kubernetes.io/control-plane"
	}
	return "node-role.kubernetes.io/worker"
}

// Nodes makes a machine's Node, or gives it its labels and taints, where the
// cluster has it otherwise.
//
// It is planned before worker.Actions, in the same job: with the Node there, kubelet's
// CSINode and kube-proxy's addresses are there at their first look instead of
// after a back-off of seconds, and the pod subnet is given out meanwhile.
func Nodes(c components.Cluster, m components.MachineSpec, facts components.ClusterFacts) []components.Action {
	node := Node{Name: m.Name, Address: m.Address.String(), Labels: map[string]string{RoleLabel(m.Role): ""}, Taints: m.NodeTaints()}
	if m.Address6.IsValid() {
		node.Address6 = m.Address6.String()
	}
	maps.Copy(node.Labels, m.Labels)
	have, there := facts.Nodes[m.Name]
	if there && facts.Applied[node.key()] == node.Sum() && node.labelled(have) && node.tainted(have.Taints) {
		return nil
	}
	return []components.Action{node}
}

// Node is a Node as wanted: what is ours of it.
type Node struct {
	Name    string
	Address string
	// Address6 is left out of the sum where there is none: a cluster of IPv4 alone
	// has the sum that it had before there was this field.
	Address6 string `json:",omitempty"`
	Labels   map[string]string
	Taints   []components.Taint
}

// taintsAnnotation holds the taints that we gave, so that those that left the
// file go, and those that somebody else gave stay.
const taintsAnnotation = "provision.internal/taints"

// key is its name in the inventory.
func (a Node) key() string { return "node." + a.Name }

// Sum is of all that is applied, in hex.
func (a Node) Sum() string {
	text, err := json.Marshal(a) // maps are marshalled in order
	if err != nil {
		panic(err) // strings always marshal
	}
	return components.Sum(text)
}

func (a Node) labelled(have components.NodeFact) bool {
	for name, value := range a.Labels {
		if got, ok := have.Labels[name]; !ok || got != value {
			return false
		}
	}
	return true
}

func (a Node) tainted(have []components.Taint) bool {
	return !slices.ContainsFunc(a.Taints, func(t components.Taint) bool { return !slices.Contains(have, t) })
}

// Component is "node".
func (Node) Component() string { return "node" }

func (a Node) String() string {
	text := "set node " + a.Name + ": labels"
	for i, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if i > 0 {
			text += ","
		}
		text += " " + name
		if value := a.Labels[name]; value != "" {
			text += "=" + value
		}
	}
	for i, t := range a.Taints {
		if i == 0 {
			text += "; taints"
		} else {
			text += ","
		}
		text += " " + t.Key + ":" + t.Effect
	}
	return text
}

// Touches is empty: nothing of it is on the machine.
func (Node) Touches() []components.Touch { return nil }

// apiWithin bounds the wait for the API: on a first run the masters are being
// started while this waits.
const apiWithin = 2 * time.Minute

// Apply waits for the API, then makes or changes the Node.
func (a Node) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	if err := (actions.WaitAPI{Timeout: apiWithin}).Apply(ctx, on, site); err != nil {
		return err
	}
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	if err := a.create(ctx, api); err != nil {
		return err
	}
	if err := a.taint(ctx, api); err != nil {
		return err
	}
	if err := a.label(ctx, api); err != nil {
		return err
	}
	return remember(ctx, api, a.key(), a.Sum())
}

func (a Node) path() string { return "/api/v1/nodes/" + a.Name }

// object is what there is of a Node that matters here.
type object struct {
	Metadata struct {
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		// Of other people's taints everything is kept: "timeAdded" too.
		Taints []map[string]any `json:"taints"`
	} `json:"spec"`
	Status struct {
		Addresses []any `json:"addresses"`
	} `json:"status"`
}

// create makes the Node where there is none, with its taints from the first
// moment on, and the addresses that kubelet will confirm.
func (a Node) create(ctx context.Context, api components.API) error {
	var node object
	err := do(ctx, api, "GET", a.path(), "", nil, &node)
	if errors.Is(err, fs.ErrNotExist) {
		err = do(ctx, api, "POST", "/api/v1/nodes", plainJSON, map[string]any{
			"apiVersion": "v1", "kind": "Node",
			"metadata": map[string]any{"name": a.Name, "labels": a.first()},
			"spec":     map[string]any{"taints": a.taints()},
		}, nil)
		if err != nil {
			// kubelet may have been faster.
			if again := do(ctx, api, "GET", a.path(), "", nil, &node); again != nil {
				return err
			}
		}
	} else if err != nil {
		return err
	}
	if len(node.Status.Addresses) > 0 {
		return nil
	}
	addresses := []map[string]string{{"type": "InternalIP", "address": a.Address}}
	if a.Address6 != "" {
		addresses = append(addresses, map[string]string{"type": "InternalIP", "address": a.Address6})
	}
	addresses = append(addresses, map[string]string{"type": "Hostname", "address": a.Name})
	return do(ctx, api, "PATCH", a.path()+"/status", mergePatch, map[string]any{"status": map[string]any{"addresses": addresses}}, nil)
}

// first are the labels that the Node begins with. Its hostname is kubelet's own
// label, and says the same there: the scheduler spreads by it, and is to count
// this machine from the beginning.
func (a Node) first() map[string]string {
	labels := maps.Clone(a.Labels)
	labels["kubernetes.io/hostname"] = a.Name
	return labels
}

func (a Node) taints() []map[string]any {
	taints := make([]map[string]any, 0, len(a.Taints))
	for _, t := range a.Taints {
		taint := map[string]any{"key": t.Key, "effect": t.Effect}
		if t.Value != "" {
			taint["value"] = t.Value
		}
		taints = append(taints, taint)
	}
	return taints
}

// label applies labels, and the list of our taints, server-side: a label that
// left the file goes, others' stay.
func (a Node) label(ctx context.Context, api components.API) error {
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{
			"name": a.Name, "labels": a.Labels,
			"annotations": map[string]string{taintsAnnotation: a.ownTaints()},
		},
	})
	if err != nil {
		return err
	}
	return api.Apply(ctx, text) // JSON is YAML
}

func (a Node) ownTaints() string {
	names := make([]string, len(a.Taints))
	for i, t := range a.Taints {
		names[i] = t.Key + ":" + t.Effect
	}
	return strings.Join(names, ",")
}

// taintTries bounds how often a change by somebody else makes us begin anew.
const taintTries = 5

// taint gives the taints. They are one atomic list which the controller manager
// writes too, so it is read, changed and written with its version.
func (a Node) taint(ctx context.Context, api components.API) error {
	var err error
	for range taintTries {
		var node object
		if err := do(ctx, api, "GET", a.path(), "", nil, &node); err != nil {
			return err
		}
		taints, changed := a.merge(node)
		if !changed {
			return nil
		}
		err = do(ctx, api, "PATCH", a.path(), mergePatch, map[string]any{
			"metadata": map[string]string{"resourceVersion": node.Metadata.ResourceVersion},
			"spec":     map[string]any{"taints": taints},
		}, nil)
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("taints of node %s: %w", a.Name, err)
}

// merge returns a Node's taints with ours among them, and whether that differs.
func (a Node) merge(node object) ([]map[string]any, bool) {
	wanted := a.taints()
	former := strings.Split(node.Metadata.Annotations[taintsAnnotation], ",")
	if !slices.ContainsFunc(a.Taints, isControlPlane) {
		former = append(former, taintName(components.ControlPlaneTaint.Key, components.ControlPlaneTaint.Effect))
	}
	changed := false
	var kept []map[string]any
	for _, t := range node.Spec.Taints {
		name := taintName(t["key"], t["effect"])
		same := func(w map[string]any) bool { return taintName(w["key"], w["effect"]) == name }
		switch at := slices.IndexFunc(wanted, same); {
		case at >= 0 && sameValue(wanted[at], t):
			kept = append(kept, t)
			wanted = slices.Delete(wanted, at, at+1)
		case at >= 0 || slices.Contains(former, name):
			changed = true // another value, or no longer wanted
		default:
			kept = append(kept, t)
		}
	}
	return append(kept, wanted...), changed || len(wanted) > 0
}

func isControlPlane(t components.Taint) bool { return t.Key == components.ControlPlaneTaint.Key }

func taintName(key, effect any) string { return fmt.Sprintf("%v:%v", key, effect) }

func sameValue(a, b map[string]any) bool {
	return fmt.Sprint(a["value"]) == fmt.Sprint(b["value"])
}
