package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"provision/components"
	format "provision/components/bundle"
)

// Bundle is an open bundle. Its manifest and index were checked when it was
// opened, all of its files are checked before the first of them is used. It is
// safe for concurrent use.
type Bundle struct {
	file     *os.File
	manifest format.Manifest
	raw      []byte                     // the manifest's bytes
	files    map[string]format.File     // by name
	frames   map[string]format.Position // by name, the manifest's among them

	once   sync.Once
	damage error // what verify found
}

// Open opens a bundle and checks its manifest and index, which takes no longer
// for a large one. The caller must Close it.
func Open(name string) (*Bundle, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b := &Bundle{file: file}
	if err := b.load(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

func (b *Bundle) load() error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	positions, err := format.ReadIndex(b.file, info.Size())
	if err != nil {
		return err
	}
	b.frames = make(map[string]format.Position, len(positions))
	for _, p := range positions {
		if _, twice := b.frames[p.Name]; twice {
			return fmt.Errorf("index: %.50q is there twice", p.Name)
		}
		b.frames[p.Name] = p
	}
	if b.manifest, b.raw, err = format.ReadManifest(b.frame(format.ManifestName)); err != nil {
		return err
	}
	b.files = make(map[string]format.File, len(b.manifest.Files))
	for _, file := range b.manifest.Files {
		b.files[file.Name] = file
		if _, ok := b.frames[file.Name]; !ok {
			return fmt.Errorf("index: %s of the manifest is not in it", file.Name)
		}
	}
	if len(b.frames) != len(b.files)+1 {
		return errors.New("index: it names what is not in the manifest")
	}
	return nil
}

// frame returns the compressed bytes of one entry, for a name that is there.
func (b *Bundle) frame(name string) *io.SectionReader {
	p := b.frames[name]
	return io.NewSectionReader(b.file, p.Offset, p.Length)
}

// Close closes the file.
func (b *Bundle) Close() error {
	if b.file == nil {
		return nil // it is elsewhere: see Placed
	}
	return b.file.Close()
}

// ID names the bundle by version and content, as its folder on a machine.
func (b *Bundle) ID() string { return format.ID(b.manifest.Kubernetes, b.raw) }

// Manifest returns the table of contents. The caller must not change it.
func (b *Bundle) Manifest() format.Manifest { return b.manifest }

// RawManifest returns the manifest's bytes, of which the id is made. The caller must
// not change them.
func (b *Bundle) RawManifest() []byte { return b.raw }

// Components returns what plans need to know of the bundle.
func (b *Bundle) Components() components.Bundle {
	view := components.Bundle{ID: b.ID(), Arch: b.manifest.Arch, Files: make(map[string]string, len(b.files))}
	for name, file := range maps.All(b.files) {
		view.Files[name] = file.SHA256
	}
	for _, image := range b.manifest.Images {
		view.Images = append(view.Images, components.Image{Name: image.Name, File: image.File})
	}
	return view
}

// File returns one file's content, checked against its sum. The error is
// fs.ErrNotExist where the manifest does not name it, and a *DamagedError where
// any file of the bundle is not what it should be.
func (b *Bundle) File(name string) ([]byte, error) {
	file, ok := b.files[name]
	if !ok {
		return nil, fmt.Errorf("bundle %s: %s: %w", b.ID(), name, fs.ErrNotExist)
	}
	if err := b.verify(); err != nil {
		return nil, err
	}
	content, err := format.ReadFrame(b.frame(name), file)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", b.ID(), err)
	}
	return content, nil
}

// Send writes to w a stream of the manifest and of every file whose SHA-256 is
// not in have. It is a tar compressed with zstd like the bundle itself, of which
// it copies the bytes as they are: whoever receives it checks the sums. Of a
// bundle that is damaged, a *DamagedError, it writes nothing.
func (b *Bundle) Send(ctx context.Context, w io.Writer, have map[string]bool) error {
	if err := b.verify(); err != nil {
		return err
	}
	if err := b.copyFrame(ctx, w, format.ManifestName); err != nil {
		return err
	}
	for _, file := range b.manifest.Files {
		if have[file.SHA256] {
			continue
		}
		if err := b.copyFrame(ctx, w, file.Name); err != nil {
			return err
		}
	}
	end, err := format.EndFrame()
	if err != nil {
		return err
	}
	if _, err := w.Write(end); err != nil {
		return fmt.Errorf("send bundle %s: %w", b.ID(), err)
	}
	return nil
}

// Size returns how many bytes Send writes, but for the few of its end.
func (b *Bundle) Size(have map[string]bool) int64 {
	size := b.frames[format.ManifestName].Length
	for _, file := range b.manifest.Files {
		if !have[file.SHA256] {
			size += b.frames[file.Name].Length
		}
	}
	return size
}

// copyFrame checks ctx between blocks, since w may be a slow line.
func (b *Bundle) copyFrame(ctx context.Context, w io.Writer, name string) error {
	const block = 1 << 20
	frame := b.frame(name)
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("send bundle %s: %w", b.ID(), err)
		}
		_, err := io.CopyN(w, frame, block)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send bundle %s: %s: %w", b.ID(), name, err)
		}
	}
}

// DamagedError is a bundle whose files are not what its manifest says.
type DamagedError struct {
	File  string // the bundle's path
	cause error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged, so nothing of it is used: %s; copy or build it again", e.File, e.cause)
}
func (e *DamagedError) Unwrap() error { return e.cause }

// verify reads everything and checks every sum, once. It takes about half a
// second, which a run that needs nothing of the bundle does not pay.
func (b *Bundle) verify() error {
	b.once.Do(func() {
		var all errgroup.Group
		all.SetLimit(2)
		for _, file := range b.manifest.Files {
			all.Go(func() error {
				_, err := format.ReadFrame(b.frame(file.Name), file)
				return err
			})
		}
		if err := all.Wait(); err != nil {
			b.damage = &DamagedError{File: b.file.Name(), cause: err}
		}
	})
	return b.damage
}
