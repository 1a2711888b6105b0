package ipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// A peer is the server's side of one connection. It stands before the Mux to
// look at the first byte. All methods run on the loop.
type peer struct {
	// Immutable after newPeer.
	srv  *Server
	link session.Link
	mux  *session.Mux
	cred func() (pid, uid, gid int, err error) // the kernel's word about the other end; nil: nobody knows
	seq  uint64                                // of the server's peers

	crowded bool // told to go; guarded by srv.mu
	running int  // handlers of its requests; guarded by srv.mu

	// Loop goroutine only.
	hubbed  atomic.Pointer[Peer] // as the hub knows it, from the handshake on; read by any goroutine
	json    *jsonLink            // in place of mux, of a client that speaks JSON
	pid     int
	began   bool   // the first byte was seen
	refused bool   // nothing more is read
	greeted bool   // the handshake has come
	kind    string // as the client calls itself
	name    string
	stop    func() // the handshake's timer
}

// newPeer makes the handler of a connection; cred may be asked from OnOpen on.
func (s *Server) newPeer(link session.Link, cred func() (pid, uid, gid int, err error)) *peer {
	p := &peer{srv: s, link: link, cred: cred}
	p.mux = session.NewMux(link, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Limits: limits()},
		Accept:         p.accept,
		Control:        peerControl{p},
		MaxSessions:    maxSessions,
		Logger:         s.log,
	})
	s.mu.Lock()
	s.seen++
	p.seq = s.seen
	s.peers[p] = struct{}{}
	out := s.crowdedLocked()
	s.mu.Unlock()
	if out != nil {
		out.link.Abort(errCrowded)
	}
	return p
}

// OnOpen: see loop.Handler. Of who is not of our user nothing is read.
func (p *peer) OnOpen() {
	uid, err := p.srv.uid, error(nil)
	if p.cred != nil {
		p.pid, uid, _, err = p.cred()
	}
	p.srv.mu.Lock()
	closing := p.srv.closing
	p.srv.mu.Unlock()
	switch {
	case err != nil:
		p.refuse(fmt.Errorf("%w: %w", errStranger, err))
	case uid != p.srv.uid:
		p.refuse(fmt.Errorf("%w: its user id is %d", errStranger, uid))
	case closing:
		p.refuse(nil)
	case p.srv.o.Framing != 0:
		p.speakFraming()
	default:
		if p.srv.o.Lines == nil {
			p.awaitGreeting()
		}
		p.mux.OnOpen()
	}
}

func (p *peer) awaitGreeting() {
	p.stop = p.link.After(p.srv.o.HandshakeTimeout, func() { p.link.Abort(errHandshake) })
}

// speakFraming makes a peer of the hub of a client that speaks Options.Framing.
func (p *peer) speakFraming() {
	o := &p.srv.o
	p.kind = o.Framing.String()
	w, err := o.Hub.attachFramed(p.srv.base, p.link, o.Framing, o.MaxFrame, PeerInfo{Kind: p.kind, PID: p.pid})
	if err != nil {
		p.refuse(err)
		return
	}
	p.json = w.jsonLink
	p.hubbed.Store(w.peer)
	if o.Framing == jsonwire.Lines {
		handle := o.Lines
		if handle == nil {
			handle = hubLines(w)
		}
		p.speakLines(w.jsonLink, handle)
	}
	w.serve()
}

// refuse closes the connection at once; nothing more is read.
func (p *peer) refuse(err error) {
	p.refused = true
	p.link.Abort(err)
}

// OnBytes gives frames to the Mux. JSON lines are another matter, and refused
// where nobody answers them.
func (p *peer) OnBytes(b []byte) (int, error) {
	switch {
	case p.refused:
		return len(b), nil
	case p.json != nil:
		return p.json.OnBytes(b)
	}
	if !p.began && len(b) > 0 {
		p.began = true
		switch lines := p.srv.o.Lines; {
		case b[0] == '{' && lines != nil:
			p.kind = jsonwire.Lines.String()
			p.json = newJSONLink(p.srv.base, p.link, jsonwire.Lines, p.srv.o.MaxFrame, lineQueue)
			p.speakLines(p.json, lines)
			go p.json.run() // ends with the connection
			return p.json.OnBytes(b)
		case lines != nil:
			p.awaitGreeting()
		case b[0] == '{':
			p.refused = true
			if _, err := p.link.Send(jsonRefusal(), nil); err != nil {
				return 0, err
			}
			p.link.Close(errJSON)
			return len(b), nil
		}
	}
	return p.mux.OnBytes(b)
}

// jsonRefusal is the one line that who speaks JSON gets.
//
// {"error":"…"} newline
func jsonRefusal() []byte {
	line, err := json.Marshal(map[string]string{"error": errJSON.Error() + "; use the heddle command"})
	if err != nil {
		panic(err) // a map of strings has a JSON form
	}
	return append(line, '\n')
}

// OnEOF: see loop.Handler.
func (p *peer) OnEOF() {
	if p.json != nil {
		p.json.OnEOF()
		return
	}
	p.mux.OnEOF()
}

// OnLeave: see loop.LeaveHandler.
func (p *peer) OnLeave(gone bool) {
	switch {
	case p.json != nil:
		p.json.OnLeave(gone)
	case gone:
		p.link.Abort(syscall.ECONNRESET)
	}
}

// OnDrain: see loop.Handler.
func (p *peer) OnDrain() {
	if p.json != nil {
		p.json.OnDrain()
		return
	}
	p.mux.OnDrain()
}

// OnClose: see loop.Handler.
func (p *peer) OnClose(err error) {
	if p.stop != nil {
		p.stop()
	}
	p.mux.OnClose(err)
	if p.json != nil {
		err = p.json.parting(err)
		p.json.OnClose(err)
	}
	if hp := p.hubbed.Load(); hp != nil {
		hp.End(parting(err))
	}
	if !ordinary(err) {
		p.srv.log.Warn("connection closed", "err", err, "pid", p.pid, "kind", p.kind, "name", p.name)
	}
	p.srv.mu.Lock()
	delete(p.srv.peers, p)
	p.srv.changedLocked()
	p.srv.mu.Unlock()
}

// parting is err, or nil if it only says that the peer has gone.
func parting(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// messaging says whether messages go either way. Any goroutine.
func (p *peer) messaging() bool {
	hp := p.hubbed.Load()
	return hp != nil && hp.Busy()
}

// ordinary says whether err is how connections end when nothing is wrong.
func ordinary(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, loop.ErrClosed) || errors.Is(err, ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// accept gives a request to a goroutine. Loop only.
func (p *peer) accept(s *session.Session) error {
	if hp := p.hubbed.Load(); hp != nil && Ours(s.Event()) {
		return hp.Accept(s)
	}
	h, err := p.srv.admit(p, s.Event())
	if err != nil {
		return err
	}
	go p.srv.serve(h, p, s) // ends when the handler returns, whose context ends with the session or the server
	return nil
}

// peerControl is a peer as its Mux's Control.
type peerControl struct{ *peer }

func (c peerControl) OnConnect(*session.Mux) {}

func (c peerControl) OnHandshake(m *session.Mux, _ []byte, offer *heddle.Offer) error {
	switch {
	case c.greeted:
		return errAgain
	case !enough(offer.Features):
		return errNoOffer
	}
	c.greeted = true
	c.kind, c.name = short(offer.Kind), short(offer.Name)
	c.stop()
	m.Agree(window, maxSessions)
	features := common(offer.Features)
	if c.cred == nil { // no unix socket
		features = slices.DeleteFunc(features, func(f heddle.Raw) bool { return string(f) == featureFiles })
	}
	if err := m.Send(appendWelcome(nil, features)); err != nil || c.srv.o.Hub == nil {
		return err
	}
	hp, err := c.srv.o.Hub.NewPeer(PeerInfo{Kind: c.kind, Name: c.name, PID: c.pid, Files: has(features, featureFiles)})
	if err != nil {
		return err
	}
	c.hubbed.Store(hp)
	return hp.Attach(m)
}

// OnHeartbeat answers at once, so that a client may find out whether the
// server lives; nothing but the outbox bounds the answers that nobody reads.
func (c peerControl) OnHeartbeat(m *session.Mux) {
	switch {
	case !c.greeted:
		m.Abort(errControl)
		return
	case c.link.Queued() >= session.HighWater:
		m.Abort(errDeaf)
		return
	}
	_ = m.SendControl(codec.AppendHeartbeat(nil, heddle.V1)) // a closed channel is told by OnClose
}

func (c peerControl) OnTerminate(m *session.Mux, _ int64, _ []byte)      { m.Abort(errControl) }
func (c peerControl) OnControl(_ *session.Mux, _ uint64, _ []byte) error { return errControl }
func (c peerControl) OnEOF(m *session.Mux)                               { m.Close(nil) }
func (c peerControl) OnClose(*session.Mux, error)                        {}

// short is a client's word as it goes into the log.
func short(r heddle.Raw) string { return string(r[:min(len(r), 64)]) }
