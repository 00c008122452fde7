package run

import (
	"time"

	"golang.org/x/sys/unix"
)

// read returns a clock of the kernel's. One that it does not have stands still:
// leases are then bounded by their renewals and generations alone.
func read(clock int32) time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(clock, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
