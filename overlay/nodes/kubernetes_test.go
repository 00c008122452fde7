package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"provision/overlay"
)

// api is an API server that knows Nodes: it lists, watches and patches them, and
// can be down.
type api struct {
	mu      sync.Mutex
	down    bool
	version int
	nodes   map[string]map[string]any
	watches []chan string
	patches []string
}

func node(name, cidr, announcement string) map[string]any {
	metadata := map[string]any{"name": name, "uid": "uid-" + name, "annotations": map[string]string{overlay.Annotation: announcement}}
	return map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": map[string]any{"podCIDRs": []string{cidr}}}
}

func (a *api) set(kind string, n map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	metadata := n["metadata"].(map[string]any)
	metadata["resourceVersion"] = fmt.Sprint(a.version)
	if kind == "DELETED" {
		delete(a.nodes, metadata["name"].(string))
	} else {
		a.nodes[metadata["name"].(string)] = n
	}
	event, _ := json.Marshal(map[string]any{"type": kind, "object": n})
	for _, w := range a.watches {
		w <- string(event)
	}
}

// cut ends all watches, as an API server that stops does.
func (a *api) cut(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
	for _, w := range a.watches {
		close(w)
	}
	a.watches = nil
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.down {
		a.mu.Unlock()
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPatch:
		body, _ := io.ReadAll(r.Body)
		a.patches = append(a.patches, r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
		a.mu.Unlock()
		json.NewEncoder(w).Encode(node("w1", "", ""))
	case r.URL.Query().Get("sendInitialEvents") == "true":
		a.mu.Unlock() // an old server: the client falls back to a list
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case r.URL.Query().Get("watch") != "":
		events := make(chan string, 10)
		a.watches = append(a.watches, events)
		a.mu.Unlock()
		w.(http.Flusher).Flush()
		for {
			select {
			case event, ok := <-events:
				if !ok {
					return
				}
				io.WriteString(w, event+"\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	default:
		items := []map[string]any{}
		for _, n := range a.nodes {
			items = append(items, n)
		}
		json.NewEncoder(w).Encode(map[string]any{"apiVersion": "v1", "kind": "NodeList", "metadata": map[string]string{"resourceVersion": fmt.Sprint(a.version)}, "items": items})
		a.mu.Unlock()
	}
}

func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x",
"clusters":[{"name":"x","cluster":{"server":%q}}],"contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"users":[{"name":"x","user":{}}]}`, url)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
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
	a := &api{nodes: map[string]map[string]any{}, down: true}
	server := httptest.NewServer(a)
	defer server.Close()
	defer a.cut(true)
	config := kubeconfig(t, server.URL)
	k := NewKubernetes(config, config)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go k.Run(ctx)

	eventually(t, "an API that is down is no trouble", func() bool { return strings.Contains(k.Trouble(), "the API cannot be read") })
	if _, ok := k.Nodes(); ok {
		t.Error("nodes without an API")
	}
	a.set("ADDED", node("w1", "10.244.1.0/24", ""))
	a.cut(false)
	eventually(t, "not listed", func() bool { return names(k) == `{"w1/uid-w1/10.244.1.0/24/":true}` })
	eventually(t, "still trouble", func() bool { return k.Trouble() == "" })
	eventually(t, "no watch", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.watches) == 1 })

	select {
	case <-k.Changed():
	default:
		t.Error("a list was not told")
	}
	a.set("ADDED", node("w2", "10.244.2.0/24", "hello"))
	select {
	case <-k.Changed():
	case <-time.After(5 * time.Second):
		t.Error("a new Node was not told")
	}
	const both = `{"w1/uid-w1/10.244.1.0/24/":true,"w2/uid-w2/10.244.2.0/24/hello":true}`
	eventually(t, "not watched", func() bool { return names(k) == both })

	// Deleted while the API was away: known until it is listed anew.
	a.cut(true)
	eventually(t, "no trouble", func() bool { return k.Trouble() != "" })
	if got := names(k); got != both {
		t.Errorf("while the API is away: %s", got)
	}
	a.set("DELETED", node("w2", "", ""))
	a.cut(false)
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
	a := &api{nodes: map[string]map[string]any{}}
	server := httptest.NewServer(a)
	defer server.Close()
	config := kubeconfig(t, server.URL)
	said := overlay.Announcement{Version: 1, PublicKey: overlay.Key{1}, Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"), Mode: overlay.Kernel}
	k := NewKubernetes(config, config)
	if err := k.Announce(t.Context(), "w1", said); err != nil {
		t.Fatal(err)
	}
	path, body, _ := strings.Cut(a.patches[0], " application/merge-patch+json ")
	var patch struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal([]byte(body), &patch); err != nil || path != "/api/v1/nodes/w1" || patch.Metadata.Annotations[overlay.Annotation] != said.Text() {
		t.Errorf("%v: %s", err, a.patches[0])
	}
	a.cut(true)
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
