package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"provision/components"
	"provision/components/drain"
)

// Inventory is the ConfigMap in kube-system in which components/addons notes
// what it applied: each key is AppliedPrefix and an addon's name, its value the
// SHA-256 (hex) of the manifests. Keys of objectsPrefix hold lists of components.Object,
// machinesKey's value is a list of components.Member.
const (
	Inventory     = "provision-inventory"
	AppliedPrefix = "applied."
	objectsPrefix = "objects."
	machinesKey   = "machines"
)

// Facts asks the cluster what it holds, in two requests side by side. Where the
// server gives no answer, or refuses, the error and Problem both say why.
func (c *Client) Facts(ctx context.Context) (components.ClusterFacts, error) {
	var facts components.ClusterFacts
	var group errgroup.Group
	group.Go(func() (err error) {
		facts.Nodes, err = c.nodes(ctx)
		return err
	})
	group.Go(func() error {
		return c.inventory(ctx, &facts)
	})
	if err := group.Wait(); err != nil {
		var status *StatusError
		if errors.As(err, &status) && (status.Code == http.StatusForbidden || status.Code == http.StatusUnauthorized) {
			err = fmt.Errorf("its API server answers, and refuses the administrators' identity; `provision up` gives it its rights back: %w", err)
		}
		err = fmt.Errorf("%s: %w", c.Master(), err)
		return components.ClusterFacts{Problem: err.Error()}, err
	}
	facts.Reachable = true
	return facts, nil
}

func (c *Client) nodes(ctx context.Context) (map[string]components.NodeFact, error) {
	data, err := c.Do(ctx, http.MethodGet, "/api/v1/nodes", "", nil)
	if err != nil {
		return nil, err
	}
	// Only what is needed: a Node's list of images would be most of the work.
	var list struct {
		Items []struct {
			Metadata struct {
				Name        string
				Labels      map[string]string
				Annotations map[string]string
			}
			Spec struct {
				PodCIDRs []string
				Taints   []components.Taint
			}
			Status struct {
				Conditions []struct{ Type, Status string }
				Addresses  []struct{ Type, Address string }
				NodeInfo   struct{ KubeletVersion string }
			}
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("the list of nodes: %w", err)
	}
	nodes := map[string]components.NodeFact{}
	for _, item := range list.Items {
		node := components.NodeFact{
			Labels:   item.Metadata.Labels,
			Taints:   item.Spec.Taints,
			PodCIDRs: item.Spec.PodCIDRs,
			Version:  item.Status.NodeInfo.KubeletVersion,
			Drained:  item.Metadata.Annotations[drain.Mark] != "",
		}
		for _, condition := range item.Status.Conditions {
			if condition.Type == "Ready" {
				node.Ready = condition.Status == "True"
			}
		}
		for _, address := range item.Status.Addresses {
			if address.Type == "InternalIP" && node.Addr == "" {
				node.Addr = address.Address
			}
		}
		nodes[item.Metadata.Name] = node
	}
	return nodes, nil
}

// inventory reads what was noted of addons and machines into the facts.
func (c *Client) inventory(ctx context.Context, into *components.ClusterFacts) error {
	into.Applied, into.Objects = map[string]string{}, map[string][]components.Object{}
	data, err := c.Do(ctx, http.MethodGet, "/api/v1/namespaces/kube-system/configmaps/"+Inventory, "", nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var inventory struct{ Data map[string]string }
	if err := json.Unmarshal(data, &inventory); err != nil {
		return fmt.Errorf("ConfigMap %s: %w", Inventory, err)
	}
	for key, value := range inventory.Data {
		if name, is := strings.CutPrefix(key, AppliedPrefix); is {
			into.Applied[name] = value
		}
		if name, is := strings.CutPrefix(key, objectsPrefix); is {
			into.Objects[name] = components.ParseObjects(value)
		}
	}
	into.Inventory = components.ParseInventory(inventory.Data[machinesKey])
	return nil
}
