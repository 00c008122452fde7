package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"provision/components"
	"provision/components/bundle"
)

// write renders what was collected and puts the bundle into its folder.
func (b *builder) write(c *contents) error {
	manifest := bundle.Manifest{Format: 1, Kubernetes: b.version, OS: "linux", Arch: b.arch, Images: c.images}
	slices.SortFunc(manifest.Images, func(x, y bundle.Image) int { return strings.Compare(x.File, y.File) })
	names := slices.Sorted(maps.Keys(c.files))
	for _, name := range names {
		data := c.files[name]
		manifest.Files = append(manifest.Files, bundle.File{
			Name: name, Size: int64(len(data)), SHA256: components.Sum(data), Mode: mode(name),
		})
	}
	raw, err := manifest.Encode()
	if err != nil {
		return err
	}
	frames := make([]bundle.NamedFrame, len(names))
	var group errgroup.Group
	group.SetLimit(2)
	for i, file := range manifest.Files {
		group.Go(func() error {
			data, err := b.frame(file, c.files[file.Name])
			frames[i] = bundle.NamedFrame{Name: file.Name, Data: data}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := bundle.Write(&out, raw, frames); err != nil {
		return err
	}
	name := filepath.Join(b.out, fmt.Sprintf("bundle-%s-linux-%s.tar.zst", b.version, b.arch))
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	if err := writeAtomic(name, out.Bytes()); err != nil {
		return err
	}
	b.say("%s: %d files, %.1f MB, id %s", name, len(names), float64(out.Len())/1e6, bundle.ID(b.version, raw))
	return nil
}

// frame returns a file's frame, from the cache where it was compressed before.
func (b *builder) frame(file bundle.File, content []byte) ([]byte, error) {
	id := key(bundle.Level, file.Name, fmt.Sprint(file.Mode), file.SHA256)
	if data, ok := b.cache.get("frames", id); ok {
		return data, nil
	}
	data, err := bundle.Frame(file.Name, file.Mode, content)
	if err != nil {
		return nil, err
	}
	return data, b.cache.put("frames", id, data)
}

// mode is 0755 for what is executed, loaders and libraries among it.
func mode(name string) uint32 {
	top, _, _ := strings.Cut(name, "/")
	if top == "images" || top == "licenses" {
		return 0o644
	}
	return 0o755
}
