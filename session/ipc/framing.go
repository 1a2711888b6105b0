package ipc

import (
	"context"
	"errors"
	"fmt"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// errExpected is of a Lines frame that has an id where nobody asks or answers.
var errExpected = errors.New("ipc: a request or a reply, and only messages go here")

// A framed is a Peer whose connection speaks a framing of package jsonwire: the
// Wire of the one, and the user of the other.
type framed struct {
	*jsonLink
	limit int   // bytes of a frame
	peer  *Peer // immutable after attach
	r     Received
}

// attachFramed makes a peer of the other end of link. The caller gives j what the
// loop says, and calls Peer.End at the end.
func (h *Hub) attachFramed(ctx context.Context, link session.Link, f jsonwire.Framing, limit int, info PeerInfo) (*framed, error) {
	if limit <= 0 {
		limit = jsonwire.DefaultLimit
	}
	w := &framed{jsonLink: newJSONLink(ctx, link, f, limit, h.o.QueueBytes), limit: limit}
	w.user = w
	p, err := h.newWirePeer(w, info)
	if err != nil {
		return nil, err
	}
	w.peer = p
	p.streams.Add(1) // such a client may well only listen
	h.tell(PeerConnected, p, nil)
	return w, nil
}

// serve runs the connection's goroutine.
func (w *framed) serve() {
	w.peer.hub.running.Add(1)
	go func() { // ends with the connection
		defer w.peer.hub.running.Add(-1)
		w.run()
	}()
}

// Post is Wire's.
func (w *framed) Post(ctx context.Context, namespace, topic string, f Format, data []byte, noWait bool) error {
	if namespace != DefaultNamespace {
		return fmt.Errorf("%w: %.64q; in %v there is only %q", ErrUnknownNamespace, namespace, w.framing, DefaultNamespace)
	}
	m := jsonwire.Message{Topic: []byte(topic)}
	switch f {
	case FormatNone:
	case FormatJSON:
		m.Data = data
	default:
		return fmt.Errorf("%w, as %v has nothing else", ErrNotJSON, w.framing)
	}
	buf := getBuffer()
	defer func() { putBuffer(buf) }()
	b, err := w.framing.Append(buf, &m)
	if err != nil {
		return fmt.Errorf("ipc: %w", err)
	}
	buf = b
	if n := len(b) - len(w.framing.End()); n > w.limit {
		return fmt.Errorf("%w: a frame of %d bytes, %d may be", ErrTooLarge, n, w.limit)
	}
	return w.send(ctx, b, noWait)
}

// take has the hub handle a message.
func (w *framed) take(ctx context.Context, m *jsonwire.Message) {
	if m.ID != nil || m.RequestID != nil {
		w.peer.bad(DefaultNamespace, m.Topic, errExpected)
		return
	}
	f := FormatJSON
	if m.Data == nil {
		f = FormatNone
	}
	w.r = Received{Peer: w.peer, Namespace: DefaultNamespace, Format: f, Payload: m.Data}
	err := w.peer.handle(ctx, w.peer.hub.Default(), m.Topic, &w.r)
	if err != nil && !errors.As(err, new(panicError)) {
		w.peer.hub.trouble(w.peer, fmt.Errorf("ipc: message: %s: %w", where(w.peer.id, DefaultNamespace, w.r.Topic, 0), err))
	}
}

// bad tells of a frame that is no message; the next ones may be.
func (w *framed) bad(data []byte, err error) error {
	w.peer.bad(DefaultNamespace, data, ownFrame(err))
	return nil
}

func (w *framed) finish() {}

// ownFrame has the frame in err copied, as much as is worth telling.
func ownFrame(err error) error {
	var e *jsonwire.FrameError
	if !errors.As(err, &e) {
		return err
	}
	own := *e
	own.Frame = append([]byte(nil), e.Frame[:min(len(e.Frame), 256)]...)
	return &own
}

// A framedClient is the handler of a Client whose connection speaks a framing.
type framedClient struct {
	*Client
	link session.Link
	o    *DialOptions
	*framed
}

// OnOpen: see loop.Handler.
func (c *framedClient) OnOpen() {
	pid := 0
	if l, ok := c.link.(interface {
		PeerCred() (pid, uid, gid int, err error)
	}); ok {
		pid, _, _, _ = l.PeerCred() // fails of TCP, where nobody knows
	}
	w, err := c.hub.attachFramed(context.Background(), c.link, c.o.Framing, c.o.MaxFrame, PeerInfo{Kind: "server", PID: pid})
	if err != nil {
		c.link.Abort(err)
		return
	}
	c.framed, c.Client.peer = w, w.peer
	w.serve()
	close(c.ready)
}

// OnClose: see loop.Handler.
func (c *framedClient) OnClose(err error) {
	if c.framed != nil {
		err = c.framed.parting(err)
		c.framed.OnClose(err)
		c.framed.peer.End(err)
	}
	c.err = err
	close(c.done)
}
