package httpcompat

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/session"
)

// switched is the Info by which a handler's side tells the front that the
// session is the client's connection from here on: what was written before is
// to leave first, and chunks are its bytes, as they are, in both directions. An
// empty chunk ends the handler's direction alone, a choke both; the asker's
// ends with a choke.
//
// array(2): code int 0, headers array(0)
var switched = []byte{0x92, 0x00, 0x90}

// Hijack hands over the client's connection, as http.Hijacker has it. The
// connection lives until it is closed, also beyond the handler's return; until
// then the worker is not drained. What the client has sent already comes from
// it in order, so the bufio.ReadWriter has nothing of its own.
//
// It fails with http.ErrHijacked the second time, and with an error that wraps
// http.ErrNotSupported under HTTP/2 and under real Cocaine runtimes.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	switch {
	case w.conn != nil:
		return nil, nil, http.ErrHijacked
	case w.sc == nil:
		panic("httpcompat: Hijack after the handler has returned")
	case w.multiplexed() || !w.s.Mux().Heddle():
		return nil, nil, errors.Join(errors.New("httpcompat: this connection cannot be hijacked"), http.ErrNotSupported)
	case w.err != nil:
		return nil, nil, w.err
	}
	if w.wroteHeader {
		w.buffered = 0 // net/http drops what was not flushed
		if err := w.flush(); err != nil {
			return nil, nil, err
		}
	}
	if w.body.s != nil {
		w.body.release() // what was not read of it comes from the connection
	}
	_ = w.s.SetReadDeadline(time.Time{})
	_ = w.s.SetWriteDeadline(time.Time{})
	if err := w.s.Reopen(); err != nil {
		return nil, nil, err
	}
	if err := w.s.SendInfo(switched); err != nil {
		return nil, nil, err
	}
	c := &hijacked{s: w.s, local: w.local, remote: w.req.RemoteAddr, over: make(chan struct{})}
	w.conn = c
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// A hijacked is a client's connection in a worker: the bytes of a session. It
// may be used as any net.Conn, and beyond that half-closed by CloseWrite.
type hijacked struct {
	s             *session.Session
	local, remote string

	rmu sync.Mutex // held while the session is read
	wmu sync.Mutex // held while it is written to

	mu     sync.Mutex
	closed bool
	half   bool          // CloseWrite was called
	over   chan struct{} // closed by Close
}

var _ net.Conn = (*hijacked)(nil)

// Read returns what the client sent; io.EOF once it has closed its side.
func (c *hijacked) Read(p []byte) (int, error) {
	c.rmu.Lock()
	defer c.rmu.Unlock()
	if c.isClosed() {
		return 0, c.fail("read", net.ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := c.s.Read(p)
		switch {
		case n > 0 || err == nil:
			return n, nil
		case err != io.EOF:
			return 0, c.fail("read", err)
		}
		// The end, or in front of the next chunk something that is none of the
		// connection's bytes: the trailers of the request's body.
		m, err := c.s.Recv()
		switch {
		case err == io.EOF:
			return 0, io.EOF
		case err != nil:
			return 0, c.fail("read", err)
		}
		m.Drop() // a client brings none
	}
}

// Write sends p to the client.
func (c *hijacked) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.mu.Lock()
	closed, half := c.closed, c.half
	c.mu.Unlock()
	switch {
	case closed:
		return 0, c.fail("write", net.ErrClosed)
	case half:
		return 0, c.fail("write", syscall.EPIPE)
	}
	n, err := c.s.Write(p)
	if err != nil {
		return n, c.fail("write", err)
	}
	return n, nil
}

// CloseWrite ends what the client receives, and not what it sends.
func (c *hijacked) CloseWrite() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.mu.Lock()
	if c.closed || c.half {
		c.mu.Unlock()
		return nil
	}
	c.half = true
	c.mu.Unlock()
	if err := c.s.WriteChunk(nil); err != nil {
		return c.fail("close", err)
	}
	return nil
}

// Close delivers what was written and closes the client's connection. Whoever
// reads or writes at this moment fails.
func (c *hijacked) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.fail("close", net.ErrClosed)
	}
	c.closed = true
	_ = c.s.SetReadDeadline(past)
	_ = c.s.SetWriteDeadline(past)
	c.mu.Unlock()
	c.wmu.Lock()
	_ = c.s.Close()
	c.wmu.Unlock()
	c.rmu.Lock() // the session may not be given up while somebody reads
	close(c.over)
	c.rmu.Unlock()
	return nil
}

// wait returns when the connection was closed, or has no peer any more; then
// nobody is in the session. The loss of a peer that had half-closed before the
// connection was taken over is seen only by reading or writing.
func (c *hijacked) wait() {
	select {
	case <-c.over:
		return
	case <-c.s.Context().Done():
	}
	if c.s.Cause() != session.ErrGone { // which the client was before, and said so by its half-close
		_ = c.Close()
	}
	<-c.over
}

func (c *hijacked) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// LocalAddr is where the client's connection arrived.
func (c *hijacked) LocalAddr() net.Addr { return parseAddr(c.local) }

// RemoteAddr is the client's.
func (c *hijacked) RemoteAddr() net.Addr { return parseAddr(c.remote) }

// SetDeadline sets both deadlines.
func (c *hijacked) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is for Read.
func (c *hijacked) SetReadDeadline(t time.Time) error { return c.deadline(t, c.s.SetReadDeadline) }

// SetWriteDeadline is for Write.
func (c *hijacked) SetWriteDeadline(t time.Time) error { return c.deadline(t, c.s.SetWriteDeadline) }

func (c *hijacked) deadline(t time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // the deadline is what keeps everybody out
		return c.fail("set", net.ErrClosed)
	}
	return set(t)
}

// fail is err as a connection of package net would say it.
func (c *hijacked) fail(op string, err error) error {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE):
	case err == os.ErrDeadlineExceeded:
		if c.isClosed() {
			err = net.ErrClosed
		}
	case op == "write":
		err = errors.Join(syscall.EPIPE, err)
	default:
		err = errors.Join(syscall.ECONNRESET, err)
	}
	addr := c.RemoteAddr()
	return &net.OpError{Op: op, Net: addr.Network(), Source: c.LocalAddr(), Addr: addr, Err: err}
}
