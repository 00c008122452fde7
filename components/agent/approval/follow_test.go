package approval

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// api is as much of an API server as the daemon talks to: one list, one watch
// that sends what is added, and the approval subresource.
type api struct {
	*httptest.Server
	mu       sync.Mutex
	requests map[string]*certificatesv1.CertificateSigningRequest
	watchers map[chan *certificatesv1.CertificateSigningRequest]bool
	approved []string
	refuse   int           // this many approvals fail first
	hasty    bool          // watches end as soon as they began
	lists    int           // how often all requests were read
	stop     chan struct{} // closed: watches end, which a server that closes waits for
}

const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

func newAPI(t *testing.T) *api {
	a := &api{
		requests: map[string]*certificatesv1.CertificateSigningRequest{},
		watchers: map[chan *certificatesv1.CertificateSigningRequest]bool{},
		stop:     make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, a.read)
	mux.HandleFunc("PUT "+path+"/{name}/approval", a.approve)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(func() { a.end(a.Server) })
	return a
}

// end closes a server, also while the daemon connects to it again and again: a
// watch that begins after the connections were closed would be waited for
// without end.
func (a *api) end(server *httptest.Server) {
	a.mu.Lock()
	select {
	case <-a.stop:
	default:
		close(a.stop)
	}
	a.mu.Unlock()
	server.CloseClientConnections()
	server.Close()
}

func (a *api) add(csr *certificatesv1.CertificateSigningRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests[csr.Name] = csr
	for watcher := range a.watchers {
		watcher <- csr
	}
}

func (a *api) read(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.lists++
		list := certificatesv1.CertificateSigningRequestList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
		list.APIVersion, list.Kind = "certificates.k8s.io/v1", "CertificateSigningRequestList"
		for _, csr := range a.requests {
			list.Items = append(list.Items, *csr)
		}
		json.NewEncoder(w).Encode(list)
		return
	}
	watcher := make(chan *certificatesv1.CertificateSigningRequest, 10)
	a.mu.Lock()
	a.watchers[watcher] = true
	a.mu.Unlock()
	defer func() { a.mu.Lock(); delete(a.watchers, watcher); a.mu.Unlock() }()
	w.(http.Flusher).Flush()
	for !a.hasty {
		select {
		case <-r.Context().Done():
			return
		case <-a.stop:
			return
		case csr := <-watcher:
			named := csr.DeepCopy()
			named.APIVersion, named.Kind = "certificates.k8s.io/v1", "CertificateSigningRequest"
			json.NewEncoder(w).Encode(map[string]any{"type": "ADDED", "object": named})
			w.(http.Flusher).Flush()
		}
	}
}

func (a *api) approve(w http.ResponseWriter, r *http.Request) {
	var csr certificatesv1.CertificateSigningRequest
	if err := json.NewDecoder(r.Body).Decode(&csr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse > 0 {
		a.refuse--
		http.Error(w, "busy", http.StatusInternalServerError)
		return
	}
	conditions := csr.Status.Conditions
	if csr.ResourceVersion != "1" || len(conditions) != 1 || conditions[0].Type != certificatesv1.CertificateApproved || conditions[0].Status != "True" {
		http.Error(w, fmt.Sprint(csr), http.StatusUnprocessableEntity)
		return
	}
	a.requests[csr.Name] = &csr
	a.approved = append(a.approved, csr.Name)
	w.Header().Set("Content-Type", "application/json")
	csr.APIVersion, csr.Kind = "certificates.k8s.io/v1", "CertificateSigningRequest"
	json.NewEncoder(w).Encode(csr)
}

func (a *api) names() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.approved, " ")
}

func (a *api) watched() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watchers) > 0
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.Buffer.String(), text)
}

// start runs the daemon until the test ends, and returns its file and its log.
func start(t *testing.T, a *api, machines string) (file string, log *syncBuffer) {
	t.Helper()
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: %q}\ncontexts:\n- name: c\n  context: {cluster: c}\ncurrent-context: c\n", a.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, log = filepath.Join(dir, "certificates.json"), &syncBuffer{}
	write(t, file, machines)
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{path: file, log: slog.New(slog.NewTextHandler(log, nil)), every: 10 * time.Millisecond}
	done := make(chan struct{})
	go func() { defer close(done); d.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("the daemon does not stop")
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return file, log
}

func write(t *testing.T, file, machines string) {
	t.Helper()
	text := fmt.Sprintf(`{"kubeconfig":%q,"machines":[%s]}`, filepath.Join(filepath.Dir(file), "kubeconfig"), machines)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

const w1 = `{"name":"w1","address":"10.0.0.2"}`

func TestRequestsAreApprovedBeforeAndWhileWatching(t *testing.T) {
	a := newAPI(t)
	denied := kubelets(t, "denied")
	denied.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: "True"}}
	a.add(denied)
	a.add(kubelets(t, "before"))
	start(t, a, w1)
	eventually(t, "the first is approved", func() bool { return a.names() == "before" })
	eventually(t, "watched", a.watched)
	a.add(kubelets(t, "after"))
	eventually(t, "the second is approved", func() bool { return a.names() == "before after" })
}

func TestWhatIsNotApprovedIsLoggedOnceAndMetAgain(t *testing.T) {
	a := newAPI(t)
	file, log := start(t, a, `{"name":"w2","address":"10.0.0.3"}`)
	eventually(t, "watched", a.watched)
	csr := kubelets(t, "early")
	a.add(csr)
	a.add(csr)
	eventually(t, "logged", func() bool { return log.count("not in the inventory") == 1 })
	for range 3 {
		a.CloseClientConnections()
		time.Sleep(30 * time.Millisecond)
	}
	eventually(t, "watched again", a.watched)
	if n := log.count("not in the inventory"); n != 1 || a.names() != "" {
		t.Errorf("logged %d times, approved %q", n, a.names())
	}
	write(t, file, w1)
	eventually(t, "approved once the machine is known", func() bool { return a.names() == "early" })
}

func TestForgedNamesAreLeftAlone(t *testing.T) {
	a := newAPI(t)
	_, log := start(t, a, w1)
	forged := kubelets(t, "forged")
	forged.Spec.Request = request(t, func(r *x509.CertificateRequest) { r.DNSNames = []string{"kubernetes"} })
	a.add(forged)
	eventually(t, "logged", func() bool { return log.count("left alone") == 1 })
	if a.names() != "" {
		t.Errorf("approved %q", a.names())
	}
}

func TestTheAPIMayComeLater(t *testing.T) {
	a := newAPI(t)
	a.add(kubelets(t, "one"))
	address := a.Listener.Addr().String()
	a.CloseClientConnections()
	a.Close()
	_, log := start(t, a, w1)
	eventually(t, "logged", func() bool { return log.count("no approvals for now") > 0 })
	time.Sleep(50 * time.Millisecond)
	if n := log.count("no approvals for now"); n > 2 {
		t.Errorf("logged %d times", n)
	}
	again := httptest.NewUnstartedServer(a.Config.Handler)
	again.Listener.Close()
	var err error
	if again.Listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	again.Start()
	defer a.end(again)
	eventually(t, "approved", func() bool { return a.names() == "one" })
}

func TestAServerThatEndsEveryWatchIsNotFlooded(t *testing.T) {
	a := newAPI(t)
	a.hasty = true
	start(t, a, w1)
	time.Sleep(200 * time.Millisecond)
	a.mu.Lock()
	defer a.mu.Unlock()
	// One look for each wait of 10 ms, and some more for a clock that is late.
	if a.lists == 0 || a.lists > 40 {
		t.Errorf("read %d times within 200 ms", a.lists)
	}
}

func TestMachinesThatStartTogetherAreNotKeptWaiting(t *testing.T) {
	a := newAPI(t)
	for i := range 40 {
		a.add(kubelets(t, fmt.Sprintf("csr-%d", i)))
	}
	start(t, a, w1)
	eventually(t, "all are approved", func() bool { return len(strings.Fields(a.names())) == 40 })
}
