package addons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"provision/components"
)

// Restart begins the pods of one of our Deployments anew, as "kubectl rollout restart"
// does: they read some things only when they start.
type Restart struct {
	Deployment components.Object
}

// Readers are those of our addons whose pods read the cluster's authority when they start.
// CoreDNS reads it again.
func Readers(c components.Cluster) []components.Action {
	var readers []components.Action
	for _, reader := range []struct {
		on              bool
		namespace, name string
	}{
		{c.Addons.Metrics, "kube-system", "metrics-server"},
		{c.Addons.Storage, "local-path-storage", "local-path-provisioner"},
	} {
		if reader.on {
			readers = append(readers, Restart{components.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: reader.namespace, Name: reader.name}})
		}
	}
	return readers
}

// Component is "addons".
func (Restart) Component() string { return "addons" }

func (a Restart) String() string { return "begin the pods of " + a.Deployment.Name + " anew" }

// Touches is empty: nothing of it is on the machine.
func (Restart) Touches() []components.Touch { return nil }

// Apply changes an annotation of its pods. The new ones are not waited for: where there is
// no room for them the old ones go on.
func (a Restart) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	path, err := api.Path(ctx, a.Deployment)
	if err != nil {
		return err
	}
	annotations := map[string]any{"provision.internal/restarted": time.Now().UTC().Format(time.RFC3339)}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": annotations}}}})
	if err != nil {
		return err
	}
	_, err = api.Do(ctx, "PATCH", path, "application/merge-patch+json", patch)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // one that somebody deleted is `up`'s to bring back
		return fmt.Errorf("%s: %w", a.Deployment, err)
	}
	return nil
}
