package addons_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
)

// addon is one of the user's, of ConfigMaps of these names.
func addon(name string, maps ...string) components.Addon {
	a := components.Addon{Name: name, Namespace: "default"}
	var text []string
	for _, m := range maps {
		text = append(text, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+m+"}\n")
		a.Objects = append(a.Objects, components.Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: "default", Name: m})
	}
	a.Manifests = []byte(strings.Join(text, "\n---\n"))
	a.Sum = components.Sum(a.Manifests)
	return a
}

func there(site *componentstest.Site, name string) bool {
	return site.Cluster.Object("/api/v1/namespaces/default/configmaps/"+name) != nil
}

// TestOwn follows addons as their file changes.
func TestOwn(t *testing.T) {
	c, site := running(t)
	for _, step := range []struct {
		own         []components.Addon
		said        []string
		there, gone []string
	}{
		{[]components.Addon{addon("a", "one", "two"), addon("b", "three")},
			[]string{"apply addon a (2 objects), and wait until it is healthy", "apply addon b (1 object), and wait until it is healthy"},
			[]string{"one", "two", "three"}, nil},
		{[]components.Addon{addon("a", "one", "two"), addon("b", "three")}, nil, []string{"one"}, nil},
		{[]components.Addon{addon("a", "one"), addon("b", "three")},
			[]string{"apply addon a (1 object), and wait until it is healthy, and delete ConfigMap default/two"},
			[]string{"one", "three"}, []string{"two"}},
		// An object that moves from one addon to another is not deleted on the way.
		{[]components.Addon{addon("c", "one")},
			[]string{"forget addon a", "take away addon b: delete ConfigMap default/three", "apply addon c (1 object), and wait until it is healthy"},
			[]string{"one"}, []string{"three"}},
		{nil, []string{"take away addon c: delete ConfigMap default/one"}, nil, []string{"one"}},
		{nil, nil, nil, nil},
	} {
		c.Own = step.own
		var said []string
		for _, action := range addons.Own(c, site.Cluster.Facts()) {
			said = append(said, action.String())
			if err := action.Apply(t.Context(), nil, site); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(said, step.said) {
			t.Errorf("said %q, want %q", said, step.said)
		}
		for _, name := range step.there {
			if !there(site, name) {
				t.Errorf("after %q %s is not there", said, name)
			}
		}
		for _, name := range step.gone {
			if there(site, name) {
				t.Errorf("after %q %s is there", said, name)
			}
		}
	}
}

// TestNobodysNamespaceGoes: whoever labels kube-system does not own it.
func TestNobodysNamespaceGoes(t *testing.T) {
	c, site := running(t)
	facts := site.Cluster.Facts()
	facts.Objects["addon.x"] = []components.Object{
		{APIVersion: "v1", Kind: "Namespace", Namespace: "default", Name: "kube-system"}, {APIVersion: "v1", Kind: "Secret", Name: "s"},
	}
	if got := addons.Own(c, facts)[0].String(); got != "take away addon x: delete Secret s" {
		t.Error(got)
	}
}

func TestClashes(t *testing.T) {
	c, _ := running(t)
	dns := components.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}
	a := addon("x", "one")
	a.Objects = append(a.Objects, dns)
	c.Own = []components.Addon{a}
	if got := addons.Clashes(c); len(got) != 1 || got[dns] != "x" {
		t.Errorf("%v", got)
	}
	c.Addons.DNS = false
	if got := addons.Clashes(c); len(got) > 0 {
		t.Errorf("without CoreDNS: %v", got)
	}
}

// TestHealth: an addon is noted as applied once it is healthy, and not before.
func TestHealth(t *testing.T) {
	for name, test := range map[string]struct{ kind, version, status, want string }{
		"available":   {"Deployment", "apps/v1", `{"updatedReplicas":1,"availableReplicas":1}`, ""},
		"unavailable": {"Deployment", "apps/v1", `{"updatedReplicas":1}`, "Deployment default/web is not healthy after 5m0s: 0 of 1 replicas are available"},
		"job failed":  {"Job", "batch/v1", `{"conditions":[{"type":"Failed","status":"True","message":"too often"}]}`, "Job default/web failed: too often"},
		"job done":    {"Job", "batch/v1", `{"conditions":[{"type":"Complete","status":"True"}]}`, ""},
		"pod ended":   {"Pod", "v1", `{"phase":"Succeeded"}`, ""},
		"pod waits":   {"Pod", "v1", `{"conditions":[{"type":"Ready","status":"False","message":"no image"}]}`, "Pod default/web is not healthy after 5m0s: it is not Ready: no image"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, site := running(t)
				o := components.Object{APIVersion: test.version, Kind: test.kind, Namespace: "default", Name: "web"}
				path, err := site.Cluster.Path(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				create(t, site, strings.TrimSuffix(path, "/web"), `{"metadata":{"name":"web"},"status":`+test.status+`}`)
				c.Own = []components.Addon{{Name: "a", Namespace: "default", Objects: []components.Object{o}, Sum: "1",
					Manifests: []byte("apiVersion: " + test.version + "\nkind: " + test.kind + "\nmetadata: {name: web}\n")}}
				err = addons.Own(c, site.Cluster.Facts())[0].Apply(t.Context(), nil, site)
				if said := errorText(err); !strings.HasPrefix(said, test.want) || (said == "") != (test.want == "") {
					t.Errorf("said %q, want %q", said, test.want)
				}
				if left := len(addons.Own(c, site.Cluster.Facts())); (left == 0) != (test.want == "") {
					t.Errorf("%d actions are left", left)
				}
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestTakenBack: what a run that failed had begun is not taken for what was there before.
func TestTakenBack(t *testing.T) {
	c, site := running(t)
	settle := func(a components.Addon) (planned int, err error) {
		c.Own = []components.Addon{a}
		list := addons.Own(c, site.Cluster.Facts())
		for _, action := range list {
			err = errors.Join(err, action.Apply(t.Context(), nil, site))
		}
		return len(list), err
	}
	before, broken := addon("a", "one"), addon("a", "one", "two")
	broken.Manifests = append(broken.Manifests, "\n---\nkind: Nameless\n"...)
	broken.Sum = "2"
	if _, err := settle(before); err != nil {
		t.Fatal(err)
	}
	if _, err := settle(broken); err == nil || !there(site, "two") {
		t.Fatalf("it was to fail in the middle: %v", err)
	}
	if planned, err := settle(before); planned != 1 || err != nil || there(site, "two") {
		t.Errorf("%d actions, %v; what had been begun is there: %v", planned, err, there(site, "two"))
	}
}
