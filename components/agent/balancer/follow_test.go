package balancer

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"provision/components/balancer"
)

// tell has a running balancer hear a list, as if the cluster had said it.
func (b *bench) tell(servers ...netip.AddrPort) {
	b.t.Helper()
	b.daemon.heard <- servers
}

// holds are the pool's servers.
func (b *bench) holds() []netip.AddrPort {
	b.daemon.proxy.pool.mu.Lock()
	defer b.daemon.proxy.pool.mu.Unlock()
	var all []netip.AddrPort
	for _, s := range b.daemon.proxy.pool.servers {
		all = append(all, s.address)
	}
	return all
}

func (b *bench) follow() {
	b.t.Helper()
	b.config.Follow = balancer.Follow{Certificate: "/none", Key: "/none", Kept: filepath.Join(filepath.Dir(b.path), "learned", "servers.json")}
	b.write()
}

func TestAMasterThatCameIsLearntAndKept(t *testing.T) {
	one, two := startServer(t, "one", ""), startServer(t, "two", "")
	b := start(t, one)
	b.follow()
	b.eventually("it follows", func() bool { return strings.Count(b.log.String(), "listening") == 2 })
	b.tell(one.addrPort(), two.addrPort())
	b.eventually("both", func() bool { return len(b.holds()) == 2 })
	b.tell(two.addrPort())
	b.eventually("the new one alone", func() bool { return slices.Equal(b.holds(), []netip.AddrPort{two.addrPort()}) })
	if _, name := b.open(one); name != "two" {
		t.Errorf("led to %s", name)
	}

	// The next process knows it from the disk; the file's own server is beside it until it serves.
	next := newDaemon(b.path, slog.New(slog.DiscardHandler))
	if kept := next.recall(b.config); !slices.Equal(kept.Servers, []netip.AddrPort{two.addrPort()}) {
		t.Errorf("kept %v", kept)
	}
	// A file that was written since knows better.
	newer := b.config
	newer.Servers = []netip.AddrPort{one.addrPort(), two.addrPort()}
	if kept := next.recall(newer); len(kept.Servers) > 0 {
		t.Errorf("kept %v in spite of a newer file", kept)
	}
	if err := os.WriteFile(b.config.Follow.Kept, []byte(`{"servers":["0.0.0.0:1"]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if kept := next.recall(b.config); len(kept.Servers) > 0 {
		t.Errorf("kept %v of a broken file", kept)
	}
}

// A list without any server that is known, another cluster's or a hostile one, takes
// nothing away, and connections go on.
func TestAHostileListTakesNoServerAway(t *testing.T) {
	one := startServer(t, "one", "")
	stranger := httptest.NewTLSServer(http.NotFoundHandler()) // ours by its certificate, and no API server
	defer stranger.Close()
	b := start(t, one)
	b.follow()
	b.eventually("it follows", func() bool { return strings.Count(b.log.String(), "listening") == 2 })
	c, _ := b.open(one)
	b.tell(freePort(t), netip.MustParseAddrPort(stranger.Listener.Addr().String()))
	b.eventually("it is refused", func() bool { return strings.Contains(b.log.String(), "has none of those that serve") })
	if got := b.holds(); !slices.Equal(got, []netip.AddrPort{one.addrPort()}) {
		t.Errorf("held are %v", got)
	}
	if name, err := c.ask(); err != nil || name != "one" {
		t.Errorf("the connection of before: %q, %v", name, err)
	}
	if _, name := b.open(one); name != "one" {
		t.Errorf("a new connection leads to %s", name)
	}
	b.tell(one.addrPort())
	b.eventually("it is mended", func() bool { return slices.Equal(b.holds(), []netip.AddrPort{one.addrPort()}) })
	if name, err := c.ask(); err != nil || name != "one" {
		t.Errorf("the connection of before, after all: %q, %v", name, err)
	}
}

// What asks shows the agent's identity, goes through the balancer's own door, and
// has only lists that can be meant.
func TestTheClusterIsAskedWithTheAgentsIdentity(t *testing.T) {
	answer, status := `{"items":[`+slice("10.0.0.1")+`]}`, http.StatusOK
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != balancer.SlicesPath || len(r.TLS.PeerCertificates) != 1 {
			t.Errorf("%s, with %d certificates", r.URL, len(r.TLS.PeerCertificates))
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	config := balancer.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort(server.Listener.Addr().String())}, CA: filepath.Join(dir, "ca.crt"),
		Follow: balancer.Follow{Certificate: filepath.Join(dir, "agent.crt"), Key: filepath.Join(dir, "agent.key")}}
	if _, err := ask(t.Context(), config); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without an identity: %v", err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	identity(t, config.Follow)
	if err := os.WriteFile(config.CA, certificate, 0o644); err != nil {
		t.Fatal(err)
	}
	servers, err := ask(context.Background(), config)
	if err != nil || fmt.Sprint(servers) != "[10.0.0.1:6443]" {
		t.Errorf("%v, %v", servers, err)
	}
	answer = `{"items":[]}`
	if servers, err := ask(t.Context(), config); err == nil || !strings.Contains(err.Error(), "names no server") {
		t.Errorf("an empty list: %v, %v", servers, err)
	}
	answer = strings.Repeat(" ", maxFile+1)
	if servers, err := ask(t.Context(), config); err == nil {
		t.Errorf("a list without end: %v", servers)
	}
	status = http.StatusForbidden
	if servers, err := ask(t.Context(), config); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a refusal: %v, %v", servers, err)
	}
}

func slice(address string) string {
	return fmt.Sprintf(`{"endpoints":[{"addresses":[%q]}],"ports":[{"port":6443}]}`, address)
}
