//go:build !linux

package loop

import (
	"net"
	"os"
	"time"
)

// A Loop is one goroutine and the connections, listeners and timers it owns.
type Loop struct{}

// New returns ErrUnsupported: the loop stands on Linux's epoll.
func New(Options) (*Loop, error) { return nil, ErrUnsupported }

// Run returns ErrUnsupported.
func (l *Loop) Run() error { return ErrUnsupported }

// Close does nothing.
func (l *Loop) Close() error { return nil }

// Do returns ErrUnsupported; fn never runs.
func (l *Loop) Do(fn func()) error { return ErrUnsupported }

// After returns a timer that never fires.
func (l *Loop) After(d time.Duration, fn func()) *Timer { return &Timer{} }

// Stats returns zeros.
func (l *Loop) Stats() Stats { return Stats{} }

// Listen returns ErrUnsupported.
func (l *Loop) Listen(network, addr string, accept func(c *Conn) Handler, o ListenOptions) (*Listener, error) {
	return nil, ErrUnsupported
}

// ListenFile returns ErrUnsupported.
func (l *Loop) ListenFile(f *os.File, accept func(c *Conn) Handler, o ListenOptions) (*Listener, error) {
	return nil, ErrUnsupported
}

// Dial returns ErrUnsupported.
func (l *Loop) Dial(network, addr string, h func(c *Conn) Handler, o DialOptions) (*Conn, error) {
	return nil, ErrUnsupported
}

// Adopt returns ErrUnsupported.
func (l *Loop) Adopt(nc net.Conn, h func(c *Conn) Handler) error { return ErrUnsupported }

// ListenUnix returns ErrUnsupported.
func ListenUnix(path string, mode os.FileMode) (net.Listener, error) { return nil, ErrUnsupported }

// A Timer calls a function once.
type Timer struct{}

// Stop reports false.
func (t *Timer) Stop() bool { return false }

// Reset does nothing.
func (t *Timer) Reset(d time.Duration) {}

// A Listener accepts connections for a loop.
type Listener struct{}

// Addr returns nil.
func (ln *Listener) Addr() net.Addr { return nil }

// Close does nothing.
func (ln *Listener) Close() error { return nil }

// A Conn is one TCP or unix stream connection owned by a Loop.
type Conn struct{}

// Send returns ErrUnsupported.
func (c *Conn) Send(head, body []byte) (end int64, err error) { return 0, ErrUnsupported }

// SendControl returns ErrUnsupported.
func (c *Conn) SendControl(p []byte) error { return ErrUnsupported }

// SendFiles returns ErrUnsupported.
func (c *Conn) SendFiles(p []byte, files []*os.File) error { return ErrUnsupported }

// TakeFiles returns ErrUnsupported.
func (c *Conn) TakeFiles(n int) ([]*os.File, error) { return nil, ErrUnsupported }

// Queued returns 0.
func (c *Conn) Queued() int { return 0 }

// Written returns 0.
func (c *Conn) Written() int64 { return 0 }

// Pause does nothing.
func (c *Conn) Pause() {}

// Resume does nothing.
func (c *Conn) Resume() {}

// SetReadLimit does nothing.
func (c *Conn) SetReadLimit(n int) {}

// CloseWrite does nothing.
func (c *Conn) CloseWrite() {}

// Close does nothing.
func (c *Conn) Close(err error) {}

// Reset does nothing.
func (c *Conn) Reset(err error) {}

// Abort does nothing.
func (c *Conn) Abort(err error) {}

// After returns a stop function that does nothing.
func (c *Conn) After(d time.Duration, fn func()) (stop func()) { return func() {} }

// Do returns ErrUnsupported.
func (c *Conn) Do(fn func()) error { return ErrUnsupported }

// PeerCred returns ErrUnsupported.
func (c *Conn) PeerCred() (pid, uid, gid int, err error) { return 0, 0, 0, ErrUnsupported }

// LocalAddr returns nil.
func (c *Conn) LocalAddr() net.Addr { return nil }

// RemoteAddr returns nil.
func (c *Conn) RemoteAddr() net.Addr { return nil }

// Loop returns nil.
func (c *Conn) Loop() *Loop { return nil }

// SetLowWater does nothing.
func (c *Conn) SetLowWater(n int) {}

// SetLimit does nothing.
func (c *Conn) SetLimit(n int) {}

// Detach returns ErrUnsupported.
func (c *Conn) Detach() (nc net.Conn, unread []byte, err error) { return nil, nil, ErrUnsupported }
