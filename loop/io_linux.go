package loop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioScratch is what one loop's system calls need, made once: golang.org/x/sys's own
// Recvmsg and Writev allocate with every call.
type ioScratch struct {
	buf    []byte // for input
	pieces [64]piece
	iov    [64]unix.Iovec
	msg    unix.Msghdr
	oob    [1088]byte // control message; room for SCM_MAX_FD (253) descriptors, unix(7)
}

// writeMax is about how many bytes one write is given, and one connection may write
// before others get their turn.
const writeMax = 1 << 20

// The sockets never block, and a call moves what takes a few microseconds: so the
// scheduler is not told that the loop's goroutine is in the kernel, which it would
// answer by giving its processor away now and then. Only a write of many bytes
// would hold up the garbage collector for long; that one does tell.

// quickMax is how many bytes a system call may move that the scheduler is not told of.
const quickMax = 128 << 10

// recv reads from a stream socket. With files set it looks for descriptors too:
// oob, borrowed, is their control message and flags tell whether some were lost.
func (x *ioScratch) recv(fd int, p []byte, files bool) (n int, oob []byte, flags int, err error) {
	if len(p) > quickMax {
		p = p[:quickMax]
	}
	for {
		var r uintptr
		var errno unix.Errno
		if files {
			x.iov[0].Base = unsafe.SliceData(p)
			x.iov[0].SetLen(len(p))
			x.msg = unix.Msghdr{Iov: &x.iov[0], Control: &x.oob[0]}
			x.msg.SetIovlen(1)
			x.msg.SetControllen(len(x.oob))
			r, _, errno = unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&x.msg)), unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
			x.iov[0].Base = nil
		} else {
			r, _, errno = unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		}
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return 0, nil, 0, errno
		case files:
			return int(r), x.oob[:x.msg.Controllen], int(x.msg.Flags), nil
		}
		return int(r), nil, 0, nil
	}
}

// send writes pieces in one call, files with the first byte.
func (x *ioScratch) send(fd int, pieces []piece, files []int) (n int, err error) {
	if len(pieces) == 1 && len(files) == 0 && len(pieces[0].b) <= quickMax {
		return sendOne(fd, pieces[0].b)
	}
	for i, p := range pieces {
		x.iov[i].Base = &p.b[0]
		x.iov[i].SetLen(len(p.b))
	}
	x.msg = unix.Msghdr{Iov: &x.iov[0]}
	x.msg.SetIovlen(len(pieces))
	if len(files) > 0 {
		rights := unix.UnixRights(files...)
		x.msg.Control = &rights[0]
		x.msg.SetControllen(len(rights))
	}
	for {
		r, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&x.msg)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if errno == unix.EINTR {
			continue
		}
		x.msg = unix.Msghdr{}
		clear(x.iov[:len(pieces)]) // keep no segment alive
		if errno != 0 {
			return 0, errno
		}
		return int(r), nil
	}
}

// sendOne writes one piece of at most quickMax bytes, as most answers are.
func sendOne(fd int, p []byte) (n int, err error) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}
