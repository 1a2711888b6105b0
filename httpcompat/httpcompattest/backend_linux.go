package httpcompattest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// A Backend is what a front on loops asks (httpcompat/front), with a worker's
// handler at the far end of a socket, in the same process.
type Backend struct {
	loops []*loop.Loop // the front's, and last the worker's
	ran   sync.WaitGroup
	muxes []*session.Mux // by loop

	mu      sync.Mutex
	closed  bool
	serving sync.WaitGroup // handlers at work; nobody is added once closed
}

// NewBackend returns a Backend with n loops that asks h as an engine asks a
// Heddle worker. It has to be closed.
func NewBackend(h worker.Handler, n int) (*Backend, error) {
	return NewWorkerBackend(h, n, session.ChannelOptions{Dialect: heddle.V1, Heddle: true})
}

// NewWorkerBackend is NewBackend over channels of these options. Without Heddle it
// asks as a real Cocaine runtime does.
func NewWorkerBackend(h worker.Handler, n int, o session.ChannelOptions) (*Backend, error) {
	b := &Backend{muxes: make([]*session.Mux, n)}
	for range n + 1 {
		l, err := loop.New(loop.Options{})
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.loops = append(b.loops, l)
		b.ran.Go(func() { _ = l.Run() }) // ends with Close
	}
	far := o
	far.Dialed = true
	for i := range n {
		near, away, err := socketPair()
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		made := make(chan struct{})
		err = b.loops[i].Adopt(near, func(c *loop.Conn) loop.Handler {
			defer close(made)
			b.muxes[i] = session.NewMux(c, session.Options{ChannelOptions: o, TraceHeaders: true})
			return b.muxes[i]
		})
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		<-made
		err = b.loops[n].Adopt(away, func(c *loop.Conn) loop.Handler {
			return session.NewMux(c, session.Options{ChannelOptions: far, Accept: func(s *session.Session) error { return b.serve(h, s) }})
		})
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("httpcompattest: %w", os.NewSyscallError("socketpair", err))
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, cerr := net.FileConn(f)
		_ = f.Close()
		conns[i], err = c, errors.Join(err, cerr)
	}
	return conns[0], conns[1], err
}

func (b *Backend) serve(h worker.Handler, s *session.Session) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	b.serving.Go(func() { // ends when the handler returns
		h.ServeInvoke(s.Context(), s)
		_ = s.Close()
		s.Discard()
	})
	return nil
}

// Loops are those that the channels live on.
func (b *Backend) Loops() []*loop.Loop { return b.loops[:len(b.muxes)] }

// OpenOn opens a session at once.
func (b *Backend) OpenOn(i int, o session.OpenOptions, _ func(*session.Session, error)) (*session.Session, func() bool, error) {
	s, err := b.muxes[i].Open(o)
	return s, nil, err
}

// Open opens a session, for a Proxy.
func (b *Backend) Open(_ context.Context, o session.OpenOptions) (*session.Session, error) {
	return b.muxes[0].Open(o)
}

// Mux is the asking end of the channel on loop i.
func (b *Backend) Mux(i int) *session.Mux { return b.muxes[i] }

// Close ends the loops, and returns when every handler has. Requests that are
// being answered break.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	var err error
	for _, l := range b.loops {
		err = errors.Join(err, l.Close())
	}
	b.ran.Wait()
	b.serving.Wait()
	return err
}
