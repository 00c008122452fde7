package addon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/provisioner/config"
)

// chartOf writes a chart of these files and returns an addon of it.
func chartOf(t *testing.T, files map[string]string, values map[string]any) config.Addon {
	t.Helper()
	dir := t.TempDir()
	if files["Chart.yaml"] == "" {
		files["Chart.yaml"] = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Addon{Name: "shop", Namespace: "store", Chart: dir, Values: values}
}

const port = `apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-port"}
data:
  port: "{{ .Values.port }}"
  password: {{ randAlphaNum 16 }}
  version: {{ .Capabilities.KubeVersion.Version }}
`

func TestChart(t *testing.T) {
	from := chartOf(t, map[string]string{
		"values.yaml":         "port: 1",
		"templates/a.yaml":    port,
		"templates/NOTES.txt": "read this",
		"crds/crd.yaml":       "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: carts.shop}\n",
	}, map[string]any{"port": int64(1000000)})
	got, said := read(t, from)
	if len(said) > 0 {
		t.Fatal(said)
	}
	var names []string
	for _, o := range got[0].Objects {
		names = append(names, o.String())
	}
	if list := strings.Join(names, ", "); list != "Namespace store, CustomResourceDefinition store/carts.shop, ConfigMap store/shop-port" {
		t.Error(list)
	}
	for _, want := range []string{`port: "1000000"`, "version: v1.36.3"} {
		if !strings.Contains(string(got[0].Manifests), want) {
			t.Errorf("no %s in\n%s", want, got[0].Manifests)
		}
	}
	// A random password is another each time, and no reason to apply it again.
	if again, _ := read(t, from); again[0].Sum != got[0].Sum || string(again[0].Manifests) == string(got[0].Manifests) {
		t.Error("the sum is of the text")
	}
	from.Values["port"] = int64(2)
	if other, _ := read(t, from); other[0].Sum == got[0].Sum {
		t.Error("another value, and the same sum")
	}
}

func TestChartMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"broken template": {map[string]string{"templates/a.yaml": "{{ .Values.x "}, "Invalid chart: DIR: parse error at (web/templates/a.yaml:1)"},
		"required value":  {map[string]string{"templates/a.yaml": `{{ required "say x" .Values.x }}`}, "say x."},
		"other version": {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: \"<1.20.0\"\n"},
			"Invalid chart: DIR: it wants Kubernetes <1.20.0, and the cluster's is v1.36.3."},
		"library":    {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ntype: library\n"}, "it is a library"},
		"dependency": {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, repository: https://example.org}]\n"}, "the chart db, which it depends on, is not in its charts folder"},
		"no object":  {map[string]string{"templates/_helpers.tpl": "x"}, "Empty manifest: DIR holds no object."},
		"hook": {map[string]string{"templates/a.yaml": port, "templates/h.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\n"},
			"Hooks left out: DIR has hooks (pre-install), which only helm itself runs: what they do is not done."},
		"schema": {map[string]string{"templates/a.yaml": port, "values.schema.json": `{"required":["port"]}`}, "missing property 'port'"},
	} {
		t.Run(name, func(t *testing.T) {
			from := chartOf(t, test.files, nil)
			_, said := read(t, from)
			if text := strings.ReplaceAll(strings.Join(said, "\n"), from.Chart, "DIR"); len(said) != 1 || !strings.Contains(text, test.want) {
				t.Errorf("said %q, want %q", text, test.want)
			}
		})
	}
}

// The example's addons are without a mistake, or even a doubt.
func TestExample(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	file, diags := config.Load("../../examples/addons/cluster.hcl", nil)
	if file == nil {
		t.Fatal(diags.Diagnostics)
	}
	got := Read(file, "", &diags)
	if len(diags.Diagnostics) > 0 || len(got) != 2 || len(got[0].Objects) != 3 || !strings.Contains(string(got[1].Manifests), `greeting: "hello"`) {
		t.Errorf("%v: %+v", diags.Diagnostics, got)
	}
}
