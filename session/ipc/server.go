package ipc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// Options configure a Server; the zero value works.
type Options struct {
	MaxConns    int // connections open at once; one more ends the oldest that asks nothing; default 256
	MaxHandlers int // handlers running at once, over all connections; default 256
	MaxLines    int // of these, how many may be of Lines, so that others keep the rest; default half, all with Framing

	HandshakeTimeout time.Duration // from connect to handshake; default 5 s
	PayloadTimeout   time.Duration // from a request's begin to its payload; default 10 s
	ReplyTimeout     time.Duration // how long one reply waits for a client that does not read; default 10 s

	// Hub has the clients as its peers, for messages and requests of its
	// namespaces; nil: there are none. It is the caller's to close, first.
	Hub *Hub

	// Framing has every client speak the JSON of an older system in place of frames:
	// they are peers of Hub, which is needed then, in its default namespace, with JSON
	// bodies and messages alone. A client more than MaxConns waits. With Lines, requests
	// are answered, too: by Lines below, or by the hub's handlers if that is nil.
	Framing jsonwire.Framing

	// Lines answers clients whose first byte is '{', as those of Nodesockd; all others
	// speak frames as ever. A client may stay silent without a greeting then, until there
	// are too many. nil: such clients are refused.
	Lines LineHandler

	MaxFrame int // bytes of one frame of Framing, either way, and of one line that comes; default 1 MiB

	Logger *slog.Logger // nil: discards
}

func (o Options) withDefaults() Options {
	if o.MaxConns <= 0 {
		o.MaxConns = 256
	}
	if o.MaxHandlers <= 0 {
		o.MaxHandlers = 256
	}
	switch {
	case o.Framing != 0:
		o.MaxLines = o.MaxHandlers
	case o.MaxLines <= 0:
		o.MaxLines = max(o.MaxHandlers/2, 1)
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 5 * time.Second
	}
	if o.PayloadTimeout <= 0 {
		o.PayloadTimeout = 10 * time.Second
	}
	if o.ReplyTimeout <= 0 {
		o.ReplyTimeout = 10 * time.Second
	}
	if o.MaxFrame <= 0 {
		o.MaxFrame = jsonwire.DefaultLimit
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// closeGrace is how long Close waits, once its context has ended, for handlers
// whose contexts it has then cancelled.
const closeGrace = time.Second

// A Handler answers one request. When it returns, the request has ended: in
// order for nil, else with an error message (an *session.Error keeps its
// category and code). ctx ends when the client gives up or is gone, and when
// the server is closed.
type Handler func(ctx context.Context, r *Request) error

// A Server answers the requests that arrive on a unix socket, and is the door of
// a Hub.
type Server struct {
	// Immutable after NewServer.
	o    Options
	uid  int // of whom we accept connections
	log  *slog.Logger
	base context.Context // ends when Close gives up waiting
	end  context.CancelCauseFunc

	mu        sync.Mutex
	topics    map[string]Handler
	ln        *loop.Listener
	peers     map[*peer]struct{}
	seen      uint64 // peers so far
	running   int    // handlers
	lines     int    // of these, those of lines
	listening bool
	closing   bool          // no connection and no request is accepted any more
	changed   chan struct{} // closed and renewed when peers or running shrink
}

// NewServer returns a server without topics that does not listen yet.
func NewServer(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		o:       o,
		uid:     os.Getuid(),
		log:     o.Logger,
		topics:  make(map[string]Handler),
		peers:   make(map[*peer]struct{}),
		changed: make(chan struct{}),
	}
	s.base, s.end = context.WithCancelCause(context.Background())
	return s
}

// Handle makes h answer topic, in place of who did before. Any goroutine; a
// request for a topic that nobody handles is refused with error (42,200).
func (s *Server) Handle(topic string, h Handler) {
	s.mu.Lock()
	s.topics[topic] = h
	s.mu.Unlock()
}

// Listen begins to answer on the unix socket path (mode 0600), with l doing
// the I/O. A socket on which nobody answers any more is replaced; one that is
// served makes an error that satisfies errors.Is(err, syscall.EADDRINUSE), and so
// does any other file. ErrListening refuses a second Listen, ErrClosed one after
// Close, os.ErrInvalid an empty path or one of digits only (a port by mistake).
func (s *Server) Listen(l *loop.Loop, path string) error {
	if strings.Trim(path, "0123456789") == "" {
		return fmt.Errorf("ipc: listen: path %q: %w", path, os.ErrInvalid)
	}
	return s.listen(l, "unix", path, func(c *loop.Conn) loop.Handler { return s.newPeer(c, c.PeerCred) })
}

// ListenTCP is Listen on a TCP address. Nobody says who connects there, and
// whatever this server does, anybody who reaches the address may ask for: it is
// refused (os.ErrPermission) unless the address is a loopback one, written as a
// number or "localhost", or anywhere is true. No descriptor can be passed.
func (s *Server) ListenTCP(l *loop.Loop, addr string, anywhere bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("ipc: listen: %w", err)
	}
	if ip := net.ParseIP(host); !anywhere && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("ipc: listen: %s is no loopback address, and nobody would be asked who he is: %w", addr, os.ErrPermission)
	}
	return s.listen(l, "tcp", addr, func(c *loop.Conn) loop.Handler { return s.newPeer(c, nil) })
}

func (s *Server) listen(l *loop.Loop, network, addr string, accept func(*loop.Conn) loop.Handler) error {
	s.mu.Lock()
	closing, again := s.closing, s.listening
	s.listening = true
	s.mu.Unlock()
	switch f := s.o.Framing; {
	case f != 0 && (!f.Known() || s.o.Hub == nil):
		return fmt.Errorf("ipc: listen: %v without a hub: %w", f, os.ErrInvalid)
	case closing:
		return fmt.Errorf("ipc: listen: %w", ErrClosed)
	case again:
		return ErrListening
	}
	ln, err := l.Listen(network, addr, accept, loop.ListenOptions{Mode: 0o600, MaxConns: s.o.MaxConns + spareConns})
	s.mu.Lock()
	if err != nil {
		s.listening = false
		s.mu.Unlock()
		return fmt.Errorf("ipc: listen: %w", err)
	}
	if s.closing {
		s.mu.Unlock()
		return errors.Join(ErrClosed, ln.Close())
	}
	s.ln = ln
	s.mu.Unlock()
	return nil
}

// Addr is where the server listens; nil before.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln == nil {
		return nil
	}
	return s.ln.Addr()
}

// admit books a handler for p's request of topic, or says why not.
func (s *Server) admit(p *peer, topic string) (Handler, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.topics[topic]
	if h == nil && !s.closing {
		return nil, &session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: fmt.Sprintf("no topic %.64q here", topic)}
	}
	return h, s.bookLocked(p)
}

// bookLine counts a handler of a line of p in, or says why not.
func (s *Server) bookLine(p *peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing && s.lines >= s.o.MaxLines {
		return errFull(s.lines)
	}
	err := s.bookLocked(p)
	if err == nil {
		s.lines++
	}
	return err
}

func (s *Server) bookLocked(p *peer) error {
	switch {
	case s.closing:
		return &session.Error{Category: heddle.CategoryOverseer, Code: heddle.CodeQueueFull, Msg: "the server is closing"}
	case s.running >= s.o.MaxHandlers:
		return errFull(s.running)
	}
	s.running++
	p.running++
	return nil
}

func errFull(n int) error {
	return &session.Error{Category: heddle.CategoryOverseer, Code: heddle.CodePoolFull, Msg: fmt.Sprintf("%d requests are being answered, which is the limit; try again", n)}
}

// left counts a handler of p out.
func (s *Server) left(p *peer) {
	s.mu.Lock()
	s.running--
	p.running--
	s.changedLocked()
	s.mu.Unlock()
}

// leftLine counts a handler of a line of p out.
func (s *Server) leftLine(p *peer) {
	s.mu.Lock()
	s.lines--
	s.mu.Unlock()
	s.left(p)
}

func (s *Server) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Close stops accepting connections and requests, waits for the handlers that
// run until ctx ends, then cancels their contexts and waits one second more.
// It returns an error if some are running even then. Not on the loop.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	ln := s.ln
	s.mu.Unlock()
	var err error
	if ln != nil {
		err = ln.Close()
	}
	idle := func() bool { return s.running == 0 }
	if !s.await(ctx, idle) {
		s.end(ErrClosed)
	}
	grace, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if !s.await(grace, idle) {
		s.mu.Lock()
		err = errors.Join(err, fmt.Errorf("ipc: close: %d handlers still run", s.running))
		s.mu.Unlock()
	}
	s.end(ErrClosed)

	// What the handlers wrote is delivered to clients that take it in time.
	s.eachPeer(func(p *peer) { p.link.Close(nil) })
	gone := func() bool { return len(s.peers) == 0 }
	if !s.await(grace, gone) {
		s.eachPeer(func(p *peer) { p.link.Abort(ErrClosed) })
		last, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		s.await(last, gone)
	}
	return err
}

// await waits until cond, which is asked under mu, holds.
func (s *Server) await(ctx context.Context, cond func() bool) bool {
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *Server) eachPeer(f func(*peer)) {
	s.mu.Lock()
	peers := make([]*peer, 0, len(s.peers))
	for p := range s.peers {
		peers = append(peers, p)
	}
	s.mu.Unlock()
	for _, p := range peers {
		f(p)
	}
}

// spareConns are connections beyond MaxConns that may be on their way out.
const spareConns = 64

// crowdedLocked returns the oldest peer that asks nothing if there are too many
// of them: clients that only stay must not keep others from asking, and neither
// must those that were answered and leave their requests open. It may be
// nil, when all are busy; then accepting rests.
func (s *Server) crowdedLocked() (oldest *peer) {
	if len(s.peers) <= s.o.MaxConns {
		return nil
	}
	for p := range s.peers {
		if p.seq != s.seen && !p.crowded && p.running == 0 && !p.messaging() && (oldest == nil || p.seq < oldest.seq) {
			oldest = p
		}
	}
	if oldest != nil {
		oldest.crowded = true
	}
	return oldest
}
