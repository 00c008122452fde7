package testenv

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

const stateFile = "lab.json"

var validID = regexp.MustCompile(`^[0-9a-f]{6}$`)

// Open finds the lab of a directory. The error satisfies fs.ErrNotExist where
// there is none.
func Open(dir string) (*Lab, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no lab in %s: make one with `lab up --dir %s`: %w", dir, dir, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	var lab Lab
	if err := json.Unmarshal(data, &lab); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	if !validID.MatchString(lab.ID) {
		return nil, fmt.Errorf("%s: %q is no lab's id", filepath.Join(dir, stateFile), lab.ID)
	}
	lab.Dir, err = filepath.Abs(dir)
	return &lab, err
}

func (l *Lab) save() error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(l.Dir, stateFile), 0o600, append(data, '\n'))
}

// writeFile replaces a file as a whole, so that a crash leaves the old or the new.
func writeFile(name string, mode fs.FileMode, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(mode), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), name)
}

func newID() string {
	var b [3]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// lock takes a file's lock, waiting at most that long, until the returned
// function is called or this process ends.
func lock(name string, wait time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
	}
}
