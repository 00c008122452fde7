package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision/overlay"
	"provision/overlay/nodes/nodestest"
)

func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(name, []byte(nodestest.Kubeconfig(url)), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func names(k *Kubernetes) string {
	list, ok := k.Nodes()
	if !ok {
		return "not yet"
	}
	set := map[string]bool{}
	for _, n := range list {
		set[fmt.Sprintf("%s/%s/%s/%s", n.Name, n.UID, strings.Join(n.PodCIDRs, ","), n.Announcement)] = true
	}
	text, _ := json.Marshal(set) // sorted
	return string(text)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestKubernetes(t *testing.T) {
	a := nodestest.New()
	a.Cut(true)
	server := httptest.NewServer(a)
	defer server.Close()
	defer a.Cut(true)
	config := kubeconfig(t, server.URL)
	k := NewKubernetes(config, config)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go k.Run(ctx)

	eventually(t, "an API that is down is no trouble", func() bool { return strings.Contains(k.Trouble(), "the API cannot be read") })
	if _, ok := k.Nodes(); ok {
		t.Error("nodes without an API")
	}
	a.Set("ADDED", nodestest.Node("w1", "10.244.1.0/24", ""))
	a.Cut(false)
	eventually(t, "not listed", func() bool { return names(k) == `{"w1/uid-w1/10.244.1.0/24/":true}` })
	eventually(t, "still trouble", func() bool { return k.Trouble() == "" })
	eventually(t, "no watch", func() bool { return a.Watches() == 1 })

	select {
	case <-k.Changed():
	default:
		t.Error("a list was not told")
	}
	a.Set("ADDED", nodestest.Node("w2", "10.244.2.0/24", "hello"))
	select {
	case <-k.Changed():
	case <-time.After(5 * time.Second):
		t.Error("a new Node was not told")
	}
	const both = `{"w1/uid-w1/10.244.1.0/24/":true,"w2/uid-w2/10.244.2.0/24/hello":true}`
	eventually(t, "not watched", func() bool { return names(k) == both })

	// Deleted while the API was away: known until it is listed anew.
	a.Cut(true)
	eventually(t, "no trouble", func() bool { return k.Trouble() != "" })
	if got := names(k); got != both {
		t.Errorf("while the API is away: %s", got)
	}
	a.Set("DELETED", nodestest.Node("w2", "", ""))
	a.Cut(false)
	eventually(t, "not listed anew", func() bool { return names(k) == `{"w1/uid-w1/10.244.1.0/24/":true}` })
}

// TestSilentAPI is an API that takes every question and answers none, as the
// balancer does while no API server is ready.
func TestSilentAPI(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	config := kubeconfig(t, server.URL)
	k := NewKubernetes(config, config)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go k.Run(ctx)
	eventually(t, "an API that is silent is no trouble", func() bool { return strings.HasSuffix(k.Trouble(), "it does not answer") })
}

func TestAnnounce(t *testing.T) {
	a := nodestest.New()
	a.Set("ADDED", nodestest.Node("w1", "10.244.1.0/24", ""))
	server := httptest.NewServer(a)
	defer server.Close()
	config := kubeconfig(t, server.URL)
	said := overlay.Announcement{Version: 1, PublicKey: overlay.Key{1}, Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"), Mode: overlay.Kernel}
	k := NewKubernetes(config, config)
	if err := k.Announce(t.Context(), "w1", said); err != nil {
		t.Fatal(err)
	}
	path, body, _ := strings.Cut(a.Patches()[0], " application/merge-patch+json ")
	var patch struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal([]byte(body), &patch); err != nil || path != "/api/v1/nodes/w1" || patch.Metadata.Annotations[overlay.Annotation] != said.Text() {
		t.Errorf("%v: %s", err, a.Patches()[0])
	}
	a.Cut(true)
	if err := k.Announce(t.Context(), "w1", said); err == nil {
		t.Error("announced to nobody")
	}
	if err := NewKubernetes(config, "/nonexistent").Announce(t.Context(), "w1", said); err == nil {
		t.Error("announced without an identity")
	}
}

func TestStatic(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nodes.json")
	s := NewStatic(file, dir)
	go s.Run(t.Context())
	eventually(t, "a missing file is no trouble", func() bool { return s.Trouble() != "" })
	if _, ok := s.Nodes(); ok {
		t.Error("nodes without a file")
	}
	if err := os.WriteFile(file, []byte(`[{"uid":"u","name":"w1","pod_cidrs":["10.244.1.0/24"]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	<-s.Changed()
	if list, ok := s.Nodes(); !ok || len(list) != 1 || list[0].Name != "w1" {
		t.Errorf("%v", list)
	}
	if err := os.WriteFile(file, []byte(`[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "half a file is no trouble", func() bool { return s.Trouble() != "" })
	if list, _ := s.Nodes(); len(list) != 1 {
		t.Error("half a file took the nodes away")
	}
}
