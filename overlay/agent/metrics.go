package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"provision/overlay"
)

// metrics serves the status to Prometheus, on bridge0's address: pods get there,
// from every machine and encrypted, and nobody on the machines' own network does.
type metrics struct {
	status  atomic.Pointer[overlay.Status]
	address netip.AddrPort
	server  *http.Server
}

// set serves a status, at the address that goes with it.
func (m *metrics) set(s overlay.Status) error {
	m.status.Store(&s)
	address := overlay.MetricsAddress(s.Subnets)
	if address == m.address {
		return nil
	}
	m.close()
	if !address.IsValid() {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address.String())
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	m.address = address
	m.server = &http.Server{Handler: m, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10}
	go m.server.Serve(listener)
	return nil
}

func (m *metrics) close() {
	if m.server != nil {
		m.server.Close()
	}
	m.address, m.server = netip.AddrPort{}, nil
}

// ServeHTTP answers GET /metrics.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" || r.Method != http.MethodGet {
		http.Error(w, "there is /metrics", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m.status.Load().Metrics(w) // an error is the client's going away
}
