package addons

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"

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
}

// Component is "addons".
func (Forget) Component() string { return "addons" }

func (a Forget) String() string {
	if a.Silent {
		return "delete node " + a.Machine + ", which does not answer: its pods start elsewhere, so it must be off; it is not cleaned"
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
	if _, err := api.Do(ctx, "DELETE", "/api/v1/nodes/"+a.Machine, "", nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	gone := map[string]any{appliedPrefix + Node{Name: a.Machine}.key(): nil}
	return editInventory(ctx, site, gone, func(present []components.Member) []components.Member {
		return slices.DeleteFunc(present, named(a.Machine))
	})
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
