package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// gnetSide is gnet.Run with one event loop.
type gnetSide struct {
	gnet.BuiltinEventEngine
	cb     callbacks
	onBoot func(gnet.Engine)
	engine gnet.Engine
	booted chan struct{}
	done   chan error
}

func newGnet() side {
	return &gnetSide{booted: make(chan struct{}), done: make(chan error, 1)}
}

func (s *gnetSide) run(addr string, options ...gnet.Option) error {
	// gnet's own logger would write to the standard output, which is the parent's.
	options = append([]gnet.Option{gnet.WithNumEventLoop(1), gnet.WithLogger(quiet{})}, options...)
	go func() { s.done <- gnet.Run(s, addr, options...) }()
	select {
	case <-s.booted:
		return nil
	case err := <-s.done:
		s.done <- err
		return err
	}
}

func (s *gnetSide) serve(network, addr string, cb callbacks) error {
	s.cb = cb
	return s.run(network + "://" + addr)
}

func (s *gnetSide) serveLoops(loops int) ([]int, error) {
	if err := s.run("tcp://127.0.0.1:0", gnet.WithNumEventLoop(loops), gnet.WithReusePort(true)); err != nil {
		return nil, err
	}
	time.Sleep(100 * time.Millisecond) // no event says that all loops listen
	return listeningPorts(), nil
}

func (s *gnetSide) early(path string) error {
	var err error
	s.onBoot = func(e gnet.Engine) {
		_, err = e.Register(gnet.NewNetAddrContext(context.Background(), &net.UnixAddr{Net: "unix", Name: path}))
	}
	if err := s.run("unix://" + path + ".own"); err != nil {
		return err
	}
	return err
}

func (s *gnetSide) dialInside(path string, at func(fn func())) error {
	client, err := gnet.NewClient(s, gnet.WithNumEventLoop(1), gnet.WithLogger(quiet{}))
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	c, err := client.Dial("unix", path)
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	err = c.EventLoop().Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
		at(func() {
			_, err := client.Dial("unix", path)
			result <- err
		})
		return nil
	}))
	if err != nil {
		return err
	}
	return <-result
}

func (s *gnetSide) ended() <-chan error { return s.done }
func (s *gnetSide) stop()               { _ = s.engine.Stop(context.Background()) }

func (s *gnetSide) OnBoot(e gnet.Engine) gnet.Action {
	s.engine = e
	if s.onBoot != nil {
		s.onBoot(e)
	}
	close(s.booted)
	return gnet.None
}

func (s *gnetSide) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	w := &gnetConn{Conn: c}
	c.SetContext(w)
	if s.cb.open != nil {
		s.cb.open(w)
	}
	return nil, gnet.None
}

func (s *gnetSide) OnTraffic(c gnet.Conn) gnet.Action {
	w := c.Context().(*gnetConn)
	if w.holds || c.InboundBuffered() == 0 {
		return gnet.None
	}
	p, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	n := len(p)
	if s.cb.bytes != nil {
		n = s.cb.bytes(w, p)
	}
	if n > 0 {
		_, _ = c.Discard(n)
	}
	return gnet.None
}

func (s *gnetSide) OnClose(c gnet.Conn, err error) gnet.Action {
	if w, ok := c.Context().(*gnetConn); ok && s.cb.close != nil {
		s.cb.close(w, err)
	}
	return gnet.None
}

type gnetConn struct {
	gnet.Conn
	holds       bool
	outstanding atomic.Int64 // AsyncWrites that have not run
}

func (c *gnetConn) send(p []byte) error {
	_, err := c.Write(p)
	return err
}

func (c *gnetConn) sendPair(pieces [][]byte) error {
	_, err := c.Writev(pieces)
	return err
}

func (c *gnetConn) sendKept(p []byte) { _ = c.AsyncWrite(p, nil) }

func (c *gnetConn) sendRead(p []byte) {
	_, _ = c.ReadFrom(bytes.NewReader(p))
	_ = c.Flush()
}

func (c *gnetConn) sendTold(p []byte, told func()) {
	_ = c.AsyncWrite(p, func(_ gnet.Conn, err error) error {
		if err == nil {
			told()
		}
		return nil
	})
}

func (c *gnetConn) sendSoon(p []byte) {
	for c.outstanding.Load() > mostFrames {
		time.Sleep(20 * time.Microsecond)
	}
	c.outstanding.Add(1)
	_ = c.AsyncWrite(p, func(gnet.Conn, error) error {
		c.outstanding.Add(-1)
		return nil
	})
}

func (c *gnetConn) queued() int                 { return c.OutboundBuffered() }
func (c *gnetConn) hold()                       { c.holds = true }
func (c *gnetConn) held() int                   { return c.InboundBuffered() }
func (c *gnetConn) takeFile() (*os.File, error) { return nil, errNone }
func (c *gnetConn) remote() net.Addr            { return c.RemoteAddr() }
func (c *gnetConn) close()                      { _ = c.Close() }

func (c *gnetConn) after(d time.Duration, fn func()) error {
	return c.EventLoop().Schedule(context.Background(), runnable(fn), d)
}

func (c *gnetConn) do(fn func()) { _ = c.EventLoop().Execute(context.Background(), runnable(fn)) }

func runnable(fn func()) gnet.Runnable {
	return gnet.RunnableFunc(func(context.Context) error { fn(); return nil })
}

// quiet is a logger of gnet's that says nothing.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// listeningPorts are the TCP ports that this process listens on.
func listeningPorts() []int {
	var ports []int
	seen := make(map[int]bool)
	for fd := range 256 {
		if v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || v == 0 {
			continue
		}
		sa, err := unix.Getsockname(fd)
		if in, ok := sa.(*unix.SockaddrInet4); err == nil && ok && !seen[in.Port] {
			seen[in.Port] = true
			ports = append(ports, in.Port)
		}
	}
	return ports
}
