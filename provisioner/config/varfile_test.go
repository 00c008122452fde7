package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func varFile(t *testing.T, text string) (map[string]string, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.vars")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	values, diags := LoadVariables(path)
	var shown strings.Builder
	Write(&shown, diags, false)
	return values, shown.String()
}

func TestVariablesFromAFile(t *testing.T) {
	values, shown := varFile(t, "key = \"~/.ssh/a \\\"b\\\"\"\ncount = 3\nfast = true\nworkers = {\n  w1 = 21\n}\n")
	want := map[string]string{"key": `~/.ssh/a "b"`, "count": "3", "fast": "true", "workers": "{\n  w1 = 21\n}"}
	if diff := cmp.Diff(want, values); diff != "" || shown != "" {
		t.Errorf("-want +got:\n%s%s", diff, shown)
	}
	file, shown := load(t, `variable "workers" { default = { w = 1 } }
variable "net" { default = "10.0.0.0/24" }
cluster "c" {}
machine "m1" { address = cidrhost(var.net, 1) }
machine "w" {
  for_each = var.workers
  name     = each.key
  address  = cidrhost(var.net, each.value)
}`, map[string]string{"workers": values["workers"]})
	if file == nil || len(file.Machines) != 2 || file.Machines[1].Address.String() != "10.0.0.21" {
		t.Errorf("%+v %s", file, shown)
	}
}

func TestMistakesInAFileOfVariables(t *testing.T) {
	for text, want := range map[string]string{
		"key = ":               "Missing expression",
		"key = other":          "Variables not allowed",
		"key = null":           "Missing variable value",
		"key \"x\" {}":         "Unexpected \"key\" block",
		"key = file(\"/etc\")": "Function calls not allowed",
		"a = 1\na = 2":         "Attribute redefined",
	} {
		values, shown := varFile(t, text)
		if values != nil || !strings.Contains(shown, want) {
			t.Errorf("%q: %v, %s", text, values, shown)
		}
	}
	if _, diags := LoadVariables("/nowhere/site.vars"); len(diags.Diagnostics) != 1 || diags.Diagnostics[0].Summary != "Unreadable variable file" {
		t.Errorf("%v", diags)
	}
}
