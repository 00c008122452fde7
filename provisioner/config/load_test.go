package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// load loads text as a cluster file, in an environment without keys, agent or
// variables.
func load(t *testing.T, text string, vars map[string]string) (*File, string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	path := filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, diags := Load(path, vars)
	var shown strings.Builder
	if err := Write(&shown, diags, false); err != nil {
		t.Fatal(err)
	}
	return file, shown.String()
}

func TestStarterIsValid(t *testing.T) {
	text, err := Starter("home")
	if err != nil {
		t.Fatal(err)
	}
	file, shown := load(t, text, nil)
	if shown != "" {
		t.Fatal(shown)
	}
	if file.Cluster.Name != "home" || len(file.Machines) != 3 {
		t.Errorf("got cluster %q with %d machines, want home with 3", file.Cluster.Name, len(file.Machines))
	}
}

func TestStarterRefusesWhatIsNoName(t *testing.T) {
	for _, name := range []string{"", "Big_Site", "a\" {}", "a.b", "-a"} {
		if text, err := Starter(name); err == nil || text != "" {
			t.Errorf("%q: got a file of %d bytes", name, len(text))
		}
	}
}

// What a mistake looks like: file, line, snippet, and what would be right.
func TestHowAMistakeLooks(t *testing.T) {
	_, diags := Load("testdata/errors/two-clusters.hcl", nil)
	var shown strings.Builder
	if err := Write(&shown, diags, false); err != nil {
		t.Fatal(err)
	}
	want := `Error: Duplicate cluster block

  on testdata/errors/two-clusters.hcl line 3, in cluster "two":
   3: cluster "two" {} # ERROR: Duplicate cluster block

Only one cluster block is allowed. Another was defined at
testdata/errors/two-clusters.hcl:1,1-14.

`
	if shown.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", shown.String(), want)
	}
	shown.Reset()
	Write(&shown, diags, true)
	if !strings.Contains(shown.String(), "\x1b[") {
		t.Error("no colour where it was asked for")
	}
}

func TestFileThatIsNotThere(t *testing.T) {
	file, diags := Load("testdata/none.hcl", nil)
	var shown strings.Builder
	Write(&shown, diags, false)
	if file != nil || !strings.Contains(shown.String(), "testdata/none.hcl cannot be read: no such file or directory.") {
		t.Errorf("got %v and:\n%s", file, shown.String())
	}
}

func TestForEach(t *testing.T) {
	file, shown := load(t, `
		cluster "c" {}
		machine "m" {
		  for_each = ["b", "a"]
		  address  = "10.0.0.${each.key == "a" ? 1 : 2}"
		}
		machine "w" {
		  for_each = { w2 = { at = 12, disk = "ssd" }, w1 = { at = 11, disk = "hdd" } }
		  name     = each.key
		  role     = "worker"
		  address  = cidrhost("10.0.0.0/24", each.value.at)
		  labels   = { disk = each.value.disk }
		}`, nil)
	if shown != "" {
		t.Fatal(shown)
	}
	var got []string
	for _, m := range file.Machines {
		got = append(got, m.Name+" "+m.Address.String()+" "+m.Labels["disk"])
	}
	// A list keeps its order, a map has that of its keys.
	want := "m-b 10.0.0.2 |m-a 10.0.0.1 |w1 10.0.0.11 hdd|w2 10.0.0.12 ssd"
	if strings.Join(got, "|") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, "|"), want)
	}
}

// A mistake in a for_each block is said once, not once for each machine.
func TestMistakeInForEachIsSaidOnce(t *testing.T) {
	_, shown := load(t, `
		cluster "c" {}
		machine "m" {
		  for_each = { a = 1, b = 2, c = 3 }
		  address  = "10.0.0.${each.value}"
		  role     = "boss"
		}`, nil)
	if n := strings.Count(shown, "Error:"); n != 1 {
		t.Errorf("%d errors, want 1:\n%s", n, shown)
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct{ roles, want string }{
		{"-", "master"},
		{"- -", "master worker"},
		{"- master", "worker master"},
		{"worker - -", "worker master worker"},
		{"master - worker", "master worker worker"},
	} {
		text := `cluster "c" {}` + "\n"
		for i, role := range strings.Fields(c.roles) {
			text += `machine "m` + string(rune('1'+i)) + `" {` + "\n" + `address = "10.0.0.` + string(rune('1'+i)) + `"` + "\n"
			if role != "-" {
				text += `role = "` + role + `"` + "\n"
			}
			text += "}\n"
		}
		file, shown := load(t, text, nil)
		if file == nil {
			t.Fatal(shown)
		}
		var got []string
		for _, m := range file.Machines {
			got = append(got, string(m.Role))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("roles %q became %q, want %q", c.roles, got, c.want)
		}
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{"": "", "1.36.3": "1.36.3", "v1.36.3": "1.36.3"} {
		file, shown := load(t, `
			variable "version" { default = "" }
			cluster "c" { version = var.version }
			machine "m1" { address = "10.0.0.1" }`, map[string]string{"version": text})
		if file == nil || file.Cluster.Version != want {
			t.Errorf("version %q: got %+v, want %q\n%s", text, file, want, shown)
		}
	}
}

func TestTaints(t *testing.T) {
	file, shown := load(t, `
		cluster "c" {}
		machine "m1" { address = "10.0.0.1" }
		machine "m2" {
		  address = "10.0.0.2"
		  taints  = []
		}
		machine "m3" {
		  address = "10.0.0.3"
		  taints  = ["a.example/b=c:NoExecute", "d:PreferNoSchedule"]
		}`, nil)
	if file == nil {
		t.Fatal(shown)
	}
	if m := file.Machines; m[0].Taints != nil || m[1].Taints == nil || len(m[1].Taints) != 0 {
		t.Errorf("nothing said is %#v, an empty list %#v", m[0].Taints, m[1].Taints)
	}
	want := []Taint{{"a.example/b", "c", "NoExecute"}, {"d", "", "PreferNoSchedule"}}
	if got := file.Machines[2].Taints; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}
