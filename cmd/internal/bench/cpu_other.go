//go:build !unix

package bench

import "time"

// cpuTime returns 0: not known here.
func cpuTime() time.Duration { return 0 }
