package systemd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// prepareSocket marks fd close-on-exec and says what keeps it from being a
// listening stream socket.
func prepareSocket(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return fmt.Errorf("is not there: %w", os.NewSyscallError("fcntl", err))
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case err != nil:
		return errors.New("is no socket; want ListenStream= in its unit")
	case kind != unix.SOCK_STREAM:
		return errors.New("is no stream socket; want ListenStream= in its unit")
	}
	if v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || v == 0 {
		return errors.New("does not listen; want Accept=no in its unit")
	}
	return nil
}
