package ipc

import (
	"context"

	heddle "github.com/heddle-go/heddle"
)

// A Wire is how a peer is reached that speaks something else than frames, such as
// lines of JSON: whoever reads that protocol makes a peer of it by Hub.AttachWire,
// gives what arrives to Deliver and Answer, and calls Peer.End at the end.
type Wire interface {
	// Post sends one message, waiting for room until ctx ends; ErrQueueFull if
	// there is none and noWait is set. data is borrowed.
	// An empty topic comes as it is.
	Post(ctx context.Context, namespace, topic string, f Format, data []byte, noWait bool) error

	// Close drops the connection.
	Close(err error)
}

// AttachWire makes a peer of the other end of w: it has neither acknowledgements
// nor descriptors, and requests only toward us.
func (h *Hub) AttachWire(w Wire, info PeerInfo) (*Peer, error) {
	p, err := h.newWirePeer(w, info)
	if err == nil {
		h.tell(PeerConnected, p, nil)
	}
	return p, err
}

func (h *Hub) newWirePeer(w Wire, info PeerInfo) (*Peer, error) {
	info.Files, info.Waits = false, false
	return h.newPeer(info, w)
}

func (p *Peer) overWire(ctx context.Context, m *Message, data []byte, acked bool) error {
	switch {
	case acked, len(m.Files) > 0:
		return ErrNoAcks
	case len(data) > p.hub.o.MaxMessage:
		return ErrTooLarge
	}
	if err := checkNamespace(m.Namespace); err != nil {
		return err
	}
	select {
	case <-p.done:
		return ErrPeerDied
	default:
	}
	return p.wire.Post(ctx, m.Namespace, m.Topic, m.Body.format, data, m.NoWait)
}

// Deliver has a message handled that came over a Wire, on this goroutine, and
// returns the handler's reply; data is borrowed. One at a time for each peer and
// namespace keeps the order.
func (p *Peer) Deliver(ctx context.Context, namespace, topic string, f Format, data []byte) (Reply, error) {
	ns := p.hub.namespace(namespace)
	if ns == nil {
		return Reply{}, refusal(codeNoNamespace, "unknown namespace %.64q", namespace)
	}
	reply := Reply{hub: p.hub}
	r := Received{Namespace: namespace, Peer: p, Format: f, Payload: data, seq: 1, reply: func(b Body) error {
		data, err := p.hub.payload(nil, &b)
		reply.Format, reply.Payload = b.format, append([]byte(nil), data...)
		return err
	}}
	err := p.handle(ctx, ns, []byte(topic), &r)
	if err == nil {
		err = r.failed
	}
	return reply, err
}

// handle has a message handled by whoever handles topic.
func (p *Peer) handle(ctx context.Context, ns *Namespace, topic []byte, r *Received) error {
	generic, own, name := ns.find(topic)
	r.Topic = name
	if generic == nil && own == nil {
		return refusal(heddle.CodeNoHandler, "unknown topic %.64q in namespace %q", name, ns.name)
	}
	return p.run(ctx, r, generic, own)
}

// Answer has a request answered that came over a Wire, on this goroutine; reply
// sends each reply, and borrows it. What it returns is the handler's error.
func (p *Peer) Answer(ctx context.Context, namespace, topic string, f Format, data []byte, reply func(Format, []byte) error) error {
	ns := p.hub.namespace(namespace)
	if ns == nil {
		return refusal(codeNoNamespace, "unknown namespace %.64q", namespace)
	}
	return p.callRequest(ctx, ns, &Question{Namespace: namespace, Topic: topic, Peer: p, Format: f, Payload: data, reply: reply})
}
