package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A pathListener is a unix listener that removes its path at the end, if what
// is there is still its own.
type pathListener struct {
	net.Listener
	path string
	made os.FileInfo
	once sync.Once
}

// listenUnix listens on a unix path (mode 0600), or an abstract name that
// begins with '@'. A path that exists is taken over only if it is a socket that
// nobody answers on.
func listenUnix(path string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// The socket file gets the mode of the unbound socket (unix(7)), so
		// there is no moment at which others may connect.
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	if path[0] != '@' {
		if err := clearPath(path); err != nil {
			return nil, err
		}
	}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil || path[0] == '@' {
		return ln, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &pathListener{Listener: ln, path: path, made: made}, nil
}

// clearPath removes a socket that nobody answers on; anything else it refuses.
func clearPath(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket; it is left as it is", path)
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		c.Close()
		return os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s exists, and whether somebody serves there cannot be told: %w", path, err)
	}
	return os.Remove(path)
}

// Close closes the listener and removes its path.
func (l *pathListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() {
		if now, serr := os.Lstat(l.path); serr == nil && os.SameFile(now, l.made) {
			err = errors.Join(err, os.Remove(l.path))
		}
	})
	return err
}
