package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Lock waits until no other process holds a folder, and holds it until unlock is
// called or the process ends. The error is fs.ErrNotExist where there is no such
// folder; where time was up it wraps ctx's, and names the holder as it is told.
func Lock(ctx context.Context, folder, holder string) (unlock func(), err error) {
	dir, err := os.Open(folder)
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
			return nil, fmt.Errorf("lock %s: %w", folder, err)
		}
		select {
		case <-ctx.Done():
			dir.Close()
			return nil, fmt.Errorf("%s: %s holds it: %w", folder, holder, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
