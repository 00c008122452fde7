package bundle_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components/bundle"
)

func valid() bundle.Manifest {
	sum := strings.Repeat("0a", 32)
	return bundle.Manifest{
		Format: 1, Kubernetes: "1.36.3", OS: "linux", Arch: "amd64",
		Files: []bundle.File{
			{Name: "bin/node", Size: 4, SHA256: sum, Mode: 0o755},
			{Name: "images/pause.tar", Size: 5, SHA256: sum, Mode: 0o644},
		},
		Images: []bundle.Image{{Name: "provision.internal/pause:3.10", File: "images/pause.tar"}},
	}
}

func TestManifestSurvivesItsEncoding(t *testing.T) {
	raw, err := valid().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := bundle.ParseManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(valid(), got); diff != "" {
		t.Error(diff)
	}
	again, _ := got.Encode()
	if !bytes.Equal(raw, again) {
		t.Error("the same manifest has other bytes the second time")
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	file := func(change func(*bundle.File)) func(*bundle.Manifest) {
		return func(m *bundle.Manifest) { change(&m.Files[0]) }
	}
	name := func(n string) func(*bundle.Manifest) { return file(func(f *bundle.File) { f.Name = n }) }
	for want, change := range map[string]func(*bundle.Manifest){
		"format 2 is not known":           func(m *bundle.Manifest) { m.Format = 2 },
		"is no Kubernetes version":        func(m *bundle.Manifest) { m.Kubernetes = "1.36.3/.." },
		"is not an operating system":      func(m *bundle.Manifest) { m.OS = "plan9" },
		"is no architecture":              func(m *bundle.Manifest) { m.Arch = "../x" },
		`"../evil" is no name`:            name("../evil"),
		`"/etc/passwd" is no name`:        name("/etc/passwd"),
		`"bin/../../x" is no name`:        name("bin/../../x"),
		`"bin//x" is no name`:             name("bin//x"),
		`"" is no name`:                   name(""),
		`".tmp/x" is no name`:             name(".tmp/x"),
		`"a\nb" is no name`:               name("a\nb"),
		"lists itself":                    name("manifest.json"),
		"manifest.json is a file and":     func(m *bundle.Manifest) { m.Files[1].Name = "manifest.json/x" },
		"is no size":                      file(func(f *bundle.File) { f.Size = -1 }),
		"bytes is no size":                file(func(f *bundle.File) { f.Size = 1 << 40 }),
		"is no SHA-256":                   file(func(f *bundle.File) { f.SHA256 = "abc" }),
		"is neither 0644 nor 0755":        file(func(f *bundle.File) { f.Mode = 0o4755 }),
		"names must be sorted":            name("images/zzz"),
		"images/pause.tar comes after":    name("images/pause.tar"),
		"images is a file and the folder": name("images"),
		"is no image reference":           func(m *bundle.Manifest) { m.Images[0].Name = "pause" },
		"is not a file below images/":     func(m *bundle.Manifest) { m.Images[0].File = "bin/node" },
		"is there twice":                  func(m *bundle.Manifest) { m.Images = append(m.Images, m.Images[0]) },
		"the files are larger than a bundle may": func(m *bundle.Manifest) {
			m.Files = nil
			for _, n := range []string{"a", "b", "c", "d", "e"} {
				m.Files = append(m.Files, bundle.File{Name: n, Size: 1 << 30, SHA256: strings.Repeat("0a", 32), Mode: 0o644})
			}
		},
	} {
		m := valid()
		change(&m)
		_, err := m.Encode()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, not one with %q", err, want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	raw, _ := valid().Encode()
	f.Add(raw)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := bundle.ParseManifest(data)
		if err != nil {
			return
		}
		if _, err := m.Encode(); err != nil {
			t.Errorf("it was read and cannot be written: %v", err)
		}
	})
}
