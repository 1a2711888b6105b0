package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// DialOptions configure a Client; the zero value works.
type DialOptions struct {
	Loop *loop.Loop // does the I/O; nil: one of the client's own, until Close

	// Hub has the server as one of its peers; nil: one of the client's own,
	// without handlers. It is the caller's to close.
	Hub *Hub

	Kind string // what asks, for the server's log: "cli"
	Name string // and who

	// Framing has the client speak the JSON of an older system in place of frames: the
	// server is a peer with JSON bodies and messages alone, and there is no Request.
	Framing  jsonwire.Framing
	MaxFrame int // bytes of one frame of it, either way; default 1 MiB

	TCP     bool          // the path is a TCP address
	Timeout time.Duration // from connect to welcome; default 5 s
	Logger  *slog.Logger  // nil: discards
}

// closeWait is how long Close waits for the connection to end in order.
const closeWait = time.Second

var (
	errTimeout = fmt.Errorf("no welcome in time: %w", os.ErrDeadlineExceeded)
	errStopped = errors.New("ipc: the asker stopped reading")
)

// A Client asks the server behind one connection. Its methods may be called
// from any goroutine but the loop's.
type Client struct {
	// Immutable after Dial.
	own  *loop.Loop   // to be closed with the client; nil if it was given
	mux  *session.Mux // nil of one that speaks a framing
	link session.Link

	kind, name string
	hub        *Hub

	peer   *Peer         // the server, as the hub knows it; written before ready is closed
	passes bool          // the server takes descriptors; written before ready is closed
	ready  chan struct{} // closed by the welcome
	done   chan struct{} // closed when the connection has ended

	err error // why it ended; written before done is closed

	closing sync.Once
}

// Dial connects to the server on the unix socket path and greets it. Its error
// wraps ErrUnreachable when nobody answers there.
func Dial(ctx context.Context, path string, o DialOptions) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Framing != 0 && !o.Framing.Known() {
		return nil, fmt.Errorf("ipc: dial: %v: %w", o.Framing, os.ErrInvalid)
	}
	c := newClient(o)
	l := o.Loop
	if l == nil {
		var err error
		if l, err = loop.New(loop.Options{Logger: o.Logger}); err != nil {
			return nil, fmt.Errorf("ipc: dial: %w", err)
		}
		c.own = l
		go l.Run() // ends when Close closes the loop
	}
	conn, err := l.Dial(o.network(), path, func(lc *loop.Conn) loop.Handler { return c.handler(lc, &o) }, loop.DialOptions{Timeout: o.Timeout})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrUnreachable, path, err), c.closeLoop())
	}
	err = c.await(ctx, o.Timeout)
	if err == nil {
		return c, nil
	}
	conn.Abort(err)
	if ctx.Err() == nil {
		err = fmt.Errorf("%w: %s: %w", ErrUnreachable, path, err)
	} else {
		err = fmt.Errorf("ipc: dial %s: %w", path, err)
	}
	return nil, errors.Join(err, c.closeLoop())
}

func (o *DialOptions) network() string {
	if o.TCP {
		return "tcp"
	}
	return "unix"
}

func newClient(o DialOptions) *Client {
	hub := o.Hub
	if hub == nil {
		hub = NewHub(HubOptions{Logger: o.Logger})
	}
	return &Client{kind: o.Kind, name: o.Name, hub: hub, ready: make(chan struct{}), done: make(chan struct{})}
}

func (c *Client) handler(link session.Link, o *DialOptions) loop.Handler {
	if o.Framing == 0 {
		return c.attach(link, o.Logger)
	}
	c.link = link
	return &framedClient{Client: c, link: link, o: o}
}

// attach makes the client's handler for link.
func (c *Client) attach(link session.Link, log *slog.Logger) loop.Handler {
	c.link = link
	c.mux = session.NewMux(link, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Dialed: true, Limits: limits()},
		Accept:         c.accept,
		Control:        clientControl{c},
		MaxSessions:    maxSessions,
		Logger:         log,
	})
	return c.mux
}

// Peer is the server, for messages and requests of its hub.
func (c *Client) Peer() *Peer { return c.peer }

// accept serves a session that the server opens. Loop only.
func (c *Client) accept(s *session.Session) error {
	if c.peer == nil || !Ours(s.Event()) {
		return refusal(heddle.CodeNoHandler, "no topic %.64q here", s.Event())
	}
	return c.peer.Accept(s)
}

// await waits for the welcome.
func (c *Client) await(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.ready:
		return nil
	case <-c.done:
		if c.err == nil {
			return io.EOF
		}
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return errTimeout
	}
}

// Request asks topic and returns the one reply, nil if there was none. What
// the server refuses or fails with is an *session.Error; an error that wraps
// session.ErrLost says that the connection ended first. When ctx ends, the
// server is told and the context's cause returned.
func (c *Client) Request(ctx context.Context, topic string, payload []byte) ([]byte, error) {
	var reply []byte
	n := 0
	for p, err := range c.Stream(ctx, topic, payload) {
		if err != nil {
			return nil, err
		}
		if n++; n > 1 {
			return nil, fmt.Errorf("ipc: request %q: %w", topic, ErrReplies)
		}
		reply = p
	}
	return reply, nil
}

// Stream asks topic and yields each reply, owned by whoever ranges over it. A
// non-nil error is the last thing yielded; its kinds are those of Request.
// Leaving the range early tells the server that nobody listens any more.
func (c *Client) Stream(ctx context.Context, topic string, payload []byte) iter.Seq2[[]byte, error] {
	return c.StreamFiles(ctx, topic, payload, nil)
}

// StreamFiles is Stream with at most MaxFiles descriptors that travel with the
// payload. They are duplicated before the first reply is yielded: the caller
// keeps its files. Both processes then share each file description, which the
// server makes non-blocking. A file that was closed, or too many of them, is an
// error that wraps os.ErrClosed or os.ErrInvalid; session.ErrUnsupported says
// that the server takes none.
func (c *Client) StreamFiles(ctx context.Context, topic string, payload []byte, files []*os.File) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		fail := func(err error) { yield(nil, fmt.Errorf("ipc: request %q: %w", topic, err)) }
		switch {
		case c.mux == nil:
			fail(ErrNoAcks)
			return
		case len(payload) > MaxMessage:
			fail(ErrTooLarge)
			return
		}
		if payload == nil {
			payload = []byte{} // so that there is a first chunk
		}
		if err := ctx.Err(); err != nil {
			fail(context.Cause(ctx))
			return
		}
		o := session.OpenOptions{Event: topic, First: payload, Last: true}
		if len(files) > 0 {
			if err := c.passable(files); err != nil {
				fail(err)
				return
			}
			o = session.OpenOptions{Event: topic} // the payload comes behind them
		}
		s, err := c.mux.Open(o)
		if err != nil {
			fail(err)
			return
		}
		defer s.Discard()
		defer context.AfterFunc(ctx, func() { s.Cancel(context.Cause(ctx)) })()
		var unsent error
		if len(files) > 0 {
			if unsent = s.SendFiles(files); unsent == nil {
				unsent = s.Finish(payload)
			}
			if unsent != nil {
				s.Cancel(unsent) // does nothing if the server has ended the request, and its word counts
			}
		}
		for {
			p, err := receive(s)
			switch {
			case err == io.EOF:
				return
			case errors.Is(err, session.ErrCanceled) && ctx.Err() != nil:
				fail(context.Cause(ctx))
				return
			case errors.Is(err, session.ErrCanceled) && unsent != nil:
				fail(unsent)
				return
			case err != nil:
				fail(err)
				return
			case !yield(p, nil):
				s.Cancel(errStopped)
				return
			}
		}
	}
}

// passable says why files cannot be sent, or nil.
func (c *Client) passable(files []*os.File) error {
	if !c.passes {
		return session.ErrUnsupported
	}
	if len(files) > MaxFiles {
		return fmt.Errorf("%d descriptors, of which %d may go with a request: %w", len(files), MaxFiles, os.ErrInvalid)
	}
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", i, err)
		}
		if raw.Control(func(uintptr) {}) != nil { // fails of closed files alone
			return fmt.Errorf("descriptor %d, %s: %w", i, f.Name(), os.ErrClosed)
		}
	}
	return nil
}

// Done is closed when the connection has ended, whoever ended it.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection once the messages that were sent have left, which it
// waits for one second; requests that wait fail. Not on the loop.
func (c *Client) Close() error {
	var err error
	c.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		if c.peer != nil {
			_ = c.peer.Flush(ctx) // the bound has passed, or nothing waits
		}
		cancel()
		c.link.Close(nil)
		t := time.NewTimer(closeWait)
		defer t.Stop()
		select {
		case <-c.done:
		case <-t.C:
			c.link.Abort(ErrClosed)
		}
		err = c.closeLoop()
	})
	return err
}

func (c *Client) closeLoop() error {
	if c.own == nil {
		return nil
	}
	return c.own.Close()
}

// clientControl is a Client as its Mux's Control. All methods run on the loop.
type clientControl struct{ *Client }

func (c clientControl) OnConnect(m *session.Mux) {
	_ = m.Send(appendOffer(nil, c.kind, c.name, os.Getpid())) // a closed channel is told by OnClose
}

func (c clientControl) OnControl(m *session.Mux, id uint64, args []byte) error {
	if id != heddle.CtlWelcome || m.Heddle() {
		return errControl
	}
	var w heddle.Welcome
	if _, err := w.UnmarshalMsg(args); err != nil {
		return fmt.Errorf("%w: arguments of welcome: %w", session.ErrProtocol, err)
	}
	if !enough(w.Welcome.Features) {
		return errNoOffer
	}
	m.Agree(int(min(w.Welcome.Window, window)), int(min(w.Welcome.Sessions, maxSessions)))
	c.passes = has(w.Welcome.Features, featureFiles)
	pid := 0
	if l, ok := m.Link().(interface {
		PeerCred() (pid, uid, gid int, err error)
	}); ok {
		pid, _, _, _ = l.PeerCred() // fails of TCP, where nobody knows
	}
	p, err := c.hub.NewPeer(PeerInfo{Kind: "server", PID: pid, Files: c.passes})
	if err != nil {
		return err
	}
	c.peer = p
	if err := p.Attach(m); err != nil {
		return err
	}
	close(c.ready)
	return nil
}

func (c clientControl) OnHandshake(*session.Mux, []byte, *heddle.Offer) error { return errControl }
func (c clientControl) OnHeartbeat(*session.Mux)                              {}
func (c clientControl) OnTerminate(m *session.Mux, _ int64, _ []byte)         { m.Abort(errControl) }
func (c clientControl) OnEOF(m *session.Mux)                                  { m.Close(io.EOF) }

func (c clientControl) OnClose(_ *session.Mux, err error) {
	if c.peer != nil {
		c.peer.End(parting(err))
	}
	c.err = err
	close(c.done)
}
