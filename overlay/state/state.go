// Package state keeps what the overlay must not forget: the machine's private
// key, the mesh that was last admitted, and what kernel parameters held before.
//
// Files are replaced as a whole, so that a machine that loses power has the old
// or the new one. What the files mean is left to overlay.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"provision/overlay"
)

// maxFile bounds what is read, in bytes: 5000 peers take about 1.5 MB.
const maxFile = 16 << 20

// Dir is a folder of state, 0700.
type Dir string

// Open makes the folder where it is missing.
func Open(name string) (Dir, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return "", err
	}
	return Dir(name), os.Chmod(name, 0o700)
}

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

// Key returns the private key. The first call on a machine makes it; a key that
// is there and cannot be read is an error, never a reason for a new one: the
// others would refuse a machine that changed its key by accident.
func (d Dir) Key() (overlay.PrivateKey, error) {
	name := d.path("private.key")
	text, err := read(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = d.place(name, overlay.NewPrivateKey().PrivateKeyText())
		if err == nil || errors.Is(err, fs.ErrExist) {
			text, err = read(name)
		}
	}
	if err != nil {
		return overlay.PrivateKey{}, err
	}
	key, err := overlay.ParsePrivateKey(text)
	if err != nil {
		return key, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// NextKey returns the key that is to take over; ok says whether there is one.
func (d Dir) NextKey() (key overlay.PrivateKey, ok bool, err error) {
	name := d.path("next.key")
	text, err := read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return key, false, nil
	}
	if err == nil {
		if key, err = overlay.ParsePrivateKey(text); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	return key, err == nil, err
}

// PrepareKey makes the next key, unless there is one already, and returns it.
func (d Dir) PrepareKey() (overlay.PrivateKey, error) {
	err := d.place(d.path("next.key"), overlay.NewPrivateKey().PrivateKeyText())
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return overlay.PrivateKey{}, err
	}
	key, ok, err := d.NextKey()
	if err == nil && !ok {
		err = errors.New("the next key went away as soon as it was made: does another rotation run?")
	}
	return key, err
}

// PromoteKey lets the next key take the place of the present one, at once or not
// at all. The present one is gone.
func (d Dir) PromoteKey() error {
	if err := os.Rename(d.path("next.key"), d.path("private.key")); err != nil {
		return err
	}
	return syncDir(string(d))
}

// PresharedKey reads the cluster's pre-shared key from its file; zero where name
// is "". A file that is not there is an error: without it nobody would answer.
func PresharedKey(name string) (overlay.PresharedKey, error) {
	if name == "" {
		return overlay.PresharedKey{}, nil
	}
	text, err := read(name)
	if err != nil {
		return overlay.PresharedKey{}, err
	}
	key, err := overlay.ParsePresharedKey(text)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return key, err
}

// place writes a file that must not be there yet. Of two processes that make the
// key at once, the second fails to link and reads the first one's.
func (d Dir) place(name string, data []byte) error {
	temporary, err := write(string(d), data, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := os.Link(temporary, name); err != nil {
		return err
	}
	return syncDir(string(d))
}

// LoadMesh returns the mesh that SaveMesh kept; an empty one where there is none.
func (d Dir) LoadMesh() (overlay.Mesh, error) {
	var m overlay.Mesh
	name := d.path("mesh.json")
	data, err := read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return overlay.Mesh{Version: overlay.MeshVersion}, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	if m.Version != overlay.MeshVersion {
		return m, fmt.Errorf("%s: it has version %d, this agent reads %d", name, m.Version, overlay.MeshVersion)
	}
	return m, nil
}

// SaveMesh keeps a mesh over a reboot.
func (d Dir) SaveMesh(m overlay.Mesh) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(d.path("mesh.json"), append(data, '\n'), 0o600)
}

// Before returns the kernel parameters as they were before the overlay changed
// them, by name.
func (d Dir) Before() (map[string]string, error) {
	before := map[string]string{}
	data, err := read(d.path("sysctls.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return before, nil
	}
	if err != nil {
		return nil, err
	}
	return before, json.Unmarshal(data, &before)
}

// SaveBefore keeps them.
func (d Dir) SaveBefore(before map[string]string) error {
	data, err := json.MarshalIndent(before, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(d.path("sysctls.json"), append(data, '\n'), 0o600)
}

// WriteFile replaces a file as a whole, and only where its content differs.
func WriteFile(name string, data []byte, mode fs.FileMode) error {
	if old, err := read(name); err == nil && string(old) == string(data) {
		return nil
	}
	dir := filepath.Dir(name)
	temporary, err := write(dir, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, name); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(dir)
}

// write puts data on disk under a temporary name, which begins with a dot so
// that nobody who reads the folder takes it for the file.
func write(dir string, data []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxFile)
	}
	return data, err
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
