package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func notReady(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(500)
	io.WriteString(w, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: reason withheld\nreadyz check failed\n")
}

func ready(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }

func TestConnectTakesTheFirstThatIsReady(t *testing.T) {
	m1, m2 := newMaster(t, "m1", notReady), newMaster(t, "m2", ready)
	client, err := Connect(t.Context(), []Endpoint{m1.endpoint(), m2.endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got := client.Master(); got != "m2" {
		t.Errorf("connected to %s, want m2", got)
	}
}

func TestConnectDoesNotWaitForASilentMaster(t *testing.T) {
	silent := newMaster(t, "m1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	m2 := newMaster(t, "m2", ready)
	begin := time.Now()
	client, err := Connect(t.Context(), []Endpoint{silent.endpoint(), m2.endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v beside a silent master", took)
	}
}

func TestConnectNamesEveryMaster(t *testing.T) {
	bare := newMaster(t, "m1", ready)
	delete(bare.files, "/etc/provision/pki/admin.key")
	starting := newMaster(t, "m2", notReady)
	other := newMaster(t, "m3", ready) // with another cluster's CA
	other.files["/etc/provision/pki/cluster-ca-trust.pem"] = bare.files["/etc/provision/pki/cluster-ca-trust.pem"]
	_, err := Connect(t.Context(), []Endpoint{bare.endpoint(), starting.endpoint(), other.endpoint()})
	if err == nil {
		t.Fatal("connected")
	}
	for _, want := range []string{
		"m1: has no /etc/provision/pki/admin.key: `provision up` sets it up",
		"m2: GET /readyz: 500 Internal Server Error: not ready: etcd, informer-sync",
		"m3: GET /readyz: tls: failed to verify certificate",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestOneConnectionServesAll(t *testing.T) {
	client, m := connectTo(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	for range 5 {
		data, err := client.Do(t.Context(), http.MethodGet, "/api", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if string(data) != "HTTP/2.0" {
			t.Errorf("spoke %s, want HTTP/2.0", data)
		}
	}
	if got := m.dials.Load(); got != 1 {
		t.Errorf("dialled %d times, want once", got)
	}
}

func TestDoTellsWhatTheServerSaid(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(404)
		io.WriteString(w, `{"kind":"Status","reason":"NotFound","message":"pods \"x\" not found"}`)
	})
	_, err := client.Do(t.Context(), http.MethodGet, "/api/v1/namespaces/default/pods/x?watch=1", "", nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a 404 is not fs.ErrNotExist: %v", err)
	}
	if got, want := err.Error(), `GET /api/v1/namespaces/default/pods/x: 404 Not Found: pods "x" not found`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReadyWaits(t *testing.T) {
	var asked atomic.Int32
	m := newMaster(t, "m1", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			notReady(w, r)
		}
	})
	client, err := New(t.Context(), m.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	asked.Store(-1000)
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if err := client.Ready(ctx); err == nil || !strings.HasPrefix(err.Error(), "m1: API server is not ready: GET /readyz: ") {
		t.Errorf("got %v", err)
	}
}

func TestFacts(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/nodes":
			io.WriteString(w, `{"items":[{
				"metadata":{"name":"w1","labels":{"disk":"ssd"}},
				"spec":{"podCIDRs":["10.244.1.0/24"],"taints":[{"key":"a","value":"b","effect":"NoSchedule"}]},
				"status":{
					"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}],
					"addresses":[{"type":"Hostname","address":"w1"},{"type":"InternalIP","address":"10.0.0.1"}],
					"nodeInfo":{"kubeletVersion":"v1.36.3"}}},
				{"metadata":{"name":"w2"},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}]}`)
		case "/api/v1/namespaces/kube-system/configmaps/provision-inventory":
			io.WriteString(w, `{"data":{"applied.coredns":"0123","other":"x","objects.coredns":"[{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"namespace\":\"kube-system\",\"name\":\"kube-dns\"}]"}}`)
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	})
	want := components.ClusterFacts{
		Reachable: true,
		Nodes: map[string]components.NodeFact{
			"w1": {
				Ready: true, Labels: map[string]string{"disk": "ssd"}, Addr: "10.0.0.1",
				Taints:   []components.Taint{{Key: "a", Value: "b", Effect: "NoSchedule"}},
				PodCIDRs: []string{"10.244.1.0/24"}, Version: "v1.36.3",
			},
			"w2": {},
		},
		Applied: map[string]string{"coredns": "0123"},
		Objects: map[string][]components.Object{"coredns": {{APIVersion: "v1", Kind: "Service", Namespace: "kube-system", Name: "kube-dns"}}},
	}
	got, err := client.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFactsOfAFreshCluster(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/nodes" {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, `{"items":[]}`)
	})
	got, err := client.Facts(t.Context())
	if err != nil || !got.Reachable || got.Problem != "" || len(got.Nodes)+len(got.Applied) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestFactsOfAClusterThatRefusesUs(t *testing.T) {
	for code, refused := range map[int]bool{401: true, 403: true, 503: false, 429: false} {
		client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) })
		got, err := client.Facts(t.Context())
		says := strings.Contains(got.Problem, "m1: its API server answers, and refuses the administrators' identity; `provision up` gives it its rights back: GET /api/v1/n")
		if err == nil || got.Reachable || says != refused {
			t.Errorf("status %d: %+v", code, got)
		}
	}
}

func TestFactsOfASickCluster(t *testing.T) {
	client, _ := connectTo(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	got, err := client.Facts(t.Context())
	if err == nil || got.Problem != err.Error() || got.Reachable || !strings.HasPrefix(got.Problem, "m1: GET /api/v1/n") {
		t.Errorf("got %+v", got)
	}
}
