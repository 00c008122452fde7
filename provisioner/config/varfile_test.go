package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loadWith loads text with files of values, each named 1.vars, 2.vars, ....
func loadWith(t *testing.T, text string, vars map[string]string, values ...string) (*File, string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Chdir(t.TempDir())
	var names []string
	for i, text := range values {
		names = append(names, string(rune('1'+i))+".vars")
		if err := os.WriteFile(names[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("cluster.hcl", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, diags := Load("cluster.hcl", vars, names...)
	var shown strings.Builder
	Write(&shown, diags, false)
	return file, shown.String()
}

const workers = `variable "workers" { default = { w = 2 } }
variable "net" { default = "10.0.0.0/24" }
variable "role" {}
cluster "c" {}
machine "m1" {
  role    = var.role
  address = cidrhost(var.net, 1)
}
machine "w" {
  for_each = var.workers
  name     = each.key
  address  = cidrhost(var.net, each.value)
}`

func TestVariablesFromFiles(t *testing.T) {
	file, shown := loadWith(t, workers, map[string]string{"net": "10.3.0.0/24"},
		"role = \"worker\"\nnet = \"10.1.0.0/24\"\n", "role = \"master\"\nworkers = {\n  w1 = 21\n}\n")
	if file == nil || shown != "" {
		t.Fatal(shown)
	}
	if m := file.Machines; len(m) != 2 || m[0].Role != Master || m[1].Name != "w1" || m[1].Address.String() != "10.3.0.21" {
		t.Errorf("got %+v", m)
	}
}

// A mistake in a file of values is shown where it is, beside those of the
// cluster file; what it leaves without a value is not one more.
func TestMistakesInAFileOfVariables(t *testing.T) {
	for text, want := range map[string][2]string{
		"role = ":                                       {"Missing expression", "1.vars line 1"},
		"role = other":                                  {"Variables not allowed", "1.vars line 1"},
		"role = null":                                   {"Missing variable value", "1.vars line 1"},
		"role \"x\" {}":                                 {"Unexpected \"role\" block", "1.vars line 1"},
		"role = file(\"/etc\")":                         {"Function calls not allowed", "1.vars line 1"},
		"role = \"worker\"\nrole = \"worker\"":          {"Attribute redefined", "1.vars line 2"},
		"role = \"master\"\nworkers = { a =":            {"Missing", "1.vars line 2"},
		"role = \"master\"\nworkers = 3":                {"does not fit", "1.vars line 2"},
		"role = \"master\"\nnett = \"10.0.0.0\"":        {"no such variable. Did you mean \"net\"?", "1.vars line 2"},
		"role = \"master\"\nworkers = { a = 1, a = 2 }": {"Duplicate key", "1.vars line 2"},
		"{\"role\": \"master\"}":                        {"1.vars is JSON", "variable file"},
		"role: master":                                  {"1.vars is YAML", "variable file"},
	} {
		file, shown := loadWith(t, workers+"\nmachine \"x\" {}", nil, text)
		shown = strings.Join(strings.Fields(shown), " ")
		if file != nil || !strings.Contains(shown, want[0]) || !strings.Contains(shown, want[1]) {
			t.Errorf("%q: want %q\n%s", text, want, shown)
		}
		if !strings.Contains(shown, "Missing machine address") || strings.Count(shown, "Error:") != 2 {
			t.Errorf("%q: want one mistake, and the one of the cluster file\n%s", text, shown)
		}
	}
}

func TestAFileOfVariablesThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.vars")
	_, diags := Load("../../examples/bare-metal.hcl", nil, path)
	if list := diags.List(); len(list) != 1 || list[0].Summary != "Unreadable variable file" || list[0].Detail != path+" cannot be read: no such file or directory." {
		t.Errorf("%+v", list)
	}
}
