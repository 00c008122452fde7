package kube

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"provision/components"
	"provision/components/manifest"
)

// FieldManager is the name under which the API server remembers which fields
// are ours.
const FieldManager = "provision"

// applyPatience bounds how long Apply waits out an API server that is starting,
// and a namespace or type that another object of the same call brings.
const applyPatience = 30 * time.Second

// Apply applies YAML documents server-side and forces conflicts. Namespaces and
// type definitions go first, the rest side by side. Every document is tried;
// the error names each that failed.
func (c *Client) Apply(ctx context.Context, manifests []byte) error {
	return c.ApplyAs(ctx, FieldManager, "", manifests)
}

// ApplyAs is Apply as another field manager. Objects that name no namespace are in
// the given one, or in the one called default.
func (c *Client) ApplyAs(ctx context.Context, manager, namespace string, manifests []byte) error {
	documents, err := manifest.Split(manifests)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, applyPatience)
	defer cancel()
	var first, rest []manifest.Document
	for _, m := range documents {
		m.Namespace = cmp.Or(m.Namespace, namespace)
		switch m.Kind {
		case "Namespace", "CustomResourceDefinition":
			first = append(first, m)
		default:
			rest = append(rest, m)
		}
	}
	if err := c.applyAll(ctx, manager, first); err != nil {
		return err
	}
	return c.applyAll(ctx, manager, rest)
}

func (c *Client) applyAll(ctx context.Context, manager string, documents []manifest.Document) error {
	failures := make([]error, len(documents))
	var group errgroup.Group
	group.SetLimit(8)
	for i, m := range documents {
		group.Go(func() error {
			if err := c.applyOne(ctx, manager, m); err != nil {
				failures[i] = fmt.Errorf("apply %s: %w", m.Object, err)
			}
			return nil
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

func (c *Client) applyOne(ctx context.Context, manager string, m manifest.Document) error {
	wait := 50 * time.Millisecond
	for {
		err := c.patch(ctx, manager, m)
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

func (c *Client) patch(ctx context.Context, manager string, m manifest.Document) error {
	path, err := c.Path(ctx, m.Object)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, http.MethodPatch, path+"?fieldManager="+url.QueryEscape(manager)+"&force=true", "application/apply-patch+yaml", m.Body)
	return err
}

// Path returns an object's path in the API. A type that the server does not know
// (yet) satisfies fs.ErrNotExist.
func (c *Client) Path(ctx context.Context, object components.Object) (string, error) {
	found, err := c.resource(ctx, groupVersionKind{object.APIVersion, object.Kind})
	if err != nil {
		return "", err
	}
	path := groupPath(object.APIVersion)
	if found.Namespaced {
		path += "/namespaces/" + url.PathEscape(cmp.Or(object.Namespace, "default"))
	}
	return path + "/" + found.Plural + "/" + url.PathEscape(object.Name), nil
}

// transient says whether an error is one that an API server gives while it, its
// etcd or what the object depends on is still coming up. Not found is one of
// them: apply creates what is missing, so it can only mean the namespace or the
// type.
func transient(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		if strings.Contains(status.Message, "typed patch object") && !strings.Contains(status.Message, "no corresponding type") {
			return false // 500, and the object has a field of another type than its kind knows
		}
		switch status.Code {
		case http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		case http.StatusUnprocessableEntity:
			// A Service's address is allocated by a request of the server to itself, and
			// it takes that one's failure on the way for a mistake in the object.
			return strings.Contains(status.Message, "failed to allocate") && strings.Contains(status.Message, ` "https://`)
		}
		return false
	}
	// Anything else happened on the way: refused, reset, cut off. Only a wrong
	// certificate and a caller who gave up do not pass with time.
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &certificate) && !errors.Is(err, context.Canceled)
}
