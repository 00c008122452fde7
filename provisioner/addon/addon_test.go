package addon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/provisioner/config"
)

// read reads addons of these manifests, each in one of the namespaces.
func read(t *testing.T, addons ...config.Addon) ([]components.Addon, []string) {
	t.Helper()
	var diags config.Diagnostics
	got := Read(&config.File{Addons: addons}, "1.36.3", &diags)
	var said []string
	for _, d := range diags.Diagnostics {
		said = append(said, d.Summary+": "+d.Detail)
	}
	return got, said
}

func from(name, namespace string, texts ...string) config.Addon {
	a := config.Addon{Name: name, Namespace: namespace}
	for _, text := range texts {
		a.Manifests = append(a.Manifests, config.Manifest{Path: "/x.yaml", Text: []byte(text)})
	}
	return a
}

const (
	settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}"
	web      = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: other}\n"
)

func TestRead(t *testing.T) {
	got, said := read(t, from("shop", "store", settings, web), from("more", "store", strings.ReplaceAll(settings, "settings", "s2")), from("plain", "default", settings))
	if len(said) > 0 {
		t.Fatal(said)
	}
	want := []components.Object{
		{APIVersion: "v1", Kind: "Namespace", Name: "store"},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "store", Name: "settings"},
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "other", Name: "web"},
	}
	if diff := cmp.Diff(want, got[0].Objects); diff != "" {
		t.Error(diff)
	}
	if len(got[2].Objects) != 1 {
		t.Errorf("the namespace default is an addon's: %v", got[2].Objects)
	}
	other, _ := read(t, from("shop", "elsewhere", settings, web))
	if other[0].Sum == got[0].Sum {
		t.Error("another namespace, and the same sum")
	}
}

func TestMistakes(t *testing.T) {
	for want, addons := range map[string][]config.Addon{
		"Invalid manifest: /x.yaml: manifest 1: apiVersion, kind and metadata.name must be given.": {from("a", "default", "kind: Pod\n")},
		"Empty manifest: /x.yaml holds no object.":                                                 {from("a", "default", "# nothing\n")},
		"Duplicate object: /x.yaml: ConfigMap default/settings is in this addon already.":          {from("a", "default", settings, settings)},
		`Duplicate object: ConfigMap store/settings is in the addon "a" as well: it belongs to one.`: {
			from("a", "store", settings), from("b", "default", settings+"\n", strings.ReplaceAll(settings, "{name", "{namespace: store, name"))},
	} {
		if _, said := read(t, addons...); len(said) != 1 || said[0] != want {
			t.Errorf("said %q, want %q", said, want)
		}
	}
}

func TestImages(t *testing.T) {
	name := filepath.Join(t.TempDir(), "images.tar")
	if err := os.WriteFile(name, []byte("images"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _ := read(t, config.Addon{Name: "a", Namespace: "default", Images: []string{name}})
	if err := Images(got); err != nil {
		t.Fatal(err)
	}
	if want := (components.Archive{Path: name, SHA256: components.Sum([]byte("images")), Size: 6}); got[0].Images[0] != want {
		t.Errorf("%+v", got[0].Images[0])
	}
}
