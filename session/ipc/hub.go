package ipc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/session"
)

// HubOptions configure a Hub; the zero value works.
type HubOptions struct {
	AckTimeout   time.Duration // from a Send to its acknowledgement; default 10 s
	FirstReply   time.Duration // from a request to its first reply; default 30 s
	ReplyGap     time.Duration // from one reply to the next; default 10 s
	ReplyTimeout time.Duration // how long one reply waits for an asker that does not read; default 10 s

	MaxMessage    int           // bytes of a payload, either way; default 4 MiB
	QueueMessages int           // messages that wait for one peer in one namespace; default 1024
	QueueBytes    int           // and bytes; default 1 MiB; a larger message waits for an empty queue
	PeerMessages  int           // messages that wait for one peer, over all namespaces; default 8 times QueueMessages
	PeerBytes     int           // and bytes; default 8 times QueueBytes, or 2 times MaxMessage if that is more
	PeerSpaces    int           // namespaces that messages to one peer are in; default 1024; beyond: ErrQueueFull
	PeerFiles     int           // descriptors on their way to one peer, not yet acknowledged; default 64, at least MaxFiles
	HubFiles      int           // and to all peers; default 512, at least MaxFiles
	QueueAge      time.Duration // how long a message waits for a peer that is not ready; default 30 s
	MaxRequests   int           // requests answered at once, over all peers; default 256

	// Announce has a peer told which namespaces are ready here, by Ready: it
	// keeps what it sends to the others. Without it all are from the beginning.
	Announce bool

	Values  Values       // the codec of Value bodies; default that of package codec/value
	OnEvent func(Event)  // hears of peers and troubles, on any goroutine; must not block
	Logger  *slog.Logger // nil: discards
}

func (o HubOptions) withDefaults() HubOptions {
	setDefault(&o.AckTimeout, 10*time.Second)
	setDefault(&o.FirstReply, 30*time.Second)
	setDefault(&o.ReplyGap, 10*time.Second)
	setDefault(&o.ReplyTimeout, 10*time.Second)
	setDefault(&o.MaxMessage, 4<<20)
	setDefault(&o.QueueMessages, 1024)
	setDefault(&o.QueueBytes, 1<<20)
	setDefault(&o.PeerMessages, 8*min(o.QueueMessages, math.MaxInt/8))
	setDefault(&o.PeerBytes, max(8*min(o.QueueBytes, math.MaxInt/8), 2*min(o.MaxMessage, math.MaxInt/2)))
	setDefault(&o.PeerSpaces, mostReady)
	setDefault(&o.PeerFiles, 64)
	setDefault(&o.HubFiles, 512)
	o.PeerFiles, o.HubFiles = max(o.PeerFiles, MaxFiles), max(o.HubFiles, MaxFiles)
	setDefault(&o.QueueAge, 30*time.Second)
	setDefault(&o.MaxRequests, 256)
	o.Values = o.Values.withDefaults(o.MaxMessage)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// An EventKind says what an Event tells.
type EventKind uint8

const (
	PeerConnected EventKind = iota // the peer is attached: messages may go
	PeerGone                       // it has gone; Err says why, nil if in order
	Trouble                        // a handler failed, a message was lost, a peer sent bad data; Err says what
)

// An Event is something that a Hub tells its OnEvent.
type Event struct {
	Kind EventKind
	Peer *Peer
	Err  error
}

// HubCounters are what a hub has seen; each only grows.
type HubCounters struct {
	LateAcks   uint64 // acknowledgements for messages that nobody waits for any more
	Unclaimed  uint64 // descriptors that came and nobody took; they were closed
	Expired    uint64 // messages that waited too long for a peer to be ready
	Lost       uint64 // unacknowledged one-way messages that had not left when their peer went
	BadData    uint64 // streams that were ended because of what they carried
	Troubles   uint64 // all events of that kind
	DroppedFor uint64 // peers dropped because they read too slowly for a Broadcast
	Full       uint64 // messages that got ErrQueueFull
}

// A Hub is where messages and requests of any number of peers arrive: it has their
// handlers, by namespace and topic, and knows the peers. All methods may be called
// from any goroutine.
type Hub struct {
	// Immutable after NewHub.
	o   HubOptions
	log *slog.Logger

	counters struct{ late, unclaimed, expired, lost, bad, troubles, slow, full atomic.Uint64 }
	running  atomic.Int64 // goroutines of handlers: streams and requests
	requests atomic.Int64 // of those, requests
	said     atomic.Int64 // when a trouble was logged last, in ns

	files allowance // descriptors on their way

	router atomic.Pointer[Router]

	mu     sync.RWMutex
	spaces map[string]*Namespace
	peers  map[string]*Peer
	ready  map[string]bool // namespaces announced as ready; "" stands for all
	closed bool
}

// NewHub returns a hub that has the default namespace, without handlers.
func NewHub(o HubOptions) *Hub {
	o = o.withDefaults()
	h := &Hub{o: o, log: o.Logger, spaces: make(map[string]*Namespace), peers: make(map[string]*Peer), ready: make(map[string]bool)}
	h.spaces[DefaultNamespace] = &Namespace{hub: h, name: DefaultNamespace}
	return h
}

// Counters returns what the hub has seen.
func (h *Hub) Counters() HubCounters {
	c := &h.counters
	return HubCounters{c.late.Load(), c.unclaimed.Load(), c.expired.Load(), c.lost.Load(), c.bad.Load(), c.troubles.Load(), c.slow.Load(), c.full.Load()}
}

// Attach makes a peer of the other end of mux, on which the extensions are agreed.
// From here on its owner gives sessions for which Ours holds to Peer.Accept, and
// calls Peer.End when the channel has ended. On mux's loop, or before it runs.
func (h *Hub) Attach(mux *session.Mux, info PeerInfo) (*Peer, error) {
	p, err := h.NewPeer(info)
	if err != nil {
		return nil, err
	}
	return p, p.Attach(mux)
}

// Peers are those that were made and have not ended, in no order.
func (h *Hub) Peers() []*Peer {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Values(h.peers))
}

// Peer is the one with this id, or an *UnknownPeerError.
func (h *Hub) Peer(id string) (*Peer, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	p := h.peers[id]
	if p == nil {
		return nil, &UnknownPeerError{ID: id}
	}
	return p, nil
}

// PostTo posts m to the peer with this id, or fails with an *UnknownPeerError that
// names the topic.
func (h *Hub) PostTo(ctx context.Context, id string, m Message) error {
	p, err := h.Peer(id)
	if err != nil {
		return &UnknownPeerError{ID: id, Topic: m.Topic}
	}
	return p.Post(ctx, m)
}

// Broadcast posts m to every peer that is there, without waiting, and returns how
// many that were. A peer that reads too slowly for its queue is dropped, which its
// PeerGone event says with ErrSlow. The error is that of the message itself; one that
// only some peers cannot get, for their protocol, goes to the others.
func (h *Hub) Broadcast(m Message) (sent int, err error) {
	if len(m.Files) > 0 {
		return 0, errors.New("ipc: descriptors belong to one peer and cannot be broadcast")
	}
	data, err := h.payload(nil, &m.Body)
	if err != nil {
		return 0, err
	}
	m.Body = Body{format: m.Body.format, encoded: true, data: data}
	m.NoWait, m.checked = true, true
	for _, p := range h.Peers() {
		switch post := p.Post(context.Background(), m); {
		case post == nil:
			sent++
		case errors.Is(post, ErrQueueFull):
			h.counters.slow.Add(1)
			p.Close(fmt.Errorf("%w: %w", ErrSlow, post))
		case errors.Is(post, ErrPeerDied), err != nil:
		default:
			err = post
		}
	}
	return sent, err
}

// Close closes the channel of every peer once what was sent has left, and waits
// for the handlers that run, all until ctx ends. A closed hub takes no peers.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, p := range h.Peers() {
		if p.Flush(ctx) != nil {
			p.Close(ErrClosed)
			continue
		}
		p.leave()
	}
	for t := time.NewTicker(time.Millisecond); ; {
		if h.running.Load() == 0 {
			t.Stop()
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("ipc: close: %d handlers still run", h.running.Load())
		}
	}
}

// leave closes the channel in order.
func (p *Peer) leave() {
	p.mu.RLock()
	mux := p.mux
	p.mu.RUnlock()
	if mux == nil {
		p.Close(nil)
		return
	}
	mux.Close(nil)
	p.End(nil)
}

// tell gives an event to whoever wants it.
func (h *Hub) tell(kind EventKind, p *Peer, err error) {
	if h.o.OnEvent != nil {
		h.o.OnEvent(Event{kind, p, err})
	}
}

// sayEvery is how often troubles are logged at most; all are told and counted.
const sayEvery = 100 * time.Millisecond

func (h *Hub) trouble(p *Peer, err error) {
	h.counters.troubles.Add(1)
	now := time.Now().UnixNano()
	if last := h.said.Load(); now-last >= int64(sayEvery) && h.said.CompareAndSwap(last, now) {
		h.log.Warn("trouble with a peer", "peer", p.id, "kind", p.info.Kind, "name", p.info.Name, "pid", p.info.PID, "err", err)
	}
	h.tell(Trouble, p, err)
}
