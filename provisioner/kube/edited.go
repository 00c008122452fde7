package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"provision/components"
	"provision/components/manifest"
)

// Edited looks up each object of YAML documents, and names those that are not there,
// or not as the documents have them.
func (c *Client) Edited(ctx context.Context, manifests []byte) ([]string, error) {
	documents, err := manifest.Split(manifests)
	if err != nil {
		return nil, err
	}
	differ := make([]bool, len(documents))
	var group errgroup.Group
	group.SetLimit(8)
	for i, m := range documents {
		group.Go(func() (err error) {
			differ[i], err = c.edited(ctx, m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var names []string
	for i, m := range documents {
		if differ[i] {
			names = append(names, m.Object.String())
		}
	}
	return names, nil
}

func (c *Client) edited(ctx context.Context, m manifest.Document) (bool, error) {
	path, err := c.Path(ctx, m.Object)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	data, err := c.Do(ctx, http.MethodGet, path, "", nil)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var want, have map[string]any
	if err := yaml.Unmarshal(m.Body, &want); err != nil {
		return false, fmt.Errorf("%s: %w", m.Object, err)
	}
	if err := json.Unmarshal(data, &have); err != nil {
		return false, fmt.Errorf("%s: %w", m.Object, err)
	}
	return components.Differs(want, have), nil
}
