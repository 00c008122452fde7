package unpack

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"provision/components/bundle"
)

// torn says that a call failed because its stream ended early or it was told to
// stop, so that the next may take over what arrived. After any other failure
// (a full disk, a sum that is wrong) nothing is kept.
func torn(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}

// prepare makes the unfinished folder. One that an earlier call left keeps only
// regular files that the manifest names, none of which is believed: each is
// replaced by the stream's or read before it is taken over.
func (u *unpacking) prepare(s *bundle.Stream, tmp string) error {
	err := u.dir.Mkdir(tmp, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := u.dir.Lstat(tmp); err != nil || !info.IsDir() {
		return errors.Join(err, u.dir.RemoveAll(tmp), u.dir.Mkdir(tmp, 0o755))
	}
	manifest, _ := s.Manifest()
	named := map[string]bool{}
	for _, file := range manifest.Files {
		named[path.Join(tmp, file.Name)] = true
	}
	return fs.WalkDir(u.dir.FS(), tmp, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Type().IsRegular() && named[name] {
			return err
		}
		return u.dir.Remove(name)
	})
}

// unfinished returns the names of the folders of calls that did not end.
func (u *unpacking) unfinished() ([]string, error) {
	entries, err := fs.ReadDir(u.dir.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && strings.HasPrefix(entry.Name(), tmpPrefix) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// sweep removes what calls that did not end have left, but for one folder.
func sweep(dir *os.Root, keep string) error {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), tmpPrefix) && entry.Name() != keep {
			if err := dir.RemoveAll(entry.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}
