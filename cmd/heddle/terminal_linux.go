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

// terminalWidth is f's, in columns; 80 where it does not say.
func terminalWidth(f *os.File) int {
	width := 80
	if rc, err := f.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) {
			if ws, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil && ws.Col > 0 {
				width = int(ws.Col)
			}
		})
	}
	return width
}
