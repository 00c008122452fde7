package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/componentstest"
	"provision/provisioner/plan"
)

// answers is an API that says what it was given.
type answers map[string]string

func (answers) Ready(context.Context) error         { return nil }
func (answers) Apply(context.Context, []byte) error { return nil }

func (answers) ApplyAs(context.Context, string, string, []byte) error { return nil }

func (answers) Path(context.Context, components.Object) (string, error) { return "", nil }
func (a answers) Do(_ context.Context, _, path, _ string, _ []byte) ([]byte, error) {
	before, _, _ := strings.Cut(path, "?")
	if text, ok := a[before]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("not asked for: " + path)
}

func TestWhatStatusWarnsOf(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	more, err := askMore(t.Context(), answers{
		"/api/v1/nodes": `{"items":[{"metadata":{"name":"m1","annotations":{"provision.internal/overlay":"{\"mode\":\"userspace\"}"}}},{"metadata":{"name":"w1"}}]}`,
		"/version":      `{"major":"1","minor":"36","gitVersion":"v1.36.3"}`,
		"/apis/networking.k8s.io/v1/networkpolicies": `{"items":[{"metadata":{"namespace":"shop","name":"deny-all"}}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if more.version != "1.36.3" {
		t.Errorf("version: %q", more.version)
	}
	if more.modes["m1"] != "userspace" || more.modes["w1"] != "" {
		t.Errorf("modes: %v", more.modes)
	}
	c := componentstest.Cluster("m1", "w1")
	ends := func(days int) components.CertFact { return components.CertFact{NotAfter: now.AddDate(0, 0, days)} }
	found := plan.Facts{Machines: map[string]components.Facts{
		"m1": {Certificates: map[string]components.CertFact{"etcd": ends(29), "kubelet": ends(3), "admin": ends(31)}},
		"w1": {Certificates: map[string]components.CertFact{"kubelet": ends(300)}},
	}}
	want := []string{
		"m1: 2 of its certificates end within 30 days, the first (one of etcd, kubelet) on 2030-01-04: `provision up` renews them",
		"there are network policies (shop/deny-all), and nothing in this cluster enforces them: pods that they should keep apart reach each other",
	}
	if diff := cmp.Diff(want, warnings(c, found, more, now)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if got := warnings(c, plan.Facts{}, extra{}, now); len(got) > 0 {
		t.Errorf("nothing is wrong, and %q", got)
	}
}
