package addons_test

import (
	"slices"
	"strings"
	"testing"

	"provision/components"
	"provision/components/addons"
)

const metricsDeployment = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server"

// TestSwitchedOff: what the file does not want any more is deleted and forgotten,
// once, and comes back when it is wanted again.
func TestSwitchedOff(t *testing.T) {
	c, site := running(t)
	settle := func() (said []string) {
		t.Helper()
		facts := site.Cluster.Facts()
		// The identities are an agent's affair, and nothing here goes by them.
		all := slices.DeleteFunc(slices.Concat(addons.Access(c, c.Machines[0], facts), addons.Optional(c, facts)),
			func(a components.Action) bool { _, is := a.(addons.Grant); return is })
		for _, action := range all {
			if err := action.Apply(t.Context(), nil, site); err != nil {
				t.Fatal(err)
			}
			said = append(said, action.String())
		}
		return said
	}
	settle()
	if site.Cluster.Object(metricsDeployment) == nil || site.Cluster.Object(deployment) == nil {
		t.Fatal("nothing was applied")
	}
	if again := settle(); len(again) > 0 {
		t.Fatalf("still to do: %q", again)
	}
	c.Addons = components.Addons{}
	said := settle()
	if len(said) != 3 || !strings.HasPrefix(said[1], "take away metrics-server: delete ServiceAccount kube-system/metrics-server, ") {
		t.Errorf("%q", said)
	}
	for _, path := range []string{metricsDeployment, deployment, "/apis/storage.k8s.io/v1/storageclasses/local-path", "/api/v1/namespaces/local-path-storage"} {
		if site.Cluster.Object(path) != nil {
			t.Errorf("%s is still there", path)
		}
	}
	if again := settle(); len(again) > 0 {
		t.Errorf("still to do: %q", again)
	}
	c.Addons.Metrics = true
	if said := settle(); len(said) != 1 || said[0] != "apply metrics-server" || site.Cluster.Object(metricsDeployment) == nil {
		t.Errorf("%q", said)
	}
}

// TestFormerObjectsGo: what an earlier bundle's addon had, and this one's has not.
func TestFormerObjectsGo(t *testing.T) {
	c, site := running(t)
	former := components.Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "former"}
	create(t, site, "/api/v1/namespaces/kube-system/configmaps", `{"metadata":{"name":"former"}}`)
	facts := site.Cluster.Facts()
	facts.Objects = map[string][]components.Object{"metrics-server": {former, {APIVersion: "apps/v1beta1", Kind: "Deployment", Namespace: "kube-system", Name: "metrics-server"}}}
	apply := addons.Optional(c, facts)[0]
	if got := apply.String(); got != "apply metrics-server, and delete ConfigMap kube-system/former" {
		t.Error(got)
	}
	if err := apply.Apply(t.Context(), nil, site); err != nil {
		t.Fatal(err)
	}
	if site.Cluster.Object("/api/v1/namespaces/kube-system/configmaps/former") != nil {
		t.Error("it is still there")
	}
	if left := site.Cluster.Facts().Objects["metrics-server"]; slices.ContainsFunc(left, former.Same) || len(left) == 0 {
		t.Errorf("noted: %v", left)
	}
}
