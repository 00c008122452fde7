package componentstest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"

	"provision/components"
	"provision/components/drain"
)

// API is an API server made of memory: objects by path, merge patches, and
// server-side apply. It checks nothing that it is given.
type API struct {
	Always bool // it answers whatever the masters run
	// Mute are Nodes whose kubelets run and say nothing: what they said last stays.
	Mute map[string]bool

	mu      sync.Mutex
	ready   func() bool
	kubelet func(node string) string  // the version of one that runs; nil: nobody says
	objects map[string]map[string]any // by path, without the query
	applied map[string]map[string]any // what was applied last, by field manager and path
	bundles map[string][]string       // where in it is what was applied together, by its sum
}

func newAPI(ready func() bool) *API {
	return &API{ready: ready, objects: map[string]map[string]any{}, applied: map[string]map[string]any{}, bundles: map[string][]string{}}
}

var errNotReady = errors.New("no API server answers")

// Ready says whether a master runs it.
func (a *API) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !a.Always && !a.ready() {
		return errNotReady
	}
	return nil
}

// Apply merges each document and takes away what an earlier one of the same
// object had.
func (a *API) Apply(ctx context.Context, manifests []byte) error {
	return a.ApplyAs(ctx, "provision", "", manifests)
}

// ApplyAs is Apply for others.
func (a *API) ApplyAs(ctx context.Context, manager, namespace string, manifests []byte) error {
	if err := a.Ready(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var keys []string
	for document := range strings.SplitSeq(string(manifests), "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return err
		}
		version, _ := object["apiVersion"].(string)
		kind, _ := object["kind"].(string)
		metadata, _ := object["metadata"].(map[string]any)
		name, _ := metadata["name"].(string)
		in, _ := metadata["namespace"].(string)
		if version == "" || kind == "" || name == "" {
			return fmt.Errorf("apply: a document without apiVersion, kind or name")
		}
		at := pathOf(components.Object{APIVersion: version, Kind: kind, Namespace: cmp.Or(in, namespace), Name: name})
		present := a.objects[at]
		if present == nil {
			present = map[string]any{}
		}
		remove(present, a.applied[manager+at], object)
		a.objects[at] = merge(present, object)
		a.applied[manager+at] = object
		keys = append(keys, manager+at)
	}
	a.bundles[components.Sum(manifests)] = keys
	return nil
}

// Path returns where Apply puts an object.
func (a *API) Path(ctx context.Context, object components.Object) (string, error) {
	return pathOf(object), a.Ready(ctx)
}

// clusterWide are kinds that are in no namespace.
var clusterWide = map[string]bool{"Namespace": true, "Node": true, "ClusterRole": true, "StorageClass": true}

func pathOf(o components.Object) string {
	if clusterWide[o.Kind] {
		o.Namespace = ""
	}
	path := "/apis/"
	if o.APIVersion == "v1" {
		path = "/api/"
	}
	path += o.APIVersion
	if o.Namespace != "" {
		path += "/namespaces/" + o.Namespace
	}
	return path + "/" + plural(o.Kind) + "/" + o.Name
}

func plural(kind string) string {
	kind = strings.ToLower(kind)
	if stem, is := strings.CutSuffix(kind, "y"); is {
		return stem + "ies"
	}
	if strings.HasSuffix(kind, "s") { // StorageClass
		kind += "e"
	}
	return kind + "s"
}

// Do serves objects by their paths.
func (a *API) Do(ctx context.Context, method, path, _ string, body []byte) ([]byte, error) {
	if err := a.Ready(ctx); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	path, _, _ = strings.Cut(path, "?")
	path = strings.TrimSuffix(path, "/status")
	var object map[string]any
	if body != nil {
		if err := json.Unmarshal(body, &object); err != nil {
			return nil, err
		}
	}
	if method == "POST" {
		metadata, _ := object["metadata"].(map[string]any)
		path += "/" + metadata["name"].(string)
		if a.objects[path] != nil {
			return nil, fmt.Errorf("POST %s: 409 Conflict", path)
		}
		a.objects[path] = object
		return json.Marshal(object)
	}
	if method == "GET" && a.objects[path] == nil && collections[path[strings.LastIndex(path, "/")+1:]] {
		return a.list(path + "/")
	}
	a.report(path)
	const published = "/configmaps/extension-apiserver-authentication"
	if a.objects[path] == nil && strings.HasSuffix(path, published) {
		a.objects[path] = map[string]any{} // API servers see to it themselves
	}
	present := a.objects[path]
	if present == nil {
		return nil, fmt.Errorf("%s %s: 404: %w", method, path, fs.ErrNotExist)
	}
	switch method {
	case "GET":
	case "PATCH":
		a.objects[path] = merge(present, object)
	case "DELETE":
		delete(a.objects, path)
	default:
		return nil, fmt.Errorf("%s %s: 405 Method Not Allowed", method, path)
	}
	return json.Marshal(a.objects[path])
}

// collections are those that may be listed: an empty one is no error.
var collections = map[string]bool{"nodes": true, "pods": true, "configmaps": true}

func (a *API) list(prefix string) ([]byte, error) {
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(a.objects)) {
		if strings.HasPrefix(path, prefix) {
			items = append(items, a.objects[path])
		}
	}
	return json.Marshal(map[string]any{"items": items})
}

// merge is RFC 7386.
func merge(into, patch map[string]any) map[string]any {
	into = maps.Clone(into)
	if into == nil {
		into = map[string]any{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(into, key)
		case map[string]any:
			inner, _ := into[key].(map[string]any)
			into[key] = merge(inner, value)
		default:
			into[key] = value
		}
	}
	return into
}

// remove takes from an object what was applied before and is not any more.
func remove(object, before, now map[string]any) {
	for key, value := range before {
		inner, isMap := value.(map[string]any)
		present, _ := object[key].(map[string]any)
		next, still := now[key]
		switch {
		case isMap && present != nil:
			nextMap, _ := next.(map[string]any)
			remove(present, inner, nextMap)
		case !still:
			delete(object, key)
		}
	}
}

// Facts is what the API says, as provisioner/kube would.
func (a *API) Facts() components.ClusterFacts {
	if !a.Always && !a.ready() {
		return components.ClusterFacts{Problem: errNotReady.Error()}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	facts := components.ClusterFacts{Reachable: true, Nodes: map[string]components.NodeFact{}, Applied: map[string]string{},
		Edited: map[string][]string{}, Objects: map[string][]components.Object{}}
	for path := range a.objects {
		if name, ok := strings.CutPrefix(path, "/api/v1/nodes/"); ok {
			a.report(path)
			object := a.objects[path]
			facts.Nodes[name] = nodeFact(object)
		}
	}
	inventory := a.objects["/api/v1/namespaces/kube-system/configmaps/provision-inventory"]
	data, _ := inventory["data"].(map[string]any)
	text, _ := data["machines"].(string)
	facts.Inventory = components.ParseInventory(text)
	for key, value := range data {
		if name, ok := strings.CutPrefix(key, "applied."); ok {
			facts.Applied[name] = fmt.Sprint(value)
			for _, key := range a.bundles[fmt.Sprint(value)] {
				if path, is := strings.CutPrefix(key, "provision/"); is && components.Differs(a.applied[key], a.objects["/"+path]) {
					facts.Edited[name] = append(facts.Edited[name], fmt.Sprint(a.applied[key]["kind"], " ", path[strings.LastIndex(path, "/")+1:]))
				}
			}
		}
		if name, ok := strings.CutPrefix(key, "objects."); ok {
			facts.Objects[name] = components.ParseObjects(fmt.Sprint(value))
		}
	}
	return facts
}

const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"

// report has the Node's kubelet, where it runs, say so and of which version it is, and
// renew its Lease whenever somebody asks for that.
func (a *API) report(path string) {
	name, is := strings.CutPrefix(path, "/api/v1/nodes/")
	if lease, of := strings.CutPrefix(path, leases); of && a.kubelet != nil && !a.Mute[lease] && a.kubelet(lease) != "" {
		a.objects[path] = map[string]any{"spec": map[string]any{"renewTime": time.Now().Format(time.RFC3339Nano)}}
	}
	object := a.objects[path]
	if !is || object == nil || a.kubelet == nil || a.Mute[name] {
		return
	}
	ready, version := "True", a.kubelet(name)
	if version == "" {
		ready = "False"
	}
	a.objects[path] = merge(object, map[string]any{"status": map[string]any{
		"conditions": []any{map[string]any{"type": "Ready", "status": ready}},
		"nodeInfo":   map[string]any{"kubeletVersion": version}}})
}

func nodeFact(object map[string]any) components.NodeFact {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // it came from JSON
	}
	var node struct {
		Metadata struct{ Labels, Annotations map[string]string }
		Spec     struct{ Taints []components.Taint }
		Status   struct {
			Conditions []struct{ Type, Status string }
			NodeInfo   struct{ KubeletVersion string }
		}
	}
	if err := json.Unmarshal(text, &node); err != nil {
		panic(err)
	}
	fact := components.NodeFact{Labels: node.Metadata.Labels, Taints: node.Spec.Taints,
		Version: node.Status.NodeInfo.KubeletVersion, Drained: node.Metadata.Annotations[drain.Mark] != ""}
	for _, condition := range node.Status.Conditions {
		fact.Ready = fact.Ready || condition.Type == "Ready" && condition.Status == "True"
	}
	return fact
}

// Object returns an object by its path, or nil.
func (a *API) Object(path string) map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objects[path]
}

// Edit changes an object, as somebody with kubectl does; nil deletes it.
func (a *API) Edit(path string, change func(object map[string]any)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if change == nil {
		delete(a.objects, path)
		return
	}
	text, err := json.Marshal(a.objects[path])
	if err != nil {
		panic(err) // it came from JSON
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		panic(err)
	}
	change(object)
	a.objects[path] = object
}
