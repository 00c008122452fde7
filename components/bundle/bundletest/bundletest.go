// Package bundletest makes small bundles for the tests of whoever reads them.
package bundletest

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"provision/components"
	"provision/components/bundle"
)

// Make returns a bundle with these files, and its id. Files below bin/ have
// mode 0755; each below images/ is an image called like it.
func Make(t testing.TB, version string, files map[string]string) (data []byte, id string) {
	t.Helper()
	m := bundle.Manifest{Format: 1, Kubernetes: version, OS: "linux", Arch: "amd64"}
	var frames []bundle.NamedFrame
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := []byte(files[name])
		mode := uint32(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		m.Files = append(m.Files, bundle.File{Name: name, Size: int64(len(content)), SHA256: components.Sum(content), Mode: mode})
		if image, ok := strings.CutPrefix(name, "images/"); ok {
			m.Images = append(m.Images, bundle.Image{
				Name: "provision.internal/" + strings.TrimSuffix(image, ".tar") + ":1", File: name,
			})
		}
		frame, err := bundle.Frame(name, mode, content)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, bundle.NamedFrame{Name: name, Data: frame})
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bundle.Write(&out, raw, frames); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), bundle.ID(version, raw)
}

// Only returns what a bundle's sender sends to a machine that has everything
// but the named files.
func Only(t testing.TB, data []byte, names ...string) []byte {
	t.Helper()
	positions, err := bundle.ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, p := range positions {
		if p.Name == bundle.ManifestName || slices.Contains(names, p.Name) {
			out = append(out, data[p.Offset:p.Offset+p.Length]...)
		}
	}
	end, err := bundle.EndFrame()
	if err != nil {
		t.Fatal(err)
	}
	return append(out, end...)
}
