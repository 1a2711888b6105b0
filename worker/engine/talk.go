package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// This file is how a user's program, the engine's owner, talks with its workers; what
// workers have for each other is in router.go.

// featureIPC is that a worker has messages and requests on its first channel.
const featureIPC = "ipc"

// errNotAttached is why nothing can be said to a plain program.
var errNotAttached = fmt.Errorf("engine: this program serves plain HTTP and has not attached: call worker.Attach, or another function of package worker: %w", errors.ErrUnsupported)

// errNoMessages is why nothing can be said to a worker.
var errNoMessages = fmt.Errorf("engine: this worker's Heddle has no messages: build it with this engine's version: %w", errors.ErrUnsupported)

// A WorkerInfo says which worker it is: its Pid is that of Status.
type WorkerInfo = ipc.Member

// A WorkerEventKind says what a WorkerEvent tells.
type WorkerEventKind uint8

// The kinds, in the order in which they come for each worker.
const (
	WorkerSpawned WorkerEventKind = iota // its process was started; messages to its id wait until it is ready
	WorkerOnline                         // it is online, by its own word
	WorkerExited                         // its process has ended
)

func (k WorkerEventKind) String() string { return [...]string{"spawned", "online", "exited"}[k] }

// A WorkerEvent is something that became of a worker.
type WorkerEvent struct {
	Kind   WorkerEventKind
	Worker WorkerInfo
	Death  *Death // of WorkerExited
}

// newHub makes the hub of an engine that was given none.
func (e *Engine) newHub() *ipc.Hub { return ipc.NewHub(ipc.HubOptions{Logger: e.log}) }

// Hub is where messages and requests of the workers arrive, and where each worker is a
// peer whose id is the worker's, from its start to its death.
func (e *Engine) Hub() *ipc.Hub { return e.hub }

// HandleMessage makes h handle the messages of a topic in a namespace, as
// ipc.Namespace.Handle does; from says which worker has sent it. What another peer of
// the hub sends has the kind ipc.KindClient.
func (e *Engine) HandleMessage(namespace, topic string, h func(ctx context.Context, from WorkerInfo, m *ipc.Received) error) error {
	ns, err := e.namespace(namespace)
	if err != nil {
		return err
	}
	if h == nil {
		ns.Handle(topic, nil)
		return nil
	}
	ns.Handle(topic, func(ctx context.Context, m *ipc.Received) error { return h(ctx, e.who(m.Peer), m) })
	return nil
}

// HandleRequest is HandleMessage for requests.
func (e *Engine) HandleRequest(namespace, topic string, h func(ctx context.Context, from WorkerInfo, q *ipc.Question) error) error {
	ns, err := e.namespace(namespace)
	if err != nil {
		return err
	}
	if h == nil {
		ns.HandleRequest(topic, nil)
		return nil
	}
	ns.HandleRequest(topic, func(ctx context.Context, q *ipc.Question) error { return h(ctx, e.who(q.Peer), q) })
	return nil
}

func (e *Engine) namespace(name string) (*ipc.Namespace, error) {
	if name == "" {
		name = ipc.DefaultNamespace
	}
	ns, err := e.hub.Namespace(name)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return ns, nil
}

// who is behind a peer of the hub; nothing that the peer says of itself counts.
func (e *Engine) who(p *ipc.Peer) WorkerInfo {
	if c := e.find(p.ID()); c != nil && c.peerIs(p) {
		return c.member()
	}
	return WorkerInfo{Kind: ipc.KindClient, Index: -1, ID: p.ID(), Pid: p.Info().PID}
}

// Peer is the worker with this id (the whole uuid), as long as its process lives:
// what is sent to it waits, in order and bounded, until it is ready. An
// *ipc.UnknownPeerError reports that there is none.
func (e *Engine) Peer(id string) (*ipc.Peer, error) {
	if c := e.find(id); c != nil {
		if p := c.line(); p != nil {
			return p, nil
		}
	}
	return nil, &ipc.UnknownPeerError{ID: id}
}

// PostTo sends a message to the worker with this id, one way.
func (e *Engine) PostTo(ctx context.Context, id string, m ipc.Message) error {
	p, err := e.Peer(id)
	if err != nil {
		return &ipc.UnknownPeerError{ID: id, Topic: m.Topic}
	}
	return p.Post(ctx, m)
}

// SendTo is PostTo of a message that the worker acknowledges.
func (e *Engine) SendTo(ctx context.Context, id string, m ipc.Message) (*ipc.Ack, error) {
	p, err := e.Peer(id)
	if err != nil {
		return nil, &ipc.UnknownPeerError{ID: id, Topic: m.Topic}
	}
	return p.Send(ctx, m)
}

// RequestTo asks the worker with this id, and yields its replies as they come.
func (e *Engine) RequestTo(ctx context.Context, id string, q ipc.Query) iter.Seq2[ipc.Reply, error] {
	p, err := e.Peer(id)
	if err != nil {
		return func(yield func(ipc.Reply, error) bool) {
			yield(ipc.Reply{}, &ipc.UnknownPeerError{ID: id, Topic: q.Topic})
		}
	}
	return p.Request(ctx, q)
}

// A Target is a worker that a selector has chosen.
type Target struct {
	WorkerInfo
	Peer *ipc.Peer
	Err  error // why nothing that is sent would arrive: it is a plain program that has not attached
}

// Select returns the workers that a selector names for messages, by index. Its zero
// value, indexes, ranges and "!" name active ones: those of the present release that
// have an index, are online (or suspended) and were not told to leave. A process
// number or an id names any process: one that starts, a standby, one that leaves.
func (e *Engine) Select(sel Selector) (list []Target) {
	active := make(map[*child]bool)
	if g := e.serving(); g != nil {
		for _, s := range g.workers() {
			if c := s.current(); c != nil && c.isReady() && !c.leaves() {
				active[c] = true
			}
		}
	}
	for _, c := range e.living() {
		if p := c.line(); p != nil && sel.reaches(c.status(), active[c]) {
			t := Target{WorkerInfo: c.member(), Peer: p}
			if !c.hears() {
				t.Err = errNotAttached
			}
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b Target) int { return compareMembers(&a.WorkerInfo, &b.WorkerInfo) })
	return list
}

// line is the child's peer; nil before it is one of the living.
func (c *child) line() *ipc.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mate
}

func (c *child) peerIs(p *ipc.Peer) bool { return p != nil && c.line() == p }

// hears says whether there is any hope that what is sent arrives: a plain program may
// never attach.
func (c *child) hears() bool { return c.plain == nil || c.isAttached() }

// member says which worker the child is.
func (c *child) member() WorkerInfo {
	index, pid := c.who()
	return WorkerInfo{Kind: ipc.KindWorker, Index: index, ID: c.id, Pid: pid, Release: c.release()}
}

// meet makes the child a peer of the hub.
func (c *child) meet() {
	p, err := c.e.hub.NewPeer(ipc.PeerInfo{ID: c.id, Kind: ipc.KindWorker, Files: true, Waits: true})
	if err != nil {
		c.logger().Warn("engine: no messages to or from this worker", "err", err)
	}
	c.mu.Lock()
	c.mate = p
	c.mu.Unlock()
}

// part ends the child's peer: whatever waits for it fails at once.
func (c *child) part(err error) {
	if p := c.line(); p != nil {
		p.End(err)
	}
}

// attach gives the child's peer its channel. Loop only.
func (ch *channel) attach(c *child, able bool) {
	if ch.lane.index != 0 {
		return
	}
	p := c.line()
	switch {
	case p == nil:
	case !able:
		p.End(errNoMessages)
	case p.Attach(ch.mux) == nil: // else it has ended
		ch.mate = p
	}
}

// accept gives the hub its sessions; workers open no others.
func (ch *channel) accept(s *session.Session) error {
	if ipc.Ours(s.Event()) && ch.mate != nil {
		return ch.mate.Accept(s)
	}
	return &session.Error{ID: s.ID(), Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: "nobody accepts sessions here"}
}

// detach ends the peer with its channel. A plain program may attach again.
func (ch *channel) detach(c *child, err error) {
	if ch.mate == nil {
		return
	}
	ch.mate.End(err)
	if c.plain != nil && !isClosed(c.dead) {
		c.mu.Lock()
		over := c.over
		c.mu.Unlock()
		if !over {
			c.meet()
		}
	}
}

// messageGrace is how long messages may take to leave before a worker is told that it
// is drained; it gives those that have come as long itself.
const messageGrace = 2 * time.Second

// afterMessages calls say once what was sent to the child has left, if that is soon.
func (c *child) afterMessages(say func()) {
	p := c.line()
	if p == nil || !p.Busy() {
		say()
		return
	}
	go func() { // ends within messageGrace, and with the peer
		ctx, cancel := context.WithTimeout(context.Background(), messageGrace)
		defer cancel()
		_ = p.Flush(ctx) // what has not left by then has not
		say()
	}()
}

// tellWorker has Options.OnWorker called.
func (e *Engine) tellWorker(kind WorkerEventKind, c *child, d *Death) {
	if e.opt.OnWorker == nil {
		return
	}
	e.workerEvents.Lock()
	defer e.workerEvents.Unlock()
	e.opt.OnWorker(WorkerEvent{Kind: kind, Worker: c.member(), Death: d})
}

// closeHub ends the hub if it is the engine's own.
func (e *Engine) closeHub() {
	if e.opt.Hub != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := e.hub.Close(ctx); err != nil {
		e.log.Warn("engine: end", "err", err)
	}
}
