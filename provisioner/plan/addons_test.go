package plan

import (
	"slices"
	"testing"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
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
