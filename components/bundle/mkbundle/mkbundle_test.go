package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components/bundle"
)

func TestWrite(t *testing.T) {
	b := &builder{version: "1.36.3", arch: "amd64", out: t.TempDir(), cache: cache{dir: t.TempDir()}}
	c := &contents{
		files:  map[string][]byte{"bin/node": []byte("node"), "images/pause.tar": []byte("pause"), "licenses/go.txt": nil, "nft/lib/ld.so": []byte("ld")},
		images: []bundle.Image{{Name: "provision.internal/pause:1", File: "images/pause.tar"}},
	}
	if err := b.write(c); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(b.out, "bundle-1.36.3-linux-amd64.tar.zst")
	first, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bundle.NewStream(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, _ := s.Manifest()
	modes := map[string]uint32{}
	for _, file := range m.Files {
		modes[file.Name] = file.Mode
	}
	want := map[string]uint32{"bin/node": 0o755, "images/pause.tar": 0o644, "licenses/go.txt": 0o644, "nft/lib/ld.so": 0o755}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Error(diff)
	}
	// The second time every frame comes from the cache.
	if err := b.write(c); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(name); !bytes.Equal(first, second) {
		t.Error("the second bundle has other bytes")
	}
}

func TestCache(t *testing.T) {
	c := cache{dir: t.TempDir()}
	if err := c.prune(0); err != nil {
		t.Errorf("an empty cache: %v", err)
	}
	if _, ok := c.get("frames", "k"); ok {
		t.Error("there is something in an empty cache")
	}
	for _, kind := range []string{"frames", "debian"} {
		if err := c.put(kind, "k", []byte("data")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.prune(time.Hour); err != nil {
		t.Fatal(err)
	}
	if data, ok := c.get("frames", "k"); !ok || string(data) != "data" {
		t.Errorf("%q, %v", data, ok)
	}
	if err := c.prune(-time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.get("frames", "k"); ok {
		t.Error("what was not used is still there")
	}
	if _, ok := c.get("debian", "k"); !ok {
		t.Error("what was downloaded is gone")
	}
}

func TestKeysDoNotRunIntoEachOther(t *testing.T) {
	if key("ab", "c") == key("a", "bc") || key("a") == key("a", "") {
		t.Error("different parts have one key")
	}
}

// The module files of this repository say which programs there are.
func TestPrograms(t *testing.T) {
	b := &builder{root: "../../..", version: "1.36.3", arch: "amd64"}
	programs, err := b.programs()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if strings.Contains(p.ldflags+" ", "= ") || strings.HasSuffix(p.ldflags, "Version=") {
			t.Errorf("%s: a version is missing in %s", p.name, p.ldflags)
		}
	}
	if node := programs[0]; node.modfile != "" || !strings.Contains(node.ldflags, "gitVersion=v1.36.3") || !strings.Contains(node.ldflags, "gitMinor=36") {
		t.Errorf("node is %+v", node)
	}
	b.version = "1.35.4"
	if node, err := b.node(); err != nil || node.modfile != "kubernetes-1.35.4.mod" {
		t.Errorf("node is %+v, %v", node, err)
	}
	b.version = "1.2.3"
	if _, err := b.node(); err == nil || !strings.Contains(err.Error(), "make one with components/node/pin.sh 1.2.3") {
		t.Errorf("the error is %v", err)
	}
}

// A module file that is named for a version must pin that version, and the
// staging modules that were published with it.
func TestModuleFilesPinWhatTheyAreNamedFor(t *testing.T) {
	names, err := filepath.Glob("../../node/kubernetes-*.mod")
	if err != nil || len(names) == 0 {
		t.Fatalf("no module files: %v", err)
	}
	for _, name := range names {
		version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "kubernetes-"), ".mod")
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := pinned(text, "k8s.io/kubernetes"); got != "v"+version {
			t.Errorf("%s pins %s", name, got)
		}
		staging := "v0." + strings.TrimPrefix(version, "1.")
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "=>") && !strings.HasSuffix(strings.TrimSpace(line), staging) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func TestLicencesAreThereOnce(t *testing.T) {
	var l licences
	l.add([]byte("Apache\r\n"), "b LICENSE")
	l.add([]byte("MIT"), "c LICENSE")
	l.add([]byte("Apache"), "a LICENSE")
	l.add([]byte("Apache"), "a LICENSE")
	line := strings.Repeat("=", 78)
	want := "Title\n\n" + line + "\na LICENSE\nb LICENSE\n\nApache\n\n" + line + "\nc LICENSE\n\nMIT\n"
	if diff := cmp.Diff(want, string(l.render("Title\n"))); diff != "" {
		t.Error(diff)
	}
}

func TestModuleWithoutLicenceIsAnError(t *testing.T) {
	dir := t.TempDir()
	var l licences
	if err := addDir(&l, "example.com/m v1.0.0", dir); err == nil || !strings.Contains(err.Error(), "no licence file") {
		t.Errorf("the error is %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE.md"), []byte("MIT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := addDir(&l, "example.com/m v1.0.0", dir); err != nil {
		t.Error(err)
	}
}

// The libraries are found by what the programs say they need.
func TestLibrariesOfThisMachinesShell(t *testing.T) {
	program, err := os.ReadFile("/bin/sh")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no /bin/sh here")
	}
	b := &builder{arch: "amd64"}
	files := map[string][]byte{"nft/nft.real": program}
	if err := b.addLibraries(t.TempDir(), files); err == nil || !strings.Contains(err.Error(), "is in none of the packages") {
		t.Errorf("from an empty folder: %v", err)
	}
}
