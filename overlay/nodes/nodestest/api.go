// Package nodestest is an API server for tests that knows Nodes and nothing else:
// it lists, watches and patches them over HTTP, replays what a watch missed, and
// can be down. It checks nothing that it is given.
package nodestest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"provision/overlay"
)

// API is that server's handler.
type API struct {
	mu      sync.Mutex
	down    bool
	version int
	nodes   map[string]map[string]any
	history []string // the event of each version, from the first on
	watches []chan string
	patches []string
}

// New returns an API that is up and has no Node.
func New() *API { return &API{nodes: map[string]map[string]any{}} }

// Kubeconfig is the text of one for an API at that URL.
func Kubeconfig(url string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","clusters":[{"name":"x","cluster":{"server":%q}}],
"contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"users":[{"name":"x","user":{}}]}`, url)
}

// Node is one with that pod subnet and announcement.
func Node(name, cidr, announcement string) map[string]any {
	metadata := map[string]any{"name": name, "uid": "uid-" + name, "annotations": map[string]string{overlay.Annotation: announcement}}
	return map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": map[string]any{"podCIDRs": []string{cidr}}}
}

// Set stores a Node, or with the kind "DELETED" takes it away, and tells every watch.
func (a *API) Set(kind string, n map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(kind, n)
}

// Touch writes one of the Nodes again as it is, as a kubelet does.
func (a *API) Touch(i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := slices.Sorted(maps.Keys(a.nodes))
	a.tell("MODIFIED", a.nodes[names[i%len(names)]])
}

func (a *API) tell(kind string, n map[string]any) {
	a.version++
	metadata := n["metadata"].(map[string]any)
	metadata["resourceVersion"] = fmt.Sprint(a.version)
	if kind == "DELETED" {
		delete(a.nodes, metadata["name"].(string))
	} else {
		a.nodes[metadata["name"].(string)] = n
	}
	event, _ := json.Marshal(map[string]any{"type": kind, "object": n})
	a.history = append(a.history, string(event))
	for _, w := range a.watches {
		w <- string(event)
	}
}

// Names are those of the Nodes.
func (a *API) Names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.nodes))
}

// Watches is how many there are.
func (a *API) Watches() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watches)
}

// Patches are all that were sent: path, content type and body, separated by spaces.
func (a *API) Patches() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.patches)
}

// Cut ends all watches, as an API server that stops does, and says whether it is
// down from then on.
func (a *API) Cut(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
	for _, w := range a.watches {
		close(w)
	}
	a.watches = nil
}

// ServeHTTP is http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.down {
		a.mu.Unlock()
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPatch:
		defer a.mu.Unlock()
		var patch struct {
			Metadata struct{ Annotations map[string]string }
		}
		body, _ := io.ReadAll(r.Body)
		a.patches = append(a.patches, r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
		n, found := a.nodes[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if err := json.Unmarshal(body, &patch); err != nil || !found {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		if metadata := n["metadata"].(map[string]any); !reflect.DeepEqual(metadata["annotations"], patch.Metadata.Annotations) {
			metadata["annotations"] = patch.Metadata.Annotations
			a.tell("MODIFIED", n)
		}
		json.NewEncoder(w).Encode(n)
	case r.URL.Query().Get("sendInitialEvents") == "true":
		a.mu.Unlock() // an old server: the client falls back to a list
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case r.URL.Query().Get("watch") != "":
		since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
		missed := slices.Clone(a.history[min(since, len(a.history)):])
		events := make(chan string, 1000)
		a.watches = append(a.watches, events)
		a.mu.Unlock()
		for _, event := range missed {
			io.WriteString(w, event+"\n")
		}
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
