// Package clock reads the machine's monotonic clock, which every process of
// it sees alike: two of them may subtract each other's readings. That part
// needs Linux.
package clock

import (
	"slices"
	"time"
)

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
