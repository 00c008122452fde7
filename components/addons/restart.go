package addons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"provision/components"
	"provision/components/pki"
)

// Restart begins the pods of one of our Deployments anew, as "kubectl rollout restart"
// does: they read some things only when they start.
type Restart struct {
	Deployment components.Object
	// Authority is what pods are to find as the cluster's, in PEM: a controller manager
	// publishes it. "" for whatever there is.
	Authority string
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
			readers = append(readers, Restart{
				Deployment: components.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: reader.namespace, Name: reader.name},
				Authority:  c.Trust[pki.ClusterCA].All,
			})
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
	if err := a.published(ctx, api); err != nil {
		return err
	}
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

// publishedWithin bounds the wait for the authority: whoever leads the controller managers
// may have to be chosen first.
const publishedWithin = 30 * time.Second

// published waits until pods that begin find the authority, but not for ever: API servers
// prove who they are to those who know only the one before, too.
func (a Restart) published(ctx context.Context, api components.API) error {
	for end := time.Now().Add(publishedWithin); a.Authority != ""; {
		text, err := api.Do(ctx, "GET", "/api/v1/namespaces/"+a.Deployment.Namespace+"/configmaps/kube-root-ca.crt", "", nil)
		var found struct{ Data map[string]string }
		if err == nil {
			err = json.Unmarshal(text, &found)
		}
		if err == nil && found.Data["ca.crt"] == a.Authority || errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	return nil
}
