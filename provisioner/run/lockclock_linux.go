package run

import (
	"time"

	"golang.org/x/sys/unix"
)

// awake is a clock that nobody sets and that goes on while this computer
// sleeps, which Go's own does not on Linux. It counts from some moment.
func awake() time.Duration { return read(unix.CLOCK_BOOTTIME) }
