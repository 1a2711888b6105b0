package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Now is CLOCK_MONOTONIC, clock_gettime(2), in nanoseconds.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("clock: CLOCK_MONOTONIC: %v", err)) // every Linux has it
	}
	return ts.Nano()
}

// Since is how long ago ns was, a reading of Now by any process.
func Since(ns int64) time.Duration { return time.Duration(Now() - ns) }
