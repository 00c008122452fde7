package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
	"provision/components/manifest"
)

// TestOwnAddonsComeLast: they need a cluster that works, and one that is well already
// is not waited for again.
func TestOwnAddonsComeLast(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	s := site(c)
	must(t, c, s)
	c.Own = []components.Addon{{Name: "a", Namespace: "default", Sum: "1", Manifests: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
		Objects: []components.Object{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "default", Name: "a"}}}}
	names := func(found Facts) (names []string) {
		for _, phase := range Make(c, found, time.Now()).Phases {
			names = append(names, phase.Name)
		}
		return names
	}
	if got := names(look(site(c))); !slices.Equal(got, []string{"agent", "machines", "cluster", "ready", "addons"}) {
		t.Errorf("blank machines get %v", got)
	}
	found := look(s)
	for name, node := range found.Cluster.Nodes {
		node.Ready = true
		found.Cluster.Nodes[name] = node
	}
	if got := names(found); !slices.Equal(got, []string{"addons"}) {
		t.Errorf("a cluster that is well gets %v", got)
	}
	for machine, action := range Make(c, found, time.Now()).all() {
		if machine != "m1" {
			t.Errorf("%s: %s", machine, action)
		}
		if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
			t.Fatal(err)
		}
	}
	found.Cluster.Applied, found.Cluster.Objects = s.Cluster.Facts().Applied, s.Cluster.Facts().Objects
	if got := names(found); len(got) > 0 {
		t.Errorf("still to do: %v", got)
	}
}

// TestEveryObjectIsKept: each object of each of our addons is put back after somebody
// deleted it, or took a part of it away.
func TestEveryObjectIsKept(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	s := site(c)
	must(t, c, s)
	for _, addon := range addons.All(c) {
		objects, err := manifest.Objects(addon.Manifests)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			path, err := s.Cluster.Path(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			whole := s.Cluster.Object(path)
			harms := []func(map[string]any){nil}
			for key := range whole {
				if key != "apiVersion" && key != "kind" && key != "metadata" {
					harms = append(harms, func(object map[string]any) { delete(object, key) })
				}
			}
			for _, harm := range harms {
				s.Cluster.Edit(path, harm)
				if p := Make(c, look(s), time.Now()); p.Empty() {
					t.Errorf("%s, %s: nothing is to do", addon.Name, o)
				}
				must(t, c, s)
				if diff := cmp.Diff(whole, s.Cluster.Object(path)); diff != "" {
					t.Errorf("%s, %s, -was +is:\n%s", addon.Name, o, diff)
				}
			}
		}
	}
}

// TestOffIsNotLookedFor: what the file does not want is not missed.
func TestOffIsNotLookedFor(t *testing.T) {
	names := func(c components.Cluster) (names []string) {
		for _, addon := range addons.All(c) {
			names = append(names, addon.Name)
		}
		return names
	}
	c := componentstest.Cluster("m1")
	all := names(c)
	c.Addons = components.Addons{}
	left := names(c)
	for _, name := range []string{"coredns", "metrics-server", "local-path"} {
		if !slices.Contains(all, name) || slices.Contains(left, name) {
			t.Errorf("%s: all are %v, without those that can be switched off %v", name, all, left)
		}
	}
}

// TestWhatStandsInTheWayOfAddons is said before anything is touched.
func TestWhatStandsInTheWayOfAddons(t *testing.T) {
	c := componentstest.Cluster("m1")
	c.Own = []components.Addon{{Name: "a", Objects: []components.Object{{APIVersion: "v1", Kind: "Service", Namespace: "kube-system", Name: "kube-dns"}}}}
	c.Bundle.Images = slices.DeleteFunc(slices.Clone(c.Bundle.Images), func(i components.Image) bool { return i.File == "images/metrics-server.tar" })
	var said []string
	for _, problem := range Preflight(c, look(site(c))) {
		said = append(said, problem.Error())
	}
	want := []string{
		"the bundle: has no image metrics-server: it is older than this program; build it again (make bundle), or say addons { metrics = false } in the cluster block",
		"addon a: holds Service kube-system/kube-dns, which is provision's own; leave it out",
	}
	if !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	if len(addons.NeedsImages(components.Addons{})) > 0 {
		t.Error("nothing is wanted, and needs images")
	}
}
