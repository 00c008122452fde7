package unpack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock waits until no other call works below root.
func lock(ctx context.Context, root string) (unlock func(), err error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { dir.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			dir.Close()
			return nil, fmt.Errorf("lock %s: %w", root, err)
		}
		select {
		case <-ctx.Done():
			dir.Close()
			return nil, fmt.Errorf("%s: another unpacking holds it: %w", root, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

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
