package kube

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

// recorder notes the requests that change something.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) note(request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, request.Method+" "+request.URL.RequestURI())
}

const manifests = `# A comment of its own is no document.
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns, namespace: demo}
---
apiVersion: v1
kind: Namespace
metadata:
  name: demo
---
apiVersion: example.org/v1alpha1
kind: Widget
metadata: {name: a, namespace: demo}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
`

func TestApply(t *testing.T) {
	var calls recorder
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		calls.note(r)
		if r.Method == http.MethodGet {
			io.WriteString(w, `{"resources":[{"name":"widgets/status","kind":"Widget","namespaced":true},{"name":"widgets","kind":"Widget","namespaced":true}]}`)
			return
		}
		if got := r.Header.Get("Content-Type"); got != "application/apply-patch+yaml" {
			t.Errorf("sent as %s", got)
		}
	})
	for range 2 { // what was discovered is not asked for again
		if err := client.Apply(t.Context(), []byte(manifests)); err != nil {
			t.Fatal(err)
		}
	}
	const how = "?fieldManager=provision&force=true"
	once := []string{
		"PATCH /api/v1/namespaces/default/configmaps/c" + how,
		"PATCH /api/v1/namespaces/demo" + how,
		"PATCH /apis/apps/v1/namespaces/demo/deployments/dns" + how,
		"PATCH /apis/example.org/v1alpha1/namespaces/demo/widgets/a" + how,
	}
	want := slices.Concat([]string{"GET /apis/example.org/v1alpha1"}, once, once)
	slices.Sort(want)
	if got := calls.seen[0]; got != once[1] {
		t.Errorf("the namespace does not go first but %s", got)
	}
	got := slices.Sorted(slices.Values(calls.seen))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestApplyWaitsOutAStart(t *testing.T) {
	answers := []int{503, 404, 500, 429, 200}
	var n int
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(answers[n])
		n++
	})
	if err := client.Apply(t.Context(), []byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: late}}")); err != nil {
		t.Fatal(err)
	}
	if n != len(answers) {
		t.Errorf("asked %d times", n)
	}
}

func TestApplyGivesUpAtOnceOnARefusal(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "bad") {
			w.WriteHeader(422)
			io.WriteString(w, `{"kind":"Status","message":"spec is wrong"}`)
		}
	})
	begin := time.Now()
	err := client.Apply(t.Context(), []byte("{apiVersion: v1, kind: Pod, metadata: {name: bad, namespace: x}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: good}}\n"))
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 422 || !strings.HasPrefix(err.Error(), "apply Pod x/bad: PATCH ") || !strings.HasSuffix(err.Error(), "spec is wrong") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestWhatPasses(t *testing.T) {
	for message, want := range map[string]bool{
		`Service "s" is invalid: spec.clusterIPs: Invalid value: [""]: failed to allocate IP: Post "https://192.0.2.1:6443/apis/networking.k8s.io/v1/ipaddresses": http2: client connection lost`: true,
		`Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated`:                                              false,
	} {
		if got := transient(&StatusError{Code: 422, Message: message}); got != want {
			t.Errorf("%s: %v", message, got)
		}
	}
	for message, want := range map[string]bool{
		"etcd is on its way": true,
		"failed to create typed patch object (x/bad; /v1, Kind=ConfigMap): .data.a: expected string, got &value.valueUnstructured{}": false,
		"failed to create typed patch object (x/new; a.example.org/v1, Kind=Cart): no corresponding type for a.example.org/v1":       true,
	} {
		if got := transient(&StatusError{Code: 500, Message: message}); got != want {
			t.Errorf("%s: %v", message, got)
		}
	}
}

func TestPath(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/shop.example.org/v1" {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, `{"resources":[{"name":"baskets/status","kind":"Basket","namespaced":true},{"name":"baskets","kind":"Basket","namespaced":true}]}`)
	})
	for object, want := range map[components.Object]string{
		{APIVersion: "v1", Kind: "Namespace", Name: "a"}:                           "/api/v1/namespaces/a",
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "n", Name: "a"}:     "/apis/apps/v1/namespaces/n/deployments/a",
		{APIVersion: "v1", Kind: "Secret", Name: "a"}:                              "/api/v1/namespaces/default/secrets/a",
		{APIVersion: "shop.example.org/v1", Kind: "Basket", Name: "../../secrets"}: "/apis/shop.example.org/v1/namespaces/default/baskets/..%2F..%2Fsecrets",
	} {
		if got, err := client.Path(t.Context(), object); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", object, got, err, want)
		}
	}
	for _, object := range []components.Object{{APIVersion: "shop.example.org/v1", Kind: "Cart", Name: "a"}, {APIVersion: "gone/v1", Kind: "Cart", Name: "a"}} {
		if _, err := client.Path(t.Context(), object); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", object, err)
		}
	}
}
