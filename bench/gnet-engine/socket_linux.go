package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// A later is a unix socket that is not connected yet, made with its own system
// calls so that its descriptor's number is known.
type later struct {
	fd   int
	path string
}

func (t *trial) dialLater() (*later, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return &later{fd, t.path()}, err
}

func (l *later) connect() error { return unix.Connect(l.fd, &unix.SockaddrUnix{Name: l.path}) }

// read returns what comes within 200 ms.
func (l *later) read() string {
	_ = unix.SetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000})
	buf := make([]byte, 100)
	n, err := unix.Read(l.fd, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// exhaust makes the number of l the limit of descriptors and takes all that are
// left below; free gives them back.
func (l *later) exhaust() (free func(), err error) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return nil, err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(l.fd), Max: old.Max}); err != nil {
		return nil, err
	}
	var filler []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		filler = append(filler, fd)
	}
	return func() {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
		for _, fd := range filler {
			_ = unix.Close(fd)
		}
		time.Sleep(time.Millisecond)
	}, nil
}
