package runtime_test

import (
	"errors"
	"strings"
	"testing"

	"provision/components"
	"provision/components/actions"
	"provision/components/componentstest"
	"provision/components/runtime"
)

func TestConfigFollowsTheMachine(t *testing.T) {
	c := componentstest.Cluster("m1")
	config := func(f components.Facts) string {
		for _, action := range runtime.Actions(c, c.Machines[0], f) {
			if file, ok := action.(actions.File); ok && strings.HasSuffix(file.Path, ".toml") {
				return string(file.Content)
			}
		}
		t.Fatal("no containerd.toml")
		return ""
	}
	for _, test := range []struct {
		f    components.Facts
		want []string
	}{
		{components.Facts{Cgroup: 2, LowerOOM: true}, []string{"SystemdCgroup = true", "restrict_oom_score_adj = false"}},
		{components.Facts{Cgroup: 1}, []string{"SystemdCgroup = false", "restrict_oom_score_adj = true"}},
	} {
		for _, want := range append(test.want, `sandbox = "provision.internal/pause:3.10"`, `conf_dir = "/etc/provision/cni"`, `address = "`+runtime.Socket+`"`) {
			if !strings.Contains(config(test.f), want) {
				t.Errorf("%+v lacks %s", test.f, want)
			}
		}
	}
}

func TestImagesAreImportedOnce(t *testing.T) {
	c := componentstest.Cluster("m1")
	site := componentstest.NewSite(c)
	m := site.Machines["m1"]
	images := func() (found []runtime.ImportImages) {
		for _, action := range runtime.Actions(c, c.Machines[0], m.Facts()) {
			if a, ok := action.(runtime.ImportImages); ok {
				found = append(found, a)
			}
		}
		return found
	}
	todo := images()
	if len(todo) != 1 {
		t.Fatal("a bare machine needs images")
	}
	if got := todo[0].String(); got != "import images provision.internal/coredns:1.15.0, provision.internal/pause:3.10" {
		t.Error(got)
	}
	// Without containerd it fails, and is not taken for done.
	if err := todo[0].Apply(t.Context(), m, site); !errors.As(err, new(*components.ExitError)) {
		t.Errorf("got %v", err)
	}
	if len(images()) != 1 {
		t.Error("an import that failed is taken for done")
	}
	if err := m.WriteFile(t.Context(), "/var/lib/provision/containerd/provision-images", 0o644, todo[0].Stamp); err != nil {
		t.Fatal(err)
	}
	if len(images()) != 0 {
		t.Error("images are imported again")
	}
	if later := runtime.Later(c, c.Machines[0], m.Facts()); len(later) != 1 || later[0].(runtime.ImportImages).String() != "import images provision.internal/local-path-provisioner:0.0.30, provision.internal/metrics-server:0.9.0, provision.internal/volume:1" {
		t.Errorf("later: %v", later)
	}
	c.Bundle.Files["images/coredns.tar"] = components.Sum([]byte("newer"))
	if len(images()) != 1 {
		t.Error("a newer image is not imported")
	}
}
