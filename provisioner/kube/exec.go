package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
)

// rest returns the client's configuration in upstream's form. Its connections
// go through the gate, since upstream's WebSocket and SPDY code cannot be given
// a dialer.
func (c *Client) rest() (*rest.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate == nil {
		opened, err := openGate(c.endpoint.hostPort(), c.endpoint.Master.DialContext)
		if err != nil {
			return nil, fmt.Errorf("listen on loopback: %w", err)
		}
		c.gate = opened
	}
	return c.restThrough(c.gate), nil
}

func (c *Client) restThrough(g *gate) *rest.Config {
	return &rest.Config{
		Host:  "https://" + c.endpoint.hostPort(),
		Proxy: http.ProxyURL(g.url()),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   c.credentials.authority,
			CertData: c.credentials.certificate,
			KeyData:  c.credentials.key,
		},
	}
}

// Exec runs a command in a pod's first container and returns what it wrote, each
// stream at most 1 MiB. The error of a command that ran and failed has a method
// ExitStatus() int.
func (c *Client) Exec(ctx context.Context, namespace, pod string, argv []string) (stdout, stderr []byte, err error) {
	config, err := c.rest()
	if err != nil {
		return nil, nil, err
	}
	query := url.Values{"stdout": {"true"}, "stderr": {"true"}, "command": argv}
	target := config.Host + "/api/v1/namespaces/" + url.PathEscape(namespace) + "/pods/" + url.PathEscape(pod) + "/exec?" + query.Encode()
	executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, target)
	if err != nil {
		return nil, nil, err
	}
	var out, errout bounded
	// What goes wrong is in the error. Upstream would write it to the terminal as
	// well, in its log's form, also where it is only that ctx has ended.
	ctx = klog.NewContext(ctx, klog.New(nil))
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errout})
	return out, errout, err
}

// bounded keeps the first MiB of what is written to it and lets the rest go.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	room := max(0, 1<<20-len(*b))
	*b = append(*b, p[:min(room, len(p))]...)
	return len(p), nil
}
