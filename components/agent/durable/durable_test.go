package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceSetsContentAndMode(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	for _, content := range []string{"first, and longer", "second"} {
		if err := Replace(name, 0o600, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := Read(name, 100)
		if err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	alone(t, name)
}

func TestCreateNeverReplaces(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if err := Create(name, 0o600, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := Create(name, 0o600, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want fs.ErrExist", err)
	}
	if got, _ := Read(name, 100); string(got) != "first" {
		t.Errorf("content %q", got)
	}
	alone(t, name)
}

func TestReadIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "large")
	if err := Replace(name, 0o644, []byte(strings.Repeat("x", 11))); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name, 10); err == nil || !strings.Contains(err.Error(), "more than 10 bytes") {
		t.Errorf("error %v", err)
	}
	if _, err := Read(name, 11); err != nil {
		t.Error(err)
	}
}

func TestSweepTakesOnlyWhatWritersLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".key.123.tmp", "key", ".hidden", "x.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 3 || entries[0].Name() != ".hidden" {
		t.Errorf("left: %v", entries)
	}
}

// alone checks that no temporary file stayed beside the named one.
func alone(t *testing.T, name string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it: %v, %v", entries, err)
	}
}
