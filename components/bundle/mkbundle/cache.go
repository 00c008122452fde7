package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cache keeps what was built, named by a hash of all that it was built from.
type cache struct {
	dir  string
	held *os.File // the folder, once it is locked
}

// lock waits until no other call uses the folder, and holds it until this
// process ends: two calls that compile to one place would read halves.
func (c *cache) lock() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	var err error
	if c.held, err = os.Open(c.dir); err != nil {
		return err
	}
	if err := unix.Flock(int(c.held.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", c.dir, err)
	}
	return nil
}

// key hashes the parts; two lists of parts never run into each other.
func key(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// path is where something of that kind with that key lies.
func (c cache) path(kind, key string) string { return filepath.Join(c.dir, kind, key) }

// get returns what was kept, and marks it as used.
func (c cache) get(kind, key string) ([]byte, bool) {
	name := c.path(kind, key)
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // it is pruned too early at worst
	return data, true
}

// put keeps data. A call that is killed leaves no half of it under its name.
func (c cache) put(kind, key string, data []byte) error {
	name := c.path(kind, key)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return writeAtomic(name, data)
}

// prune removes what get has not returned for that long.
func (c cache) prune(unused time.Duration) error {
	oldest := time.Now().Add(-unused)
	for _, kind := range []string{"frames", "modules", "programs"} {
		entries, err := os.ReadDir(filepath.Join(c.dir, kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil || info.ModTime().After(oldest) {
				continue // another call may have removed it
			}
			if err := os.Remove(c.path(kind, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func writeAtomic(name string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(data); err != nil {
		file.Close()
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
