package remove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock waits until no other removal works on this machine: one may go on after
// the program that asked for it was killed. Whoever looks at the machine waits
// for the same lock (provisioner/facts), lest it sees what is about to go. Where
// the folder is not there, neither is anything worth a lock.
func lock(ctx context.Context, state string) (unlock func(), err error) {
	dir, err := os.Open(state)
	if gone(err) {
		return func() {}, nil
	}
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
			return nil, fmt.Errorf("lock %s: %w", state, err)
		}
		if sleep(ctx, 50*time.Millisecond); ctx.Err() != nil {
			dir.Close()
			return nil, fmt.Errorf("%s: another removal goes on: %w", state, ctx.Err())
		}
	}
}
