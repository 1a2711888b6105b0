package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// A talk is what a process has to say to its engine and to hear from it beside
// sessions: a hub with one peer, which is another one in each life of the Worker.
type talk struct {
	files bool // the engine can be given descriptors

	once sync.Once
	made *ipc.Hub

	mu     sync.Mutex
	peer   *ipc.Peer // nil until somebody needs it
	over   bool      // the life of peer has ended, and no other has begun
	manual bool      // namespaces are ready by the program's word alone
}

func newTalk(l *Launch) *talk {
	network, _, err := splitEndpoint(l.Endpoint)
	return &talk{files: err != nil || network == "unix"} // an endpoint of none of ours is Options.Dial's
}

// hub is made when it is first needed: the program may have set its logger by then.
func (t *talk) hub() *ipc.Hub {
	t.once.Do(func() {
		t.made = ipc.NewHub(ipc.HubOptions{Announce: true, Logger: slog.Default()})
	})
	return t.made
}

// engine is the peer that what is said now goes to; before the worker is connected it
// waits there.
func (t *talk) engine() (*ipc.Peer, error) {
	h := t.hub()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return nil, ErrClosed
	case t.peer != nil:
		return t.peer, nil
	}
	p, err := h.NewPeer(ipc.PeerInfo{Kind: "engine", Files: t.files, Forwards: true})
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	t.peer = p
	return p, nil
}

// begin: a life begins.
func (t *talk) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		t.over, t.peer = false, nil
	}
}

// errNoMessages is what is said to an engine that does not know of messages.
var errNoMessages = fmt.Errorf("worker: this engine has no messages: %w", errors.ErrUnsupported)

// attach: the engine has agreed to mux, and to messages on it or not.
func (t *talk) attach(mux *session.Mux, agreed bool) *ipc.Peer {
	p, err := t.engine()
	switch {
	case err != nil:
		return nil // the life has ended already
	case !agreed:
		p.End(errNoMessages)
		return nil
	}
	if err := p.Attach(mux); err != nil {
		return nil // likewise
	}
	return p
}

// end: the channel of p has ended.
func (t *talk) end(p *ipc.Peer, err error) {
	t.mu.Lock()
	t.over = t.over || t.peer == p
	t.mu.Unlock()
	p.End(err)
}

// online: the worker is, and unless the program says that itself, its handlers are
// there.
func (t *talk) online() {
	t.mu.Lock()
	manual := t.manual
	t.mu.Unlock()
	if !manual {
		t.hub().Ready()
	}
}

// settling is the peer that there may be something to wait for before the worker
// leaves; nil if there is not.
func (t *talk) settling() *ipc.Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peer == nil || t.over || !t.peer.Busy() {
		return nil
	}
	return t.peer
}

// ready announces namespaces, or all.
func (t *talk) ready(namespaces []string) error {
	if len(namespaces) == 0 {
		t.hub().Ready()
	}
	for _, name := range namespaces {
		ns, err := t.hub().Namespace(or(name, ipc.DefaultNamespace))
		if err != nil {
			return fmt.Errorf("worker: %w", err)
		}
		ns.Ready()
	}
	return nil
}

func (t *talk) setManual() {
	t.mu.Lock()
	t.manual = true
	t.mu.Unlock()
}

func (t *talk) handle(namespace string, f func(*ipc.Namespace)) error {
	ns, err := t.hub().Namespace(or(namespace, ipc.DefaultNamespace))
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	f(ns)
	return nil
}

func or(name, def string) string {
	if name == "" {
		return def
	}
	return name
}

// messageGrace is how long messages that have come may be handled, and those that
// were sent be on their way, once a worker has nothing else to do.
const messageGrace = 2 * time.Second

// flush gives messages their last chance.
func (l *life) flush(p *ipc.Peer) {
	ctx, cancel := context.WithTimeout(context.Background(), messageGrace)
	defer cancel()
	if err := p.Settle(ctx); err != nil {
		l.w.log.Warn("left before all messages were handled or sent", "after", messageGrace)
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.flushed = true
	l.checkLocked()
}
