package loop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A boundPath is a socket in the file system that a listener of ours is bound to.
type boundPath struct {
	path     string // absolute, whatever becomes of the working directory
	dev, ino uint64
}

// ListenUnix is net.Listen("unix", path) by the rules of Loop.Listen, for programs that
// accept without a loop: the file has the given mode (0 means 0600) from its first
// moment, a path that exists is taken over only if it is a socket that nobody answers
// on, "@name" is in the abstract namespace, and Close removes the path if it is still
// ours. Errors are those of Loop.Listen.
func ListenUnix(path string, mode os.FileMode) (net.Listener, error) {
	fd, bound, err := bindUnix(path, mode, defaultBacklog)
	if err == nil {
		var ln net.Listener
		f := os.NewFile(uintptr(fd), path)
		ln, err = net.FileListener(f) // which duplicates it
		_ = f.Close()
		if err == nil {
			return &unixListener{Listener: ln, path: bound}, nil
		}
		bound.remove()
	}
	return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &namedAddr{"unix", path}, Err: err}
}

// A unixListener is package net's, and removes its path when it is closed.
type unixListener struct {
	net.Listener
	path   *boundPath // or nil
	remove sync.Once
}

// Close removes the path before the socket, which keeps the file's number from being
// given to a later one.
func (ln *unixListener) Close() error {
	ln.remove.Do(ln.path.remove)
	return ln.Listener.Close()
}

// File duplicates the socket, as package net's listeners do.
func (ln *unixListener) File() (*os.File, error) {
	return ln.Listener.(*net.UnixListener).File()
}

// bindUnix returns a socket that is bound and listens, and the file it is bound to, nil
// for an abstract name. The file gets its mode from the socket's, at its creation: there
// is no moment at which others could connect.
//
// Finding a dead socket, removing it and binding are three steps, and between
// binding and listening a live socket looks dead; so all of it happens under a lock
// on the directory, which all Heddle processes take.
func bindUnix(path string, mode os.FileMode, backlog int) (fd int, bound *boundPath, err error) {
	sa, err := unixSockaddr(path)
	if err != nil {
		return -1, nil, err
	}
	if fd, err = socket(unix.AF_UNIX); err != nil {
		return -1, nil, err
	}
	if path[0] == '@' {
		err = os.NewSyscallError("bind", unix.Bind(fd, sa))
	} else {
		var unlock func()
		if unlock, err = lockDir(filepath.Dir(path)); err == nil {
			defer unlock()
			bound, err = bindPath(fd, path, sa, mode)
		}
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		bound.unlink()
		_ = unix.Close(fd)
		return -1, nil, err
	}
	return fd, bound, nil
}

// bindPath binds under the directory's lock. A file that it has made is returned even
// with an error.
func bindPath(fd int, path string, sa *unix.SockaddrUnix, mode os.FileMode) (*boundPath, error) {
	if mode == 0 {
		mode = 0o600
	}
	// bind(2) creates the file with this mode less the umask.
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return nil, os.NewSyscallError("fchmod", err)
	}
	err := unix.Bind(fd, sa)
	if err == unix.EADDRINUSE {
		if err := removeDead(path, sa); err != nil {
			return nil, err
		}
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	return own(path, mode)
}

// own notes which file is ours and gives it back the bits the umask took.
func own(path string, mode os.FileMode) (*boundPath, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(abs, &st); err != nil {
		return nil, os.NewSyscallError("lstat", err)
	}
	b := &boundPath{abs, uint64(st.Dev), st.Ino}
	if mode := uint32(mode.Perm()); st.Mode&0o777 != mode {
		return b, os.NewSyscallError("chmod", unix.Chmod(abs, mode))
	}
	return b, nil
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
		return fmt.Errorf("%s: %w: %w", path, ErrNotSocket, unix.EADDRINUSE)
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

// remove removes the file if it is still ours. Of an abstract name, nil, there is none.
func (b *boundPath) remove() {
	if b == nil {
		return
	}
	if unlock, err := lockDir(filepath.Dir(b.path)); err == nil {
		defer unlock()
	}
	b.unlink()
}

// unlink is remove under the directory's lock.
func (b *boundPath) unlink() {
	if b == nil {
		return
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
