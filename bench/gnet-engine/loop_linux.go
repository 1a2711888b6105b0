package main

import (
	"net"
	"os"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// loopSide is our loop.
type loopSide struct {
	cb   callbacks
	loop *loop.Loop
	done chan error
}

func newLoop() side { return &loopSide{done: make(chan error, 1)} }

func (s *loopSide) run() (err error) {
	if s.loop, err = loop.New(loop.Options{Logger: discard}); err == nil {
		go func() { s.done <- s.loop.Run() }()
	}
	return err
}

func (s *loopSide) serve(network, addr string, cb callbacks) error {
	s.cb = cb
	if err := s.run(); err != nil {
		return err
	}
	_, err := s.loop.Listen(network, addr, s.handler, loop.ListenOptions{})
	return err
}

// serveLoops needs one loop only to see that there is one port: the others get
// their connections from Deal.
func (s *loopSide) serveLoops(int) ([]int, error) {
	if err := s.run(); err != nil {
		return nil, err
	}
	deal := func() *loop.Loop { return s.loop }
	if _, err := s.loop.Listen("tcp", "127.0.0.1:0", s.handler, loop.ListenOptions{Deal: deal}); err != nil {
		return nil, err
	}
	return listeningPorts(), nil
}

func (s *loopSide) early(path string) error {
	l, err := loop.New(loop.Options{Logger: discard})
	if err != nil {
		return err
	}
	opened := make(chan error, 1)
	s.cb = callbacks{
		open:  func(conn) { opened <- nil },
		close: func(_ conn, err error) { opened <- err },
	}
	if _, err := l.Dial("unix", path, s.handler, loop.DialOptions{}); err != nil {
		return err
	}
	go func() { s.done <- l.Run() }()
	return <-opened
}

func (s *loopSide) dialInside(path string, at func(fn func())) error {
	if err := s.run(); err != nil {
		return err
	}
	result := make(chan error, 1)
	s.cb = callbacks{
		open:  func(conn) { result <- nil },
		close: func(_ conn, err error) { result <- err },
	}
	err := s.loop.Do(func() {
		at(func() {
			if _, err := s.loop.Dial("unix", path, s.handler, loop.DialOptions{}); err != nil {
				result <- err
			}
		})
	})
	if err != nil {
		return err
	}
	return <-result
}

func (s *loopSide) ended() <-chan error { return s.done }
func (s *loopSide) stop()               { _ = s.loop.Close() }

func (s *loopSide) handler(c *loop.Conn) loop.Handler {
	return &loopConn{Conn: c, cb: &s.cb}
}

// A loopConn is a connection and its handler.
type loopConn struct {
	*loop.Conn
	cb   *callbacks
	told func()
}

func (c *loopConn) OnOpen() {
	if c.cb.open != nil {
		c.cb.open(c)
	}
}

func (c *loopConn) OnBytes(p []byte) (int, error) {
	if c.cb.bytes != nil {
		return c.cb.bytes(c, p), nil
	}
	return len(p), nil
}

func (c *loopConn) OnEOF() { c.Close(nil) }

func (c *loopConn) OnDrain() {
	if c.told != nil {
		c.told()
	}
}

func (c *loopConn) OnClose(err error) {
	if c.cb.close != nil {
		c.cb.close(c, err)
	}
}

func (c *loopConn) send(p []byte) error {
	_, err := c.Send(p, nil)
	return err
}

func (c *loopConn) sendPair(pieces [][]byte) error {
	_, err := c.Send(pieces[0], pieces[1])
	return err
}

func (c *loopConn) sendKept(p []byte) { _ = c.send(p) }
func (c *loopConn) sendRead(p []byte) { _ = c.send(p) }

func (c *loopConn) sendTold(p []byte, told func()) {
	c.told = told
	_ = c.send(p)
}

func (c *loopConn) sendSoon(p []byte) {
	for c.Queued() > mostBytes {
		time.Sleep(20 * time.Microsecond)
	}
	_ = c.send(p)
}

func (c *loopConn) queued() int      { return c.Queued() }
func (c *loopConn) hold()            { c.Pause() }
func (c *loopConn) held() int        { return int(c.Loop().Stats().BytesRead) }
func (c *loopConn) remote() net.Addr { return c.RemoteAddr() }
func (c *loopConn) close()           { c.Close(nil) }
func (c *loopConn) do(fn func())     { _ = c.Do(fn) }

func (c *loopConn) takeFile() (*os.File, error) {
	files, err := c.TakeFiles(1)
	if err != nil {
		return nil, err
	}
	return files[0], nil
}

func (c *loopConn) after(d time.Duration, fn func()) error {
	c.After(d, fn)
	return nil
}
