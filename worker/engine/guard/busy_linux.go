package guard

import (
	"errors"
	"syscall"
	"time"
)

// How long a program's file may be busy being written: a process that was forked
// meanwhile holds the descriptor until it has executed.
const (
	BusyGrace = time.Second
	busyPause = 10 * time.Millisecond
)

// WhileBusy calls execute until it fails with anything but ETXTBSY, or BusyGrace has
// passed, and returns its last error.
func WhileBusy(execute func() error) error {
	for until := time.Now().Add(BusyGrace); ; time.Sleep(busyPause) {
		err := execute()
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(until) {
			return err
		}
	}
}
