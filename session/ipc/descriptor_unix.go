//go:build unix

package ipc

import (
	"os"

	"golang.org/x/sys/unix"
)

// dup returns another descriptor of fd's file, without making that blocking.
func dup(fd uintptr) (*os.File, error) {
	n, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(n), "passed"), nil
}
