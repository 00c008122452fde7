package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const variables = `
	variable "domain" { default = "cluster.local" }
	variable "mask" { default = 24 }
	variable "agent" {
	  type    = bool
	  default = true
	}
	variable "workers" { default = { w1 = 11 } }
	variable "hosts" {
	  type    = list(string)
	  default = []
	}
	locals {
	  second = "${local.first}.two"
	  first  = var.domain
	}
	cluster "c" {
	  network {
	    domain    = local.second
	    node_mask = var.mask
	  }
	  ssh { agent = var.agent }
	}
	machine "m1" { address = "10.0.0.1" }
	machine "w" {
	  for_each = var.workers
	  name     = each.key
	  address  = "10.0.0.${each.value}"
	}
	machine "h" {
	  for_each = var.hosts
	  address  = "10.0.1.${each.key}"
	}`

func TestVariables(t *testing.T) {
	file, shown := load(t, variables, map[string]string{
		"domain": "home.arpa", "mask": "25", "agent": "false", "workers": "{ w1 = 21, w2 = 22 }", "hosts": `["7"]`,
	})
	if shown != "" {
		t.Fatal(shown)
	}
	if n := file.Cluster.Network; n.Domain != "home.arpa.two" || n.NodeMask != 25 {
		t.Errorf("got %+v", n)
	}
	if m := file.Machines; len(m) != 4 || m[0].SSH.Agent || m[2].Address.String() != "10.0.0.22" || m[3].Name != "h-7" {
		t.Errorf("got %+v", m)
	}
}

func TestVariablesThatDoNotFit(t *testing.T) {
	for value, want := range map[string]string{
		"mask=many":    `The value given for variable "mask" does not fit`,
		"agent=maybe":  `The value given for variable "agent" does not fit`,
		"workers=3":    `The value given for variable "workers" does not fit: a map is required`,
		"workers={":    `The value given for variable "workers" does not fit`,
		"domian=local": `A value was given for "domian", but`,
	} {
		name, text, _ := strings.Cut(value, "=")
		file, shown := load(t, variables, map[string]string{name: text})
		if file != nil || !strings.Contains(strings.Join(strings.Fields(shown), " "), want) {
			t.Errorf("--var %s: want %q, got:\n%s", value, want, shown)
		}
		if n := strings.Count(shown, "Error:"); n != 1 {
			t.Errorf("--var %s: %d errors, want 1:\n%s", value, n, shown)
		}
	}
}

func TestFunctions(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "domain.txt"), []byte("from.file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PROVISION_TEST", "from.env")
	for expression, want := range map[string]string{
		`cidrhost("10.0.0.0/30", 3)`:                       "10.0.0.3",
		`cidrhost("10.0.255.7/16", 255)`:                   "10.0.0.255",
		`cidrhost("10.0.0.0/8", 65536)`:                    "10.1.0.0",
		`cidrhost("10.0.0.0/24", -1)`:                      "10.0.0.255",
		`cidrhost("0.0.0.0/0", 4294967295)`:                "255.255.255.255",
		`replace(cidrhost("2001:db8::/64", 17), ":", "-")`: "2001-db8--11",
		`replace(cidrhost("fd00:1::7/48", -1), ":", "-")`:  "fd00-1-0-ffff-ffff-ffff-ffff-ffff",
		`env("PROVISION_TEST")`:                            "from.env",
		`env("PROVISION_UNSET", "else")`:                   "else",
		`chomp(file("domain.txt"))`:                        "from.file",
		`join(".", [for x in ["A"] : lower(x)])`:           "a",
		`format("%s.%s", upper("x"), max(1, 2))`:           "X.2",
		`replace("a-b", "-", ".")`:                         "a.b",
		`keys({ b = 1, a = 2 })[0]`:                        "a",
		`jsondecode("{\"a\": [\"first\"]}").a[0]`:          "first",
	} {
		path := filepath.Join(dir, "cluster.hcl")
		text := "variable \"unused\" { default = 1 }\nlocals { x = " + expression + " }\ncluster \"c\" {}\n" +
			"machine \"m1\" {\n address = \"10.0.0.1\"\n labels = { x = local.x }\n}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, diags := Load(path, nil)
		if file == nil || file.Machines[0].Labels["x"] != want {
			t.Errorf("%s: want %s, got %+v %v", expression, want, file, diags.Diagnostics)
		}
	}
}

func TestFunctionsRefuse(t *testing.T) {
	for expression, want := range map[string]string{
		`cidrhost("10.0.0.0/30", 4)`:         "has 4 addresses, there is no number 4",
		`cidrhost("10.0.0.0/30", -5)`:        "there is no number -5",
		`cidrhost("::ffff:10.0.0.0/120", 1)`: "is no range",
		`cidrhost("fd00::/127", 2)`:          "has 2 addresses, there is no number 2",
		`cidrhost("10.0.0.0/24", 1.5)`:       "it must be a whole number",
		`file("/nowhere")`:                   "nowhere cannot be read: no such file or directory",
		`file("/dev/zero")`:                  "it is larger than",
	} {
		_, shown := load(t, "cluster \"c\" {}\nmachine \"m1\" { address = "+expression+" }", nil)
		if !strings.Contains(strings.Join(strings.Fields(shown), " "), want) {
			t.Errorf("%s: want %q, got:\n%s", expression, want, shown)
		}
	}
}
