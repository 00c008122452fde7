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
	file, shown := load(t, Starter("home"), nil)
	if shown != "" {
		t.Fatal(shown)
	}
	if file.Cluster.Name != "home" || len(file.Machines) != 3 {
		t.Errorf("got cluster %q with %d machines, want home with 3", file.Cluster.Name, len(file.Machines))
	}
}
