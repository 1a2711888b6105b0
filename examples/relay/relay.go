package main

import (
	"errors"
	"log/slog"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

const (
	maxClients = 4096

	// What may wait in one outbox, in bytes: from session.HighWater on, nothing more is
	// read of whoever fills it. What had been read by then may follow, and a frame.
	outLimit = session.HighWater + codec.DefaultFrame + 1<<20

	maxScratch = 64 << 10 // bytes of the relay's buffer that are kept
)

// A relay joins each client's channel to one of its own to the service. The numbers of
// sessions stay what they are, so it keeps none of them: a session is refused, ended
// or lost by whoever would do so without it.
type relay struct {
	network, to string
	log         *slog.Logger

	frame []byte // of the message that is passed on; loop only
}

func newRelay(to string, log *slog.Logger) *relay {
	r := &relay{log: log}
	r.network, r.to = split(to)
	return r
}

// listen takes clients at an address.
func (r *relay) listen(l *loop.Loop, at string) (*loop.Listener, error) {
	network, addr := split(at)
	return l.Listen(network, addr, r.accept, loop.ListenOptions{MaxConns: maxClients})
}

// accept makes the handler of a client's connection, on the loop.
func (r *relay) accept(c *loop.Conn) loop.Handler {
	s := &side{r: r, conn: c}
	return s.open(session.ChannelOptions{Service: true, Detect: true})
}

// A side is one of the two channels that are joined. It is the Receiver of what comes
// there. Loop only.
type side struct {
	r      *relay
	conn   *loop.Conn
	ch     *session.Channel
	other  *side // nil: a client that has said nothing yet
	paused bool  // nothing is read here, until the other has room
}

func (s *side) open(o session.ChannelOptions) *session.Channel {
	s.conn.SetLimit(outLimit)
	s.conn.SetLowWater(session.HighWater / 2)
	s.ch = session.NewChannel(s.conn, s, o)
	return s.ch
}

// dial begins to connect to the service, in the dialect of a client's first frame.
// What is sent meanwhile waits.
func (s *side) dial() error {
	up := &side{r: s.r, other: s}
	o := session.ChannelOptions{Service: true, Dialed: true, Dialect: s.ch.Dialect()}
	c, err := s.conn.Loop().Dial(s.r.network, s.r.to, func(c *loop.Conn) loop.Handler {
		up.conn = c
		return up.open(o)
	}, loop.DialOptions{})
	if err != nil {
		return err
	}
	up.conn, s.other = c, up
	return nil
}

// OnCall passes a message on. Its arguments are one slice, its headers a few, whose
// table is the connection's; so they are written anew.
func (s *side) OnCall(sid, id uint64, args []byte, hs []codec.Header) error {
	if s.other == nil {
		if err := s.dial(); err != nil {
			return err
		}
	}
	d := s.ch.Dialect()
	var body []byte
	if len(hs) == 0 || d == heddle.V0 {
		s.r.frame = codec.AppendMethod(s.r.frame[:0], d, sid, id, nil)
		body = args // copied once, into the outbox
	} else {
		s.r.frame = codec.AppendHeaders(codec.AppendMethod(s.r.frame[:0], d, sid, id, args), 0, hs)
	}
	_, err := s.other.conn.Send(s.r.frame, body)
	if cap(s.r.frame) > maxScratch {
		s.r.frame = nil
	}
	if err == nil && !s.paused && s.other.conn.Queued() >= session.HighWater {
		s.paused = true
		s.conn.Pause()
	}
	return err
}

// OnRoom: what waited here has gone, so the other may be read again.
func (s *side) OnRoom() {
	if o := s.other; o != nil && o.paused {
		o.paused = false
		o.conn.Resume()
	}
}

// OnEOF tells the other that nothing more will come. It may still answer.
func (s *side) OnEOF() {
	if s.other == nil {
		s.conn.Close(nil)
		return
	}
	s.other.conn.CloseWrite()
}

// OnSocketError ends the other, too, once it has taken what was sent before.
func (s *side) OnSocketError(err error) {
	if err != nil && !errors.Is(err, loop.ErrClosed) {
		s.r.log.Warn("relay: a connection ended", "peer", s.conn.RemoteAddr(), "err", err)
	}
	if s.other != nil {
		s.other.conn.Close(nil)
	}
}

// OnConnect and what follows are not of channels of services, or nothing to us.
func (s *side) OnConnect()                                               {}
func (s *side) OnHandshake([]byte, *heddle.Offer) error                  { return nil }
func (s *side) OnHeartbeat() error                                       { return nil }
func (s *side) OnTerminate(int64, []byte) error                          { return nil }
func (s *side) OnControl(uint64, []byte) error                           { return nil }
func (s *side) OnInvoke(uint64, []byte, int64, []codec.Header) error     { return nil }
func (s *side) OnChunk(uint64, []byte) error                             { return nil }
func (s *side) OnChoke(uint64) error                                     { return nil }
func (s *side) OnError(sid uint64, category, code int64, _ []byte) error { return nil }
func (s *side) OnExtension(sid, id uint64, args []byte) error            { return nil }

var _ session.Receiver = (*side)(nil)
