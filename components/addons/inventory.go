package addons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"provision/components"
)

// machinesKey is the inventory's key that holds a JSON list of components.Member.
// provisioner/kube reads it.
const machinesKey = "machines"

// Enrol notes machines in the inventory, beside those that are there: one that left
// the file stays until Forget, so that no run loses sight of it.
type Enrol struct {
	Cluster  string
	Machines []components.Member
}

// Component is "addons".
func (Enrol) Component() string { return "addons" }

func (Enrol) String() string { return "note the machines in the inventory" }

// Touches is empty: nothing of it is on the machine.
func (Enrol) Touches() []components.Touch { return nil }

// Apply notes them.
func (a Enrol) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	return editInventory(ctx, site, map[string]any{"cluster": a.Cluster}, func(present []components.Member) []components.Member {
		list := slices.Clone(a.Machines)
		for _, m := range present {
			if !slices.ContainsFunc(list, named(m.Name)) {
				list = append(list, m)
			}
		}
		return list
	})
}

// Forget deletes a machine's Node and takes it out of the inventory: the last that
// is heard of it.
type Forget struct {
	Machine string
	// Silent says that the machine did not answer: nothing on it was stopped.
	Silent bool
	// Blank says that what answers has nothing of the cluster: an earlier run has cleaned
	// it, or it is another machine.
	Blank bool
}

// Component is "addons".
func (Forget) Component() string { return "addons" }

func (a Forget) String() string {
	if a.Silent {
		return "delete node " + a.Machine + ", which does not answer: its pods start elsewhere, so it must be off; it is not cleaned"
	}
	if a.Blank {
		return "delete node " + a.Machine + " and forget the machine, which has nothing of the cluster any more"
	}
	return "delete node " + a.Machine + " and forget the machine"
}

// Touches is empty: nothing of it is on the machine.
func (Forget) Touches() []components.Touch { return nil }

// Apply forgets it.
func (a Forget) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	if a.Silent || a.Blank {
		// It may have come back to life, or live elsewhere: its pods would run twice.
		if err := dead(ctx, api, a.Machine); err != nil {
			return err
		}
	}
	if _, err := api.Do(ctx, "DELETE", "/api/v1/nodes/"+a.Machine, "", nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	gone := map[string]any{appliedPrefix + Node{Name: a.Machine}.key(): nil}
	return editInventory(ctx, site, gone, func(present []components.Member) []components.Member {
		return slices.DeleteFunc(present, named(a.Machine))
	})
}

// lostWithin is more than it takes until a Node whose kubelet has ended is not Ready any
// more, and lostPause is between two looks.
const (
	lostWithin = 20 * time.Second
	lostPause  = 500 * time.Millisecond
)

// dead waits until a machine's Node is not Ready, or is not there.
func dead(ctx context.Context, api components.API, name string) error {
	for end := time.Now().Add(lostWithin); ; {
		alive, _, err := NodeState(ctx, api, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || !alive:
			return err
		case time.Now().After(end):
			return fmt.Errorf("its Node is Ready: its pods run somewhere, and would run twice; make %s answer as the machine that it was, or power it off, and run again", name)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lostPause):
		}
	}
}

// NodeState says whether a Node is Ready, and of which version its kubelet is ("v1.36.3");
// fs.ErrNotExist where there is none.
func NodeState(ctx context.Context, api components.API, name string) (ready bool, version string, err error) {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status string }
			NodeInfo   struct{ KubeletVersion string }
		}
	}
	if err := do(ctx, api, "GET", "/api/v1/nodes/"+name, "", nil, &node); err != nil {
		return false, "", err
	}
	for _, condition := range node.Status.Conditions {
		ready = ready || condition.Type == "Ready" && condition.Status == "True"
	}
	return ready, node.Status.NodeInfo.KubeletVersion, nil
}

// Renewed says when a Node's kubelet renewed its Lease last, by the kubelet's own clock:
// only that it is another than before tells anything.
func Renewed(ctx context.Context, api components.API, name string) (string, error) {
	var lease struct{ Spec struct{ RenewTime string } }
	err := do(ctx, api, "GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+name, "", nil, &lease)
	return lease.Spec.RenewTime, err
}

func named(name string) func(components.Member) bool {
	return func(m components.Member) bool { return m.Name == name }
}

// editInventory changes the list of machines, and sets the other keys as well. Whoever
// changes machines holds the cluster's lock: nobody else edits the list meanwhile.
func editInventory(ctx context.Context, site components.Site, keys map[string]any, edit func([]components.Member) []components.Member) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	var inventory struct{ Data map[string]string }
	err = do(ctx, api, "GET", inventoryPath+"/"+inventoryName, "", nil, &inventory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list, err := json.Marshal(edit(components.ParseInventory(inventory.Data[machinesKey])))
	if err != nil {
		return err
	}
	keys[machinesKey] = string(list)
	return note(ctx, api, keys)
}

// NodeNames are the names of all Nodes that there are.
func NodeNames(ctx context.Context, api components.API) ([]string, error) {
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	if err := do(ctx, api, "GET", "/api/v1/nodes", "", nil, &list); err != nil {
		return nil, err
	}
	names := make([]string, len(list.Items))
	for i, item := range list.Items {
		names[i] = item.Metadata.Name
	}
	return names, nil
}

// Keep forgets every machine of the inventory but those named.
func Keep(ctx context.Context, site components.Site, names []string) error {
	return editInventory(ctx, site, map[string]any{}, func(present []components.Member) []components.Member {
		return slices.DeleteFunc(present, func(m components.Member) bool { return !slices.Contains(names, m.Name) })
	})
}
