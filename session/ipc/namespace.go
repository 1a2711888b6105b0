package ipc

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// DefaultNamespace is where messages go that name none.
const DefaultNamespace = "_"

// NoTopic is what an empty topic becomes.
const NoTopic = "none"

// reserved is a namespace that is nobody's.
const reserved = "heddle"

// A MessageHandler handles one message; m is its until it returns. Messages of
// one peer in one namespace come one after the other. A message that asks for an
// acknowledgement gets it when the handler returns, unless it called Reply, Later
// or Fail: nil acknowledges without a value, an error is told the sender with its
// text (and of a *session.Error the category and code). ctx ends when the peer is gone.
type MessageHandler func(ctx context.Context, m *Received) error

// A RequestHandler answers one request, on a goroutine of its own; when it
// returns, the request has ended: in order for nil, else with an error that the
// asker gets after the replies. ctx ends when the asker stops or is gone.
type RequestHandler func(ctx context.Context, q *Question) error

// A Namespace keeps the handlers of one library from another's. The generic
// handlers (topic "") are called first, then those of the topic.
type Namespace struct {
	hub  *Hub
	name string

	mu    sync.Mutex // of writers
	table atomic.Pointer[table]
}

// A table is never changed once it is in place.
type table struct {
	messages map[string]topicOf[MessageHandler]
	requests map[string]topicOf[RequestHandler]
}

// A topicOf is a handler and the name it was given, which saves making one.
type topicOf[H any] struct {
	name string
	h    H
}

// Namespace returns the namespace of that name, the same for the same name, and
// makes it if need be. ErrName refuses a name that is empty, reserved ("heddle"),
// too long, or has a NUL.
func (h *Hub) Namespace(name string) (*Namespace, error) {
	if err := checkNamespace(name); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ns := h.spaces[name]
	if ns == nil {
		ns = &Namespace{hub: h, name: name}
		h.spaces[name] = ns
	}
	return ns, nil
}

// Default is the namespace "_".
func (h *Hub) Default() *Namespace { return h.namespace(DefaultNamespace) }

// namespace is the one of that name, or nil.
func (h *Hub) namespace(name string) *Namespace {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.spaces[name]
}

func checkNamespace(name string) error {
	switch {
	case name == "", name == reserved, len(name) > MaxName, strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: %.64q", ErrName, name)
	}
	return nil
}

// Name is the namespace's.
func (n *Namespace) Name() string { return n.name }

// Handle makes h handle the messages of a topic, in place of who did before; those
// of every topic, before anybody else, if topic is "". nil ends that.
func (n *Namespace) Handle(topic string, h MessageHandler) {
	n.change(func(t *table) { setHandler(t.messages, topic, h, h == nil) })
}

// HandleRequest is Handle for requests.
func (n *Namespace) HandleRequest(topic string, h RequestHandler) {
	n.change(func(t *table) { setHandler(t.requests, topic, h, h == nil) })
}

func setHandler[H any](m map[string]topicOf[H], topic string, h H, none bool) {
	if none {
		delete(m, topic)
		return
	}
	m[topic] = topicOf[H]{topic, h}
}

func (n *Namespace) change(f func(*table)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := &table{messages: make(map[string]topicOf[MessageHandler]), requests: make(map[string]topicOf[RequestHandler])}
	if t := n.table.Load(); t != nil {
		maps.Copy(next.messages, t.messages)
		maps.Copy(next.requests, t.requests)
	}
	f(next)
	n.table.Store(next)
}

// Ready announces to every peer, those to come included, that the namespace has
// its handlers: what they have kept for it may come. Only of use with
// HubOptions.Announce.
func (n *Namespace) Ready() { n.hub.announce(n.name) }

// Ready announces that every namespace has its handlers.
func (h *Hub) Ready() { h.announce("") }

func (h *Hub) announce(name string) {
	h.mu.Lock()
	again := h.ready[name]
	h.ready[name] = true
	h.mu.Unlock()
	if again {
		return
	}
	for _, p := range h.Peers() {
		p.announce(name)
	}
}

// find returns the handlers of a topic: generic, own, and the topic as a string.
func (n *Namespace) find(topic []byte) (generic, own MessageHandler, name string) {
	if t := n.table.Load(); t != nil {
		generic = t.messages[""].h
		if e, ok := t.messages[string(topic)]; ok && len(topic) > 0 {
			return generic, e.h, e.name
		}
	}
	return generic, nil, string(topic)
}

func (n *Namespace) findRequest(topic string) (generic, own RequestHandler) {
	if t := n.table.Load(); t != nil {
		generic = t.requests[""].h
		if topic != "" {
			own = t.requests[topic].h
		}
	}
	return generic, own
}
