// Package kube talks to a cluster's API server through SSH: it dials the server
// from a master, so that the operator's machine needs no way to port 6443, and
// uses the admin identity that lies there, held in memory only.
//
// It knows nothing of plans and prints nothing. What is applied comes from
// components/addons and provisioner/verify; SSH itself is provisioner/ssh's.
package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"sync"
	"time"

	"provision/components"
)

// connectTimeout bounds the attempt at one master, and stagger is how long it
// is waited for alone before the next one is tried beside it.
const (
	connectTimeout = 15 * time.Second
	stagger        = time.Second
)

// Master is what this package needs of a master: its files, and connections
// that begin on it.
type Master interface {
	components.Machine
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Endpoint is a master and the address on which its API server listens.
type Endpoint struct {
	Master  Master
	Address netip.Addr
	Port    uint16 // 0: components.PortAPI
}

func (e Endpoint) hostPort() string {
	port := e.Port
	if port == 0 {
		port = components.PortAPI
	}
	return net.JoinHostPort(e.Address.String(), strconv.Itoa(int(port)))
}

// Client is a connection to the API server of one master. It implements
// components.API and is safe for concurrent use. Close it.
type Client struct {
	endpoint    Endpoint
	credentials credentials
	http        *http.Client

	mu        sync.Mutex
	resources map[groupVersionKind]resource // learnt from discovery
	gate      *gate                         // nil until something needs it
}

var _ components.API = (*Client)(nil)

// credentials are PEM, as the master keeps them.
type credentials struct {
	authority, certificate, key []byte
}

// New returns a client of that master's API server. It reads the identity and
// sends no request yet; the server need not run.
func New(ctx context.Context, endpoint Endpoint) (*Client, error) {
	var found credentials
	for name, content := range map[string]*[]byte{
		"cluster-ca-trust.pem": &found.authority,
		"admin.crt":            &found.certificate,
		"admin.key":            &found.key,
	} {
		data, err := endpoint.Master.ReadFile(ctx, path.Join(components.PKI, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("has no %s: `provision up` sets it up", path.Join(components.PKI, name))
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path.Join(components.PKI, name), err)
		}
		*content = data
	}
	config, err := found.tls()
	if err != nil {
		return nil, err
	}
	return &Client{
		endpoint:    endpoint,
		credentials: found,
		resources:   map[groupVersionKind]resource{},
		http: &http.Client{Transport: &http.Transport{
			// No proxy from the environment: the way leads through SSH.
			DialContext:         endpoint.Master.DialContext,
			TLSClientConfig:     config,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			// A server whose machine lost its power says no goodbye.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
		}},
	}, nil
}

func (c credentials) tls() (*tls.Config, error) {
	roots := x509.NewCertPool()
	if block, _ := pem.Decode(c.authority); block == nil || !roots.AppendCertsFromPEM(c.authority) {
		return nil, errors.New("cluster-ca-trust.pem holds no certificate")
	}
	pair, err := tls.X509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("admin.crt and admin.key: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
}

// Connect returns a client of the first master, in their order, whose API
// server says that it is ready. A master that keeps silent for a second is not
// waited for. The error names every master and its reason.
func Connect(ctx context.Context, masters []Endpoint) (*Client, error) {
	if len(masters) == 0 {
		return nil, errors.New("no master to connect to")
	}
	type outcome struct {
		index  int
		client *Client
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, len(masters))
	started, finished := 0, 0
	start := func() {
		index := started
		started++
		go func() {
			client, err := connect(ctx, masters[index])
			outcomes <- outcome{index, client, err}
		}()
	}
	// Whoever still answers after the choice is made is let go.
	defer func() {
		rest := started - finished
		go func() {
			for range rest {
				if late := <-outcomes; late.client != nil {
					late.client.Close()
				}
			}
		}()
	}()

	reasons := make([]error, len(masters))
	start()
	for finished < len(masters) {
		patience := time.NewTimer(stagger)
		select {
		case got := <-outcomes:
			finished++
			if got.err == nil {
				patience.Stop()
				return got.client, nil
			}
			reasons[got.index] = fmt.Errorf("%s: %w", masters[got.index].Master.Name(), got.err)
			if started < len(masters) {
				start()
			}
		case <-patience.C:
			if started < len(masters) {
				start()
			}
		}
		patience.Stop()
	}
	return nil, fmt.Errorf("no API server answers: %w", errors.Join(reasons...))
}

func connect(ctx context.Context, endpoint Endpoint) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	client, err := New(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	if _, err := client.Do(ctx, http.MethodGet, "/readyz", "", nil); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// Master returns the name of the master that the client talks to.
func (c *Client) Master() string { return c.endpoint.Master.Name() }

// Close gives up the client's connections.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.http.CloseIdleConnections()
	if c.gate != nil {
		c.gate.close()
		c.gate = nil
	}
	return nil
}
