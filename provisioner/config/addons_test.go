package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const machineAnd = "cluster \"c\" {}\nmachine \"m1\" { address = \"10.0.0.1\" }\n"

// files makes a folder of these files and returns what a cluster file in it holds.
func files(t *testing.T, text string, contents map[string]string) (*File, string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := t.TempDir()
	for name, content := range contents {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cluster.hcl")
	if err := os.WriteFile(path, []byte(machineAnd+text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, diags := Load(path, nil)
	var shown strings.Builder
	Write(&shown, diags, false)
	return file, strings.Join(strings.Fields(strings.ReplaceAll(shown.String(), dir, "DIR")), " ")
}

func TestAddons(t *testing.T) {
	file, shown := files(t, `addon "shop" {
  manifests = ["b.yaml", "m/*.yaml", "m/a.yaml"]
  namespace = "store"
  images    = "i.tar"
}
addon "bare" { manifests = "b.yaml" }`, map[string]string{"b.yaml": "b", "m/a.yaml": "a", "m/c.yaml": "c", "m/other": "", "i.tar": "x"})
	if shown != "" {
		t.Fatal(shown)
	}
	shop := file.Addons[0]
	var texts []string
	for _, m := range shop.Manifests {
		texts = append(texts, filepath.Base(m.Path)+"="+string(m.Text))
	}
	if want := []string{"b.yaml=b", "a.yaml=a", "c.yaml=c"}; !slices.Equal(texts, want) {
		t.Errorf("%q, want %q", texts, want)
	}
	if shop.Namespace != "store" || len(shop.Images) != 1 || !filepath.IsAbs(shop.Images[0]) || file.Addons[1].Namespace != "default" {
		t.Errorf("%+v", file.Addons)
	}
}

// What an addon names is looked at before any machine is.
func TestAddonMistakes(t *testing.T) {
	contents := map[string]string{
		"a.yaml": "a", "huge.yaml": strings.Repeat("#", maxManifest+1), "binary.yaml": "\xff\xfe", "empty.tar": "", "m/a.yaml": "",
	}
	for text, want := range map[string]string{
		`addon "Shop" { manifests = "a.yaml" }`: `Invalid addon name`,
		`addon "../x" { manifests = "a.yaml" }`: `Invalid addon name`,
		`addon "x" {}`:                          `An addon needs manifests, a chart or images.`,
		"addon \"x\" { manifests = \"a.yaml\" }\naddon \"x\" { manifests = \"a.yaml\" }": `There is an addon "x" already (line 3)`,
		`addon "x" { manifests = "none.yaml" }`:                                          `on cluster.hcl line 3`,
		`addon "x" { manifests = ["none.yaml"] }`:                                        `DIR/none.yaml cannot be read: no such file or directory.`,
		`addon "x" { manifests = ["none/*.yaml"] }`:                                      `No file is called like DIR/none/*.yaml.`,
		`addon "x" { manifests = ["[.yaml"] }`:                                           `is no pattern such as`,
		`addon "x" { manifests = "m" }`:                                                  `DIR/m cannot be read: it is a folder`,
		`addon "x" { manifests = "pipe" }`:                                               `DIR/pipe cannot be read: it is no regular file.`,
		`addon "x" { manifests = "huge.yaml" }`:                                          `it is larger than 4 MiB`,
		`addon "x" { manifests = "binary.yaml" }`:                                        `it is no text in UTF-8`,
		`addon "x" { images = "empty.tar" }`:                                             `DIR/empty.tar cannot be read: it is empty.`,
		`addon "x" { images = ["pipe"] }`:                                                `DIR/pipe cannot be read: it is no regular file.`,
		"addon \"x\" {\n manifests = \"a.yaml\"\n namespace = \"A_b\"\n}":                `Invalid namespace`,
		`addon "x" { chart = "none" }`:                                                   `DIR/none is no chart's folder or archive: no such file or directory.`,
		`addon "x" { chart = "m" }`:                                                      `DIR/m is no chart's folder or archive: no such file or directory.`,
		`addon "x" { chart = "pipe" }`:                                                   `DIR/pipe is no chart's folder or archive: it is no regular file.`,
		"addon \"x\" {\n manifests = \"a.yaml\"\n values = { a = 1 }\n}":                 `values are for a chart: say which, in chart.`,
		"addon \"x\" {\n chart = \"m\"\n values = [1]\n}":                                `values must be a map such as { replicas = 2 }, not a list.`,
		`addon "x" { manifests = 3.5 }`:                                                  `must be a string or a list of strings`,
	} {
		if file, shown := files(t, text, contents); file != nil || !strings.Contains(strings.ReplaceAll(shown, "DIR/cluster.hcl", "cluster.hcl"), want) {
			t.Errorf("%s: said %q, want %q", text, shown, want)
		}
	}
}

// Whole numbers stay whole on their way to a template.
func TestChartValues(t *testing.T) {
	file, shown := files(t, `addon "x" {
  chart  = "c"
  values = { big = 1000000, half = 0.5, deep = { list = [1, "a", true, null] } }
}`, map[string]string{"c/Chart.yaml": "name: c"})
	if shown != "" {
		t.Fatal(shown)
	}
	want := map[string]any{"big": int64(1000000), "half": 0.5, "deep": map[string]any{"list": []any{int64(1), "a", true, nil}}}
	if diff := cmp.Diff(want, file.Addons[0].Values); diff != "" {
		t.Error(diff)
	}
}
