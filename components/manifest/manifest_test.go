package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func TestObjects(t *testing.T) {
	got, err := Objects([]byte(`# nothing but a comment
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: shop}
  - {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []components.Object{
		{APIVersion: "v1", Kind: "Namespace", Name: "shop"},
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
		{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "web"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":                    "manifest 1: ",
		"kind: Pod\n":             "manifest 1: apiVersion, kind and metadata.name must be given",
		"{}\n---\napiVersion: v1": "manifest 2: apiVersion, kind and metadata.name must be given",
		"apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n":                  "manifest 1: apiVersion, kind and metadata.name must be given",
		"apiVersion: v1\nkind: Pod\nmetadata: {generateName: without-a-name}": "manifest 1: apiVersion, kind and metadata.name must be given",
	} {
		if _, err := Split([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSame(t *testing.T) {
	web := components.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	for object, same := range map[components.Object]bool{
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}:                       true,
		{APIVersion: "apps/v1beta1", Kind: "Deployment", Name: "web"}:                  true,
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web"}: true,
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}:    false,
		{APIVersion: "v1", Kind: "Deployment", Name: "web"}:                            false,
		{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "web"}:                        false,
	} {
		if web.Same(object) != same {
			t.Errorf("%+v: same is %v", object, !same)
		}
	}
}
