package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/heddle-go/heddle/session"
)

// PeerInfo says who is at the other end.
type PeerInfo struct {
	ID   string // a uuid; "" has one made
	Kind string // as the peer calls itself; nobody has checked it
	Name string
	PID  int // by the kernel's word; 0 if that is not known

	Files bool // descriptors can be passed

	// Forwards says that the peer is believed when it says on whose behalf a message
	// or request comes (PostFor): it is the hub that the others are behind.
	Forwards bool

	// Waits says that the peer announces its namespaces: what is sent before is
	// kept, in order and bounded (HubOptions.Queue…).
	Waits bool
}

// A Peer is the other end of a channel, as a Hub knows it. Its methods may be
// called from any goroutine; those that wait, not on a loop.
type Peer struct {
	// Immutable after NewPeer.
	hub  *Hub
	id   string
	info PeerInfo
	done chan struct{} // closed when the peer has gone

	wire    Wire // in place of mux; immutable after newPeer
	streams atomic.Int64
	routing atomic.Int64 // requests of it that are sent on

	files           allowance // descriptors on their way to it
	_               [64]byte  // apart from mu, which every sender writes
	messages, bytes allowance // what waits in the queues of all its namespaces
	_               [64]byte

	mu    sync.RWMutex
	mux   *session.Mux
	err   error // why it has gone; guarded by mu, and written before done is closed
	over  bool
	all   bool            // every namespace of it is ready
	ready map[string]bool // those that are
	outs  map[string]*outbound
	ins   map[string]*inbound
	asked chan struct{} // closed and renewed when something becomes ready; nil if nobody waits
}

// NewPeer makes a peer that has no channel yet: what is sent waits for Attach and,
// with info.Waits, for the peer's announcement.
func (h *Hub) NewPeer(info PeerInfo) (*Peer, error) { return h.newPeer(info, nil) }

func (h *Hub) newPeer(info PeerInfo, w Wire) (*Peer, error) {
	if info.ID == "" {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("ipc: %w", err)
		}
		info.ID = id.String()
	}
	p := &Peer{hub: h, id: info.ID, info: info, done: make(chan struct{}), wire: w, all: !info.Waits,
		ready: make(map[string]bool), outs: make(map[string]*outbound), ins: make(map[string]*inbound)}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, ErrClosed
	case h.peers[p.id] != nil:
		return nil, fmt.Errorf("ipc: there is a peer %.64q already", p.id)
	}
	h.peers[p.id] = p
	return p, nil
}

// Attach gives the peer its channel, on which the extensions are agreed; see Hub.Attach.
func (p *Peer) Attach(mux *session.Mux) error {
	p.mu.Lock()
	switch {
	case p.over:
		p.mu.Unlock()
		return p.Err()
	case p.mux != nil || p.wire != nil:
		p.mu.Unlock()
		return errors.New("ipc: the peer has its channel already")
	}
	p.mux = mux
	for _, o := range p.outs {
		o.begin(mux, p.readyLocked(o.ns))
	}
	p.tellReadyLocked()
	p.mu.Unlock()

	p.hub.mu.RLock()
	names := make([]string, 0, len(p.hub.ready))
	for name := range p.hub.ready {
		names = append(names, name)
	}
	p.hub.mu.RUnlock()
	p.hub.tell(PeerConnected, p, nil)
	for _, name := range names {
		p.announce(name)
	}
	return nil
}

// ID is the peer's uuid; on a server it is the server's choice, never the client's.
func (p *Peer) ID() string { return p.id }

// Info is who the peer is.
func (p *Peer) Info() PeerInfo { return p.info }

// Done is closed when the peer has gone.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Err is why the peer has gone: nil while it is there, or if it went in order.
func (p *Peer) Err() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.err
}

// Close drops the peer and its channel at once; err is what PeerGone says.
func (p *Peer) Close(err error) {
	p.mu.RLock()
	mux, wire := p.mux, p.wire
	p.mu.RUnlock()
	p.End(err)
	if mux != nil {
		mux.Abort(err)
	}
	if wire != nil {
		wire.Close(err)
	}
}

// Flush waits until what was sent before is on its way: in the channel's outbox,
// which closing the channel in order delivers. It returns ctx's cause if that ends
// first; what waits for the peer to be ready is waited for, too.
func (p *Peer) Flush(ctx context.Context) error {
	p.mu.RLock()
	outs := slices.Collect(maps.Values(p.outs))
	p.mu.RUnlock()
	for _, o := range outs {
		if c := o.empty(); c != nil {
			select {
			case <-c:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// End says that the channel has ended: all that waits fails, at once. For whoever
// owns the channel; a second call does nothing.
func (p *Peer) End(err error) {
	if err == io.EOF {
		err = nil
	}
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return
	}
	p.over, p.err = true, err
	outs, told := p.outs, p.mux != nil || p.wire != nil
	p.outs = make(map[string]*outbound)
	close(p.done)
	p.mu.Unlock()
	p.hub.mu.Lock()
	delete(p.hub.peers, p.id)
	p.hub.mu.Unlock()
	cause := ErrPeerDied
	if err != nil {
		cause = fmt.Errorf("%w: %w", ErrPeerDied, err)
	}
	for _, o := range outs {
		o.retire(cause)
	}
	if told {
		p.hub.tell(PeerGone, p, err)
	}
}

// SetReady says that these namespaces of the peer are ready, all of them if none is
// named: what waits for them goes. The peer's own announcements do the same.
func (p *Peer) SetReady(names ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready)+len(names) > mostReady {
		return fmt.Errorf("%w: more than %d namespaces announced", errRecord, mostReady)
	}
	p.all = p.all || len(names) == 0
	for _, n := range names {
		p.ready[n] = true
	}
	for _, o := range p.outs {
		if p.mux != nil && p.readyLocked(o.ns) {
			o.begin(p.mux, true)
		}
	}
	p.tellReadyLocked()
	return nil
}

// mostReady is how many namespaces one peer may announce.
const mostReady = 1024

// Ready says whether what is sent to the namespace goes at once.
func (p *Peer) Ready(namespace string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.wire != nil || p.mux != nil && p.readyLocked(namespace)
}

func (p *Peer) readyLocked(ns string) bool { return p.all || p.ready[realName(ns)] }

func (p *Peer) tellReadyLocked() {
	if p.asked != nil {
		close(p.asked)
		p.asked = nil
	}
}

// stream is the one that carries our messages of a namespace.
func (p *Peer) stream(ns string) (*outbound, error) {
	p.mu.RLock()
	o, over := p.outs[ns], p.over
	p.mu.RUnlock()
	if o != nil && !over {
		return o, nil
	}
	if err := checkNamespace(realName(ns)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil, p.goneLocked()
	}
	if o = p.outs[ns]; o == nil {
		if len(p.outs) >= p.hub.o.PeerSpaces {
			maps.DeleteFunc(p.outs, func(_ string, o *outbound) bool { return o.retireIdle() })
		}
		if len(p.outs) >= p.hub.o.PeerSpaces {
			p.hub.counters.full.Add(1)
			return nil, fmt.Errorf("%w: messages in %d namespaces", ErrQueueFull, len(p.outs))
		}
		o = newOutbound(p, ns)
		p.outs[ns] = o
		if p.mux != nil {
			o.begin(p.mux, p.readyLocked(ns))
		}
	}
	return o, nil
}

// drop forgets a stream that has ended; the next message begins another.
func (p *Peer) drop(o *outbound) {
	p.mu.Lock()
	if p.outs[o.ns] == o {
		delete(p.outs, o.ns)
	}
	p.mu.Unlock()
}

// Busy says whether messages or requests come from the peer, or go there.
func (p *Peer) Busy() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.outs) > 0 || p.streams.Load() > 0
}

// announce tells the peer that a namespace is ready here, or all for "".
func (p *Peer) announce(name string) {
	p.mu.RLock()
	mux := p.mux
	p.mu.RUnlock()
	if mux == nil {
		return // Attach will
	}
	names := []string{name}
	if name == "" {
		names = nil
	}
	// A channel that has ended tells its owner, who tells us.
	_, _ = mux.Open(session.OpenOptions{Event: eventReady, First: appendNames(nil, names), Last: true, Handler: unheard{}, Aside: true})
}

// unheard is the handler of a session from which nothing is wanted.
type unheard struct{}

func (unheard) OnMessage(_ *session.Session, m session.Message) { m.Drop() }
func (unheard) OnWritable(*session.Session)                     {}
func (unheard) OnEnd(*session.Session, error)                   {}

// heard is the handler of an announcement.
type heard struct{ p *Peer }

func (h heard) OnMessage(s *session.Session, m session.Message) {
	m.Drop()
	if m.Kind != session.Chunk {
		return
	}
	names, err := readNames(m.Data)
	if err == nil {
		err = h.p.SetReady(names...)
	}
	if err != nil {
		h.p.bad("", m.Data, err)
		s.Abort(err)
	}
}

func (heard) OnWritable(*session.Session)       {}
func (heard) OnEnd(s *session.Session, _ error) { _ = s.Close() }

// bad counts and tells what is no message of the peer.
func (p *Peer) bad(ns string, data []byte, err error) {
	p.hub.counters.bad.Add(1)
	p.hub.trouble(p, &DataError{Peer: p.id, Namespace: ns, Data: append([]byte(nil), data[:min(len(data), 256)]...), Err: err})
}

// Accept serves a session that the peer opened, or refuses it with an error, which
// its Mux tells the peer. Loop only; for Options.Accept.
func (p *Peer) Accept(s *session.Session) error {
	event := s.Event()
	switch {
	case event == eventReady:
		s.SetHandler(heard{p})
		s.SetAside()
		return nil
	case len(event) > 2 && event[:2] == eventMessages:
		return p.acceptMessages(s, event[2:])
	case len(event) > 2 && event[:2] == eventRequest:
		return p.acceptRequest(s, event[2:])
	}
	return refusal(codeNoNamespace, "unknown kind of session %.16q", event)
}
