package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/provisioner/plan"
	"provision/provisioner/ssh/sshtest"
	"provision/provisioner/view"
)

// stopper ends a watch after so many lines.
type stopper struct {
	mu   sync.Mutex
	text bytes.Buffer
	left int
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left -= bytes.Count(p, []byte("\n")); s.left <= 0 {
		s.stop()
	}
	return s.text.Write(p)
}

// A watch says a document a line, and ends as its last look was, not as interrupted.
func TestWatchEndsAsItsLastLookWas(t *testing.T) {
	path := file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)})
	ctx, stop := context.WithCancel(soon(t))
	out := &stopper{left: 3, stop: stop}
	if code := Main(ctx, []string{"status", path, "--watch=100ms", "--json"}, strings.NewReader(""), out, io.Discard); code != exitFailed {
		t.Errorf("exit status %d, of machines that hold nothing", code)
	}
	looks := 0
	for line := range strings.Lines(out.text.String()) {
		var doc clusterStatus
		if err := json.Unmarshal([]byte(line), &doc); err != nil || len(doc.Machines) != 2 || doc.API {
			t.Errorf("%v: %s", err, line)
		}
		looks++
	}
	if looks < 3 {
		t.Errorf("%d looks", looks)
	}
}

func TestWatchWantsATime(t *testing.T) {
	var out bytes.Buffer
	code := Main(t.Context(), []string{"status", "none.hcl", "--watch=0s"}, strings.NewReader(""), io.Discard, &out)
	if code != exitMisuse || !strings.Contains(out.String(), "--watch=5s") {
		t.Errorf("exit status %d: %s", code, &out)
	}
}

// A machine that was lost is dialled again, and taken in where it answers.
func TestWatchTakesALostMachineInAgain(t *testing.T) {
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}))
	s.unreach["w1"] = errors.New("gave no answer within 5s")
	before := s.clients["w1"]
	lost := redial{s: s, under: map[string]bool{}, got: make(chan redialed, 2)}
	for end := time.Now().Add(20 * time.Second); s.unreach["w1"] != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		lost.round(soon(t))
	}
	if s.unreach["w1"] != nil || s.clients["w1"] == before {
		t.Errorf("w1: %v", s.unreach["w1"])
	}
	if found, err := s.look(soon(t)); err != nil || len(found.Machines) != 2 {
		t.Errorf("%v, %v", found.Machines, err)
	}
}

func TestLeases(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 10, 0, time.UTC)
	const at = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"
	lease := func(holder, renewed string) string {
		return `{"spec":{"holderIdentity":"` + holder + `","leaseDurationSeconds":6,"renewTime":"` + renewed + `"}}`
	}
	// m1's clock is a minute ahead, m3 was not looked at.
	machines := map[string]components.Facts{"m1": {ClockSkew: time.Minute}, "m2": {}}
	for _, test := range []struct {
		manager, scheduler string
		want               []leaseStatus
	}{
		{lease("m1_a-b", "2030-01-01T00:01:09.000000Z"), lease("m2_c", "2030-01-01T00:00:08Z"), []leaseStatus{
			{Name: elections[0], Holder: "m1", Renewed: 1}, {Name: elections[1], Holder: "m2", Renewed: 2}}},
		{lease("", "2030-01-01T00:00:08Z"), lease("m2_c", "2029-12-31T23:59:10Z"), []leaseStatus{
			{Name: elections[0], Problem: "nobody holds it"}, {Name: elections[1], Holder: "m2", Renewed: 60, Problem: "its holder does not renew it"}}},
		{lease("m3_x", "2029-12-31T23:59:10Z"), lease("m2_c", "2030-01-01T00:00:30Z"), []leaseStatus{
			{Name: elections[0], Holder: "m3", Renewed: 60}, {Name: elections[1], Holder: "m2"}}},
	} {
		got, err := leases(t.Context(), answers{at + elections[0]: test.manager, at + elections[1]: test.scheduler}, machines, now)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if _, err := leases(t.Context(), answers{at + elections[0]: "no JSON"}, nil, now); err == nil {
		t.Error("no error")
	}
}

// A master whose own API server is not ready is not well, and neither is a
// cluster whose controllers nobody runs.
func TestStatusTellsOfAPIServersAndLeases(t *testing.T) {
	s := connected(t, file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)}))
	found := plan.Facts{Machines: map[string]components.Facts{}}
	rows := s.rows(found, map[string]string{"m1": "GET /readyz: not ready: etcd"})
	if rows[0].API != "" { // it was not looked at
		t.Errorf("%+v", rows[0])
	}
	found.Machines["m1"] = components.Facts{Traces: []string{components.Etc}, Cluster: s.cluster.Name}
	rows = s.rows(found, map[string]string{"m1": "GET /readyz: not ready: etcd"})
	if rows[0].API != "not ready" || !strings.Contains(strings.Join(rows[0].Problems, " "), "its API server: GET /readyz: not ready: etcd") {
		t.Errorf("%+v", rows[0])
	}
	doc := clusterStatus{Cluster: "c", API: true, Machines: []machineStatus{{Name: "m1", API: "ready"}}, Leases: []leaseStatus{{Name: elections[0], Holder: "m1", Renewed: 1.2}}}
	if !doc.healthy() {
		t.Error("not healthy")
	}
	var out bytes.Buffer
	if err := doc.show(view.New(&out, &out, false)); err != nil || !strings.Contains(out.String(), "kube-controller-manager  m1      1 s ago  well") {
		t.Errorf("%v\n%s", err, &out)
	}
	if doc.Leases[0].Problem = "nobody holds it"; doc.healthy() {
		t.Error("healthy without a controller manager")
	}
}
