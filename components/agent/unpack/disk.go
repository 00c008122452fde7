package unpack

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree brings everything of the file system that holds the folder to disk,
// which is one wait instead of one for each file.
func syncTree(dir string) error {
	return withDir(dir, func(fd int) error { return unix.Syncfs(fd) })
}

// syncDir brings a folder's names to disk.
func syncDir(dir string) error {
	return withDir(dir, unix.Fsync)
}

func withDir(name string, do func(fd int) error) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := do(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}
