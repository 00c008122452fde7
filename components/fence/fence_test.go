package fence

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/componentstest"
)

const nodes = "/api/v1/nodes"

// site is a site whose m1 does not answer, as one that was just stopped.
type site struct{ *componentstest.Site }

func (s site) APIOf(ctx context.Context, master string) (components.API, error) {
	if master == "m1" {
		return nil, errors.New("connection refused")
	}
	return s.API(ctx)
}

func newSite(t *testing.T, ready string) site {
	t.Helper()
	s := site{componentstest.NewSite(componentstest.Cluster("m1", "m2", "w1"))}
	s.Cluster.Always = true
	if ready == "True" { // the API has it from kubelet
		w1 := s.Machines["w1"]
		const unit = "provision-kubelet.service"
		if err := w1.WriteFile(t.Context(), components.Units+"/"+unit, 0o644, []byte("[Service]\n")); err != nil {
			t.Fatal(err)
		}
		for _, verb := range [][]string{{"daemon-reload"}, {"start", unit}} {
			if _, err := w1.Run(t.Context(), append([]string{"systemctl"}, verb...), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	post(t, s, nodes, `{"metadata":{"name":"w1","resourceVersion":"7"},"spec":{"taints":[{"key":"theirs","effect":"NoSchedule","timeAdded":"now"}]},
		"status":{"conditions":[{"type":"Ready","status":"`+ready+`"}]}}`)
	return s
}

func post(t *testing.T, s site, path, body string) {
	t.Helper()
	if _, err := s.Cluster.Do(t.Context(), "POST", path, "", []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func taints(s site) string {
	text, err := json.Marshal(s.Cluster.Object(nodes + "/w1")["spec"])
	if err != nil {
		panic(err)
	}
	return string(text)
}

var via = []string{"m1", "m2"}

func TestAMarkGoesOnAndOffAndOthersStay(t *testing.T) {
	s := newSite(t, "Unknown")
	before := taints(s)
	for range 2 { // once more changes nothing
		if err := (Mark{Node: "w1", Via: via}).Apply(t.Context(), nil, s); err != nil {
			t.Fatal(err)
		}
	}
	got := taints(s)
	if strings.Count(got, Taint.Key) != 1 || !strings.Contains(got, `"effect":"NoExecute"`) || !strings.Contains(got, "timeAdded") {
		t.Errorf("taints: %s", got)
	}
	if !Marked(s.Cluster.Facts().Nodes["w1"]) {
		t.Error("the facts do not show it")
	}
	for range 2 {
		if err := (Unmark{Node: "w1", Via: via}).Apply(t.Context(), nil, s); err != nil {
			t.Fatal(err)
		}
	}
	if got := taints(s); got != before {
		t.Errorf("after all %s, before %s", got, before)
	}
}

// A kubelet that came back between the look and the mark refutes who said that it is dead.
func TestANodeThatIsReadyIsNotDead(t *testing.T) {
	s := newSite(t, "True")
	if err := (Mark{Node: "w1", Via: via}).Apply(t.Context(), nil, s); err == nil || !strings.Contains(err.Error(), "is Ready") {
		t.Errorf("%v", err)
	}
	if strings.Contains(taints(s), Taint.Key) {
		t.Error("it was marked")
	}
	if err := (Mark{Node: "w1", Via: via, Stopped: true}).Apply(t.Context(), nil, s); err != nil {
		t.Errorf("its kubelet was seen to be stopped: %v", err)
	}
}

func TestWithoutAnAPIServerNothingIsMarked(t *testing.T) {
	s := newSite(t, "Unknown")
	err := Mark{Node: "w1", Via: []string{"m1"}}.Apply(t.Context(), nil, s)
	if err == nil || !strings.Contains(err.Error(), "m1: connection refused") {
		t.Errorf("%v", err)
	}
}

// Ready alone may be of before: the Lease has to move.
func TestAnOldReadyDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "True")
		s.Cluster.Mute = map[string]bool{"w1": true}
		const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
		post(t, s, leases, `{"metadata":{"name":"w1"},"spec":{"renewTime":"1"}}`)
		wait := AwaitNode{Node: "w1", Via: via}
		if err := wait.Apply(t.Context(), nil, s); err == nil || !strings.Contains(err.Error(), "has not renewed its Lease") {
			t.Errorf("%v", err)
		}
		go func() {
			time.Sleep(3 * time.Second)
			s.Cluster.Do(context.Background(), "PATCH", leases+"/w1", "", []byte(`{"spec":{"renewTime":"2"}}`))
		}()
		start := time.Now()
		if err := wait.Apply(t.Context(), nil, s); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("back after %s", took)
		}
	})
}
