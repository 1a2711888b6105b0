package loop

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	maxFilesSent      = 16 // with one frame
	maxFilesUnclaimed = 64 // that arrived and were not taken
)

// A RefuseHandler is a Handler that wants to know when the kernel would not send
// the descriptors of a frame given to SendFiles (too many in flight, say). The frame
// is lent to it and is not sent; everything else is. Without OnRefuse such a
// connection is aborted.
type RefuseHandler interface {
	Handler
	OnRefuse(frame []byte, err error)
}

// SendFiles is Send for a frame whose first byte carries 1 to 16 descriptors, over
// a unix socket. They are duplicated: the caller keeps his files, and may close
// them at once. Any goroutine.
func (c *Conn) SendFiles(p []byte, files []*os.File) error {
	if !c.unix || len(files) == 0 || len(files) > maxFilesSent || len(p) == 0 {
		return fmt.Errorf("loop: %d descriptors, %d bytes: %w", len(files), len(p), os.ErrInvalid)
	}
	fds := make([]int, 0, len(files))
	for _, f := range files {
		fd, err := dupFile(f)
		if err != nil {
			closeAll(fds)
			return fmt.Errorf("loop: %w", err)
		}
		fds = append(fds, fd)
	}
	c.mu.Lock()
	kick, err := c.reserveLocked(len(p))
	if err == nil {
		c.out.data.appendFiles(p, fds)
		c.out.end += int64(len(p))
	}
	c.mu.Unlock()
	if err != nil {
		closeAll(fds)
	}
	if kick {
		c.loop.enqueue(c)
	}
	return err
}

// dupFile duplicates f's descriptor without f.Fd, which would make the shared file
// description blocking.
func dupFile(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	return dupConn(raw)
}

// TakeFiles returns the next n descriptors that arrived, in order, non-blocking and
// owned by the caller; ErrFiles if there are fewer, which takes none. Loop only.
func (c *Conn) TakeFiles(n int) ([]*os.File, error) {
	c.loop.owner.Check()
	if n < 0 || n > len(c.arrived) {
		return nil, fmt.Errorf("%w: %d wanted, %d arrived", ErrFiles, n, len(c.arrived))
	}
	files := make([]*os.File, n)
	for i, fd := range c.arrived[:n] {
		_ = unix.SetNonblock(int(fd), true) // before NewFile, which then lets the runtime wait for it
		files[i] = os.NewFile(uintptr(fd), fmt.Sprintf("passed-%d", fd))
	}
	if c.arrived = append(c.arrived[:0], c.arrived[n:]...); len(c.arrived) == 0 {
		c.arrived = nil
	}
	return files, nil
}

// arrive keeps the descriptors of a control message until they are claimed.
//
//	cmsghdr: len size_t (header included), level int32, type int32, then the data, aligned to a word
func (c *Conn) arrive(oob []byte, flags int) error {
	const header = unix.SizeofCmsghdr
	for len(oob) >= header {
		size := int(binary.NativeEndian.Uint32(oob)) // the low word's place
		if wordSize == 8 {
			size = int(binary.NativeEndian.Uint64(oob))
		}
		if size < header || size > len(oob) {
			break
		}
		level := int32(binary.NativeEndian.Uint32(oob[header-8:]))
		kind := int32(binary.NativeEndian.Uint32(oob[header-4:]))
		if level == unix.SOL_SOCKET && kind == unix.SCM_RIGHTS {
			for p := oob[header:size]; len(p) >= 4; p = p[4:] {
				c.arrived = append(c.arrived, int32(binary.NativeEndian.Uint32(p)))
			}
		}
		oob = oob[min((size+wordSize-1)&^(wordSize-1), len(oob)):]
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return fmt.Errorf("%w: the control message was cut", ErrFiles)
	}
	if len(c.arrived) > maxFilesUnclaimed {
		return fmt.Errorf("%w: more than %d unclaimed", ErrFiles, maxFilesUnclaimed)
	}
	return nil
}

const wordSize = 4 << (^uint(0) >> 63) // bytes

func closeAll[T int | int32](fds []T) {
	for _, fd := range fds {
		_ = unix.Close(int(fd))
	}
}
