// Package clock reads the machine's monotonic clock, which every process of
// it sees alike: two of them may subtract each other's readings.
package clock

import (
	"fmt"
	"slices"
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

// Percentile is the smallest of the samples that p of them, a share between 0
// and 1, do not exceed; 0 without samples. It sorts them.
func Percentile(samples []time.Duration, p float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	slices.Sort(samples)
	i := int(p*float64(len(samples))+0.999999) - 1
	return samples[min(max(i, 0), len(samples)-1)]
}
