//go:build !linux

package engine

import "time"

// Measure knows nothing here.
func Measure([]WorkerStatus) {}

// MeasureProcess is not supported here.
func MeasureProcess(int) (memory int64, cpu time.Duration, err error) { return 0, 0, ErrUnsupported }
