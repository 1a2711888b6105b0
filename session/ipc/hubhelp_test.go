package ipc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A side is one end of a pipe as the owner of a Mux: it gives the hub its
// sessions, and tells the end of the channel.
type side struct {
	session.Control
	end  *sessiontest.End
	mux  *session.Mux
	peer *Peer // the other end, as this side's hub knows it
}

type quiet struct{}

func (quiet) OnConnect(*session.Mux)                                {}
func (quiet) OnHandshake(*session.Mux, []byte, *heddle.Offer) error { return nil }
func (quiet) OnHeartbeat(*session.Mux)                              {}
func (quiet) OnTerminate(*session.Mux, int64, []byte)               {}
func (quiet) OnControl(*session.Mux, uint64, []byte) error          { return nil }
func (quiet) OnEOF(m *session.Mux)                                  { m.Close(nil) }
func (quiet) OnClose(*session.Mux, error)                           {}

func (s *side) OnClose(_ *session.Mux, err error) { s.peer.End(err) }

func newSide(end *sessiontest.End, dialed bool, p *Peer) *side {
	s := &side{Control: quiet{}, end: end, peer: p}
	s.mux = session.NewMux(end, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true, Dialed: dialed},
		Accept:         func(ss *session.Session) error { return s.peer.Accept(ss) },
		Control:        s,
	})
	return s
}

// newPeer makes a peer without a channel.
func newPeer(t testing.TB, h *Hub, info PeerInfo) *Peer {
	t.Helper()
	p, err := h.NewPeer(info)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// plug connects two peers: a is what one hub knows of the other end, b the reverse.
func plug(t testing.TB, a, b *Peer) (sa, sb *side) {
	t.Helper()
	ea, eb := sessiontest.Pipe(t)
	sa, sb = newSide(ea, false, a), newSide(eb, true, b)
	if err := errors.Join(a.Attach(sa.mux), b.Attach(sb.mux)); err != nil {
		t.Fatal(err)
	}
	ea.Start(sa.mux)
	eb.Start(sb.mux)
	return sa, sb
}

// join connects two hubs.
func join(t testing.TB, here, there *Hub) (sa, sb *side) {
	t.Helper()
	return plug(t, newPeer(t, here, PeerInfo{Kind: "there", Files: true}), newPeer(t, there, PeerInfo{Kind: "here", Files: true}))
}

// A chronicle keeps a hub's events.
type chronicle struct {
	mu     sync.Mutex
	events []Event
}

func (c *chronicle) on(e Event) {
	c.mu.Lock()
	c.events = append(c.events, e)
	c.mu.Unlock()
}

// troubles are the errors of that kind.
func (c *chronicle) troubles() (errs []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Kind == Trouble {
			errs = append(errs, e.Err)
		}
	}
	return errs
}

// A notebook notes what handlers got.
type notebook struct {
	mu    sync.Mutex
	lines []string
}

func (n *notebook) note(format string, args ...any) {
	n.mu.Lock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
	n.mu.Unlock()
}

func (n *notebook) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

func (n *notebook) handler(_ context.Context, r *Received) error {
	n.note("%s", r.Payload)
	return nil
}

func (n *notebook) want(t testing.TB, want ...string) {
	t.Helper()
	if got := n.all(); !slices.Equal(got, want) {
		t.Errorf("got %.200q, want %.200q", got, want)
	}
}

func say(topic, text string) Message { return Message{Topic: topic, Body: Bytes([]byte(text))} }

func post(t testing.TB, p *Peer, m Message) {
	t.Helper()
	if err := p.Post(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func send(t testing.TB, p *Peer, m Message) *Ack {
	t.Helper()
	a, err := p.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func space(t testing.TB, h *Hub, name string) *Namespace {
	t.Helper()
	n, err := h.Namespace(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
