// Package durable writes files so that a reader, or the machine after a power
// loss, sees the whole old content or the whole new one, and reads them with a
// bound. What the files mean is the callers' affair.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Replace writes a file beside the named one, syncs it and renames it into
// place. The folder must be there.
func Replace(name string, mode fs.FileMode, data []byte) error {
	temporary, err := write(name, mode, data)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// Create is Replace that never replaces: where the name is taken the error is
// fs.ErrExist and nothing changed.
func Create(name string, mode fs.FileMode, data []byte) error {
	temporary, err := write(name, mode, data)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := os.Link(temporary, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// Rename moves a file or folder, within one file system, in place of whatever file has
// the new name.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

// Read returns a file's content, and an error where it has more than limit bytes.
func Read(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := ReadAll(file, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// ReadAll is io.ReadAll that refuses more than limit bytes.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return data, nil
}

// Sweep removes what writers that were killed left in a folder. The caller
// makes sure, by a lock of its own, that no writer is at work.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") && strings.HasSuffix(entry.Name(), ".tmp") && entry.Type().IsRegular() {
			problems = append(problems, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(problems...)
}

func write(name string, mode fs.FileMode, data []byte) (temporary string, err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.tmp") // 0600 from the start
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(data); err != nil {
		return "", err
	}
	if err := file.Chmod(mode); err != nil {
		return "", err
	}
	return file.Name(), file.Sync()
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
