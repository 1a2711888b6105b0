package main

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A peerProcess is the one that listens on a socket.
type peerProcess struct{ fd int } // a pidfd, pidfd_open(2); -1: not known

// watchPeer asks the kernel who listens on the unix socket path. A number of
// our own PID namespace comes back, so that no stranger is meant.
func watchPeer(path string) peerProcess {
	none := peerProcess{-1}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err != nil {
		return none
	}
	defer c.Close()
	rc, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return none
	}
	p := none
	err = rc.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || cred.Pid <= 0 {
			return
		}
		if pidfd, err := unix.PidfdOpen(int(cred.Pid), 0); err == nil {
			p.fd = pidfd
		}
	})
	if err != nil {
		return none
	}
	return p
}

// wait waits for the process's end, and says whether it has come. One that is
// not known has ended.
func (p peerProcess) wait(ctx context.Context) bool {
	for p.fd >= 0 {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(progressEvery/time.Millisecond))
		switch {
		case n > 0, err != nil && err != unix.EINTR:
			return true
		case ctx.Err() != nil:
			return false
		}
	}
	return true
}

func (p peerProcess) close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
}
