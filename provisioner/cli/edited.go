package cli

import (
	"context"

	"golang.org/x/sync/errgroup"

	"provision/components"
	"provision/components/addons"
	"provision/provisioner/kube"
)

// edited are the objects, by their addon, that somebody changed since they were applied.
// An addon that is to be applied anyhow is not looked at.
func edited(ctx context.Context, client *kube.Client, c components.Cluster, applied map[string]string) (map[string][]string, error) {
	all := addons.All(c)
	found := make([][]string, len(all))
	var group errgroup.Group
	for i, addon := range all {
		if applied[addon.Name] == addon.Sum {
			group.Go(func() (err error) {
				found[i], err = client.Edited(ctx, addon.Manifests)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	edited := map[string][]string{}
	for i, addon := range all {
		if len(found[i]) > 0 {
			edited[addon.Name] = found[i]
		}
	}
	return edited, nil
}
