package kube

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// FieldManager is the name under which the API server remembers which fields
// are ours.
const FieldManager = "provision"

// applyPatience bounds how long Apply waits out an API server that is starting,
// and a namespace or type that another object of the same call brings.
const applyPatience = 30 * time.Second

// manifest is one document, with what of it makes its path.
type manifest struct {
	groupVersionKind
	name, namespace string
	body            []byte
}

func (m manifest) String() string {
	if m.namespace != "" {
		return m.Kind + " " + m.namespace + "/" + m.name
	}
	return m.Kind + " " + m.name
}

// Apply applies YAML documents server-side and forces conflicts. Namespaces and
// type definitions go first, the rest side by side. Every document is tried;
// the error names each that failed.
func (c *Client) Apply(ctx context.Context, manifests []byte) error {
	documents, err := split(manifests)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, applyPatience)
	defer cancel()
	var first, rest []manifest
	for _, m := range documents {
		switch m.Kind {
		case "Namespace", "CustomResourceDefinition":
			first = append(first, m)
		default:
			rest = append(rest, m)
		}
	}
	if err := c.applyAll(ctx, first); err != nil {
		return err
	}
	return c.applyAll(ctx, rest)
}

func (c *Client) applyAll(ctx context.Context, documents []manifest) error {
	failures := make([]error, len(documents))
	var group errgroup.Group
	group.SetLimit(8)
	for i, m := range documents {
		group.Go(func() error {
			if err := c.applyOne(ctx, m); err != nil {
				failures[i] = fmt.Errorf("apply %s: %w", m, err)
			}
			return nil
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

func (c *Client) applyOne(ctx context.Context, m manifest) error {
	wait := 50 * time.Millisecond
	for {
		err := c.patch(ctx, m)
		if err == nil || !transient(err) {
			return err
		}
		pause := wait
		var status *StatusError
		if errors.As(err, &status) && status.RetryAfter > 0 {
			pause = min(status.RetryAfter, 5*time.Second)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		wait = min(2*wait, time.Second)
	}
}

func (c *Client) patch(ctx context.Context, m manifest) error {
	path, err := c.path(ctx, m)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, http.MethodPatch, path+"?fieldManager="+FieldManager+"&force=true", "application/apply-patch+yaml", m.body)
	return err
}

// path is the object's in the API.
func (c *Client) path(ctx context.Context, m manifest) (string, error) {
	found, err := c.resource(ctx, m.groupVersionKind)
	if err != nil {
		return "", err
	}
	path := groupPath(m.APIVersion)
	if found.Namespaced {
		namespace := m.namespace
		if namespace == "" {
			namespace = "default"
		}
		path += "/namespaces/" + url.PathEscape(namespace)
	}
	return path + "/" + found.Plural + "/" + url.PathEscape(m.name), nil
}

// transient says whether an error is one that an API server gives while it, its
// etcd or what the object depends on is still coming up. Not found is one of
// them: apply creates what is missing, so it can only mean the namespace or the
// type.
func transient(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	// Anything else happened on the way: refused, reset, cut off. Only a wrong
	// certificate and a caller who gave up do not pass with time.
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &certificate) && !errors.Is(err, context.Canceled)
}

// split takes YAML documents apart and reads their names.
func split(manifests []byte) ([]manifest, error) {
	var result []manifest
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for number := 1; ; number++ {
		document, err := reader.Read()
		if err == io.EOF {
			return result, nil
		}
		if err != nil {
			return nil, fmt.Errorf("manifest %d: %w", number, err)
		}
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct{ Name, Namespace string }
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return nil, fmt.Errorf("manifest %d: %w", number, err)
		}
		switch {
		case head.Kind == "" && head.APIVersion == "" && head.Metadata.Name == "":
			continue // nothing but comments
		case head.Kind == "" || head.APIVersion == "" || head.Metadata.Name == "":
			return nil, fmt.Errorf("manifest %d: apiVersion, kind and metadata.name must be given", number)
		}
		result = append(result, manifest{
			groupVersionKind: groupVersionKind{head.APIVersion, head.Kind},
			name:             head.Metadata.Name,
			namespace:        head.Metadata.Namespace,
			body:             document,
		})
	}
}
