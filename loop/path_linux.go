package loop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A boundPath is a socket in the file system that a listener of ours is bound to.
type boundPath struct {
	path     string // absolute, whatever becomes of the working directory
	dev, ino uint64
}

// bindUnix binds and listens. The file gets its mode from the socket's, at its
// creation: there is no moment at which others could connect.
//
// Finding a dead socket, removing it and binding are three steps, and between
// binding and listening a live socket looks dead; so all of it happens under a lock
// on the directory, which all Heddle processes take.
func (ln *Listener) bindUnix(path string) error {
	sa, err := unixSockaddr(path)
	if err != nil {
		return err
	}
	if ln.fd, err = socket(unix.AF_UNIX); err != nil {
		return err
	}
	ln.addr = &net.UnixAddr{Net: "unix", Name: path}
	abstract := path[0] == '@'
	if !abstract {
		unlock, err := lockDir(filepath.Dir(path))
		if err != nil {
			return err
		}
		defer unlock()
		// bind(2) creates the file with this mode less the umask.
		if err := unix.Fchmod(ln.fd, uint32(ln.opt.Mode.Perm())); err != nil {
			return os.NewSyscallError("fchmod", err)
		}
	}
	err = unix.Bind(ln.fd, sa)
	if err == unix.EADDRINUSE && !abstract {
		if err := removeDead(path, sa); err != nil {
			return err
		}
		err = unix.Bind(ln.fd, sa)
	}
	if err != nil {
		return os.NewSyscallError("bind", err)
	}
	if !abstract {
		if err := ln.own(path); err != nil {
			return err
		}
	}
	return os.NewSyscallError("listen", unix.Listen(ln.fd, ln.opt.Backlog))
}

// own notes which file is ours and gives it back the bits the umask took.
func (ln *Listener) own(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(abs, &st); err != nil {
		return os.NewSyscallError("lstat", err)
	}
	ln.path = &boundPath{abs, uint64(st.Dev), st.Ino}
	if mode := uint32(ln.opt.Mode.Perm()); st.Mode&0o777 != mode {
		return os.NewSyscallError("chmod", unix.Chmod(abs, mode))
	}
	return nil
}

// removeDead removes the socket at path if nobody answers on it. Anything else there
// is in use.
func removeDead(path string, sa *unix.SockaddrUnix) error {
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case err == unix.ENOENT: // gone just now
		return nil
	case err != nil:
		return os.NewSyscallError("lstat", err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%s is not a socket and stays: %w", path, unix.EADDRINUSE)
	}
	fd, err := socket(unix.AF_UNIX)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, sa); err {
	case unix.ECONNREFUSED:
	case unix.ENOENT:
		return nil
	case nil, unix.EAGAIN: // EAGAIN: so busy that its backlog is full
		return fmt.Errorf("somebody answers: %w", unix.EADDRINUSE)
	default: // EACCES, or EPROTOTYPE: a datagram socket, say
		return fmt.Errorf("cannot tell whether somebody answers (%w): %w", err, unix.EADDRINUSE)
	}
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return os.NewSyscallError("unlink", err)
	}
	return nil
}

// remove removes the file if it is still ours.
func (b *boundPath) remove() {
	if unlock, err := lockDir(filepath.Dir(b.path)); err == nil {
		defer unlock()
	}
	var st unix.Stat_t
	if unix.Lstat(b.path, &st) == nil && uint64(st.Dev) == b.dev && st.Ino == b.ino {
		_ = unix.Unlink(b.path)
	}
}

// How long a directory's lock is waited for. It is held for microseconds, unless by
// somebody who is not Heddle, and he must not keep us from listening.
const lockPatience = time.Second

// lockDir locks a directory among Heddle processes, as far as it can: not where the
// directory cannot be read or its file system knows no locks.
func lockDir(dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		return func() {}, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	for deadline := time.Now().Add(lockPatience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	return func() { _ = unix.Close(fd) }, nil // which unlocks
}
