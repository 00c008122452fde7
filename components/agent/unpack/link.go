package unpack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"

	"provision/components/bundle"
)

// link gives the unfinished folder hard links to files that other bundles on
// this machine hold, or calls that did not end, this bundle's among them.
// Nobody's word for it is enough: every file is read.
func (u *unpacking) link(files []bundle.File, tmp string) error {
	if len(files) == 0 {
		return nil
	}
	held, err := u.held()
	if err != nil {
		return err
	}
	left, err := u.unfinished()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := u.dir.MkdirAll(path.Dir(path.Join(tmp, file.Name)), 0o755); err != nil {
			return err
		}
	}
	var group errgroup.Group
	group.SetLimit(2)
	for _, file := range files {
		candidates := slices.Clone(held[file.SHA256])
		for _, folder := range left {
			if folder != tmp {
				candidates = append(candidates, path.Join(folder, file.Name))
			}
		}
		group.Go(func() error { return u.linkOne(file, candidates, path.Join(tmp, file.Name)) })
	}
	return group.Wait()
}

// linkOne links the first candidate that is what it should be.
func (u *unpacking) linkOne(file bundle.File, candidates []string, name string) error {
	// An earlier call's, which may have been killed before it set the mode.
	if u.dir.Chmod(name, fs.FileMode(file.Mode)) == nil && same(u.dir, name, file) {
		return nil
	}
	if err := u.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, candidate := range candidates {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		if same(u.dir, candidate, file) {
			return u.dir.Link(candidate, name)
		}
	}
	return fmt.Errorf("%s is neither in the stream nor, whole, in another bundle on this machine", file.Name)
}

// held returns by sum the names, below root, of files that bundles on this
// machine say they hold.
func (u *unpacking) held() (map[string][]string, error) {
	entries, err := fs.ReadDir(u.dir.FS(), ".")
	if err != nil {
		return nil, err
	}
	held := map[string][]string{}
	for _, entry := range entries {
		if !entry.IsDir() || !idForm.MatchString(entry.Name()) {
			continue
		}
		manifest, _, err := readManifest(u.dir, entry.Name())
		if err != nil {
			continue // whatever it is, it is no bundle that we could use
		}
		for _, file := range manifest.Files {
			held[file.SHA256] = append(held[file.SHA256], path.Join(entry.Name(), file.Name))
		}
	}
	return held, nil
}

// same says whether a name is a regular file of that mode, size and sum.
func same(dir *os.Root, name string, file bundle.File) bool {
	info, err := dir.Lstat(name)
	if err != nil || info.Mode() != fs.FileMode(file.Mode) || info.Size() != file.Size {
		return false
	}
	opened, err := dir.Open(name)
	if err != nil {
		return false
	}
	defer opened.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, opened); err != nil {
		return false
	}
	return hex.EncodeToString(hash.Sum(nil)) == file.SHA256
}

// readManifest reads the manifest of a bundle's folder, and its bytes.
func readManifest(dir *os.Root, id string) (bundle.Manifest, []byte, error) {
	file, err := dir.Open(path.Join(id, bundle.ManifestName))
	if err != nil {
		return bundle.Manifest{}, nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, bundle.MaxManifest+1))
	if err != nil {
		return bundle.Manifest{}, nil, err
	}
	manifest, err := bundle.ParseManifest(raw)
	return manifest, raw, err
}

// placeAgent gives the agent a folder of its own, named by content, which a
// Kubernetes upgrade leaves as it is.
func (u *unpacking) placeAgent(manifest bundle.Manifest) error {
	for _, file := range manifest.Files {
		if file.Name != "bin/agent" {
			continue
		}
		folder := "agent-" + file.SHA256[:12]
		name := path.Join(folder, "agent")
		if same(u.dir, name, file) {
			return nil
		}
		if err := u.dir.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		tmp := path.Join(folder, ".tmp-agent")
		if err := u.dir.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := u.dir.Link(path.Join(u.id, file.Name), tmp); err != nil {
			return err
		}
		if err := u.dir.Rename(tmp, name); err != nil {
			return err
		}
		return syncDir(path.Join(u.root, folder))
	}
	return nil
}
