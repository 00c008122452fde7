package remove

import (
	"context"

	"provision/components/agent/durable"
)

// lock waits until no other removal works on this machine: one may go on after
// the program that asked for it was killed. Whoever looks at the machine waits
// for the same lock (provisioner/facts), lest it sees what is about to go. Where
// the folder is not there, neither is anything worth a lock.
func lock(ctx context.Context, state string) (unlock func(), err error) {
	unlock, err = durable.Lock(ctx, state, "another removal")
	if gone(err) {
		return func() {}, nil
	}
	return unlock, err
}
