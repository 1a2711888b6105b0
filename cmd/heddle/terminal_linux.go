package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal says whether f is one. It does not call f.Fd, which would make the
// file description blocking for everybody who shares it.
func isTerminal(f *os.File) bool {
	rc, err := f.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	err = rc.Control(func(fd uintptr) {
		_, terr := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		is = terr == nil
	})
	return err == nil && is
}
