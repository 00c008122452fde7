package addons

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"provision/components"
)

// Apply applies one addon and remembers that it did.
type Apply struct {
	Name      string // in the inventory: "coredns"
	What      string // for a person: "CoreDNS"
	Manifests []byte `json:"-"`
	Sum       string // SHA-256 of the manifests, in hex
	// Edited are the objects that somebody changed or deleted.
	Edited []string `json:",omitempty"`
	// Objects are what the manifests hold, of an addon that can be taken away, and
	// Drop what an earlier form of it brought and this one does not.
	Objects []components.Object `json:",omitempty"`
	Drop    []components.Object `json:",omitempty"`
	// Manager is the field manager, where that is not provision's own; Namespace is
	// then where objects are that name none.
	Manager   string `json:",omitempty"`
	Namespace string `json:",omitempty"`
	Healthy   bool   `json:",omitempty"` // wait until the objects are healthy; what is not is applied again
}

func newApply(name, what string, manifests []byte) Apply {
	return Apply{Name: name, What: what, Manifests: manifests, Sum: components.Sum(manifests)}
}

// Component is "addons".
func (Apply) Component() string { return "addons" }

func (a Apply) String() string {
	text := "apply " + a.What
	if len(a.Edited) > 0 {
		text += ", of which somebody changed " + strings.Join(a.Edited, ", ")
	}
	if len(a.Drop) > 0 {
		text += ", and delete " + list(a.Drop)
	}
	return text
}

// Touches is empty: nothing of it is on the machine.
func (Apply) Touches() []components.Touch { return nil }

// Apply applies the manifests server-side, deletes what is not among them any more,
// then notes their sum. What it brings is noted first, and that nothing is applied as it
// was: a run that is killed leaves nothing that nobody knows of, or takes for done.
func (a Apply) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	if len(a.Objects) > 0 {
		brought := slices.Concat(a.Objects, a.Drop)
		if err := note(ctx, api, map[string]any{objectsPrefix + a.Name: listed(brought), appliedPrefix + a.Name: nil}); err != nil {
			return err
		}
	}
	if a.Manager == "" {
		err = api.Apply(ctx, a.Manifests)
	} else {
		err = api.ApplyAs(ctx, a.Manager, a.Namespace, a.Manifests)
	}
	if err != nil {
		return err
	}
	keys := map[string]any{appliedPrefix + a.Name: a.Sum}
	if len(a.Drop) > 0 {
		if err := deleteAll(ctx, api, a.Drop); err != nil {
			return err
		}
		keys[objectsPrefix+a.Name] = listed(a.Objects)
	}
	if a.Healthy {
		if err := awaitHealth(ctx, api, a.Objects); err != nil {
			return err
		}
	}
	return note(ctx, api, keys)
}

// The ConfigMap that remembers. Its keys "applied.<name>" and "objects.<name>" are read
// by provisioner/kube.
const (
	inventoryPath = "/api/v1/namespaces/kube-system/configmaps"
	inventoryName = "provision-inventory"
	appliedPrefix = "applied."
	objectsPrefix = "objects."
)

// remember notes the sum of what was applied. It is a patch of one key, so that
// machines that note side by side do not undo each other's.
func remember(ctx context.Context, api components.API, name, sum string) error {
	return note(ctx, api, map[string]any{appliedPrefix + name: sum})
}

// note sets keys of the inventory, and makes it where there is none; nil deletes one.
func note(ctx context.Context, api components.API, keys map[string]any) error {
	object := map[string]any{"data": keys}
	patch := func() error {
		return do(ctx, api, "PATCH", inventoryPath+"/"+inventoryName, mergePatch, object, nil)
	}
	err := patch()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	create := do(ctx, api, "POST", inventoryPath, plainJSON, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]string{"name": inventoryName, "namespace": "kube-system"},
	}, nil)
	// Somebody else may have made it in between; then the patch says what is wrong, if anything is.
	if err := patch(); err != nil {
		return errors.Join(create, err)
	}
	return nil
}

// Content types of the API.
const (
	plainJSON  = "application/json"
	mergePatch = "application/merge-patch+json"
)

// do sends an object and reads the answer into out, where that is not nil.
func do(ctx context.Context, api components.API, method, path, contentType string, object, out any) error {
	var body []byte
	if object != nil {
		var err error
		if body, err = json.Marshal(object); err != nil {
			return err
		}
	}
	answer, err := api.Do(ctx, method, path, contentType, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}
