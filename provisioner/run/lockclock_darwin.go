package run

import (
	"time"

	"golang.org/x/sys/unix"
)

// awake is a clock that nobody sets and that goes on while this computer
// sleeps: darwin's CLOCK_MONOTONIC, unlike Linux's, does. It counts from some
// moment.
func awake() time.Duration { return read(unix.CLOCK_MONOTONIC) }
