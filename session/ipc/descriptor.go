package ipc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/heddle-go/heddle/session"
)

// duplicate returns the message's descriptors as files of our own, or why they
// cannot go; what was given stays the caller's and is as blocking as it was.
func (p *Peer) duplicate(m *Message) ([]*os.File, error) {
	if len(m.Files) == 0 {
		return nil, nil
	}
	if !p.info.Files {
		return nil, fmt.Errorf("ipc: descriptors to peer %s: %w", p.id, session.ErrUnsupported)
	}
	if len(m.Files) > MaxFiles {
		return nil, fmt.Errorf("ipc: %d descriptors, of which %d may go with a message: %w", len(m.Files), MaxFiles, os.ErrInvalid)
	}
	files := make([]*os.File, 0, len(m.Files))
	for i, v := range m.Files {
		f, err := duplicate(v)
		if err != nil {
			closeFiles(files)
			return nil, fmt.Errorf("ipc: descriptor %d: %w", i, err)
		}
		files = append(files, f)
	}
	return files, nil
}

func duplicate(v any) (*os.File, error) {
	sc, ok := v.(syscall.Conn)
	if _, closes := v.(io.Closer); !ok || !closes {
		return nil, fmt.Errorf("a %T has no descriptor: %w", v, os.ErrInvalid)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var f *os.File
	if err := raw.Control(func(fd uintptr) { f, err = dup(fd) }); err != nil {
		return nil, fmt.Errorf("%w: %w", os.ErrClosed, err) // fails of closed ones alone
	}
	return f, err
}

// closeGiven closes what a message was given, once it is ours.
func closeGiven(files []any) {
	for _, v := range files {
		if ln, ok := v.(*net.UnixListener); ok {
			ln.SetUnlinkOnClose(false) // the path is the receiver's now
		}
		_ = v.(io.Closer).Close() // duplicate has seen that it has one
	}
}

// Conn makes a net.Conn of a descriptor that came, and closes f.
func Conn(f *os.File) (net.Conn, error) {
	c, err := net.FileConn(f)
	return c, errors.Join(err, f.Close())
}

// Listener makes a net.Listener of a descriptor that came, and closes f.
func Listener(f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	return ln, errors.Join(err, f.Close())
}
