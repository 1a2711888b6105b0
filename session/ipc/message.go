package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A Message is one thing to say to a peer.
type Message struct {
	Namespace string // "" is DefaultNamespace
	Topic     string // "" becomes NoTopic, but for a peer behind a Wire
	Body      Body

	// Files are descriptors that go along, at most MaxFiles: *os.File, *net.TCPConn,
	// *net.UnixConn, *net.TCPListener, *net.UnixListener, or what else has
	// SyscallConn and Close. Once the message was taken they are closed here; with
	// an error they stay the caller's.
	Files []any

	Timeout    time.Duration // from a Send to its acknowledgement; 0: the hub's; negative: none
	NoWait     bool          // ErrQueueFull rather than wait for room
	QueueFiles bool          // descriptors may wait for a peer that is not ready; else ErrNotReady

	checked bool   // the body was looked at
	route   []byte // whom it is for, or of, see route.go; nil: the peer itself
}

// Post sends m one way: nobody will say what became of it. It returns when m is
// queued, waiting for room until ctx ends. Its errors: those of the message
// (ErrName, a body that cannot be encoded, ErrTooLarge, a file that is closed),
// ErrQueueFull, ErrNotReady, ErrPeerDied, ErrUnknownNamespace never.
func (p *Peer) Post(ctx context.Context, m Message) error {
	if m.Body.encoded && m.Body.format <= FormatBytes && m.Files == nil && m.route == nil && p.wire == nil {
		return p.queue(ctx, &m, m.Body.data, nil, time.Time{}) // the path of most
	}
	_, err := p.send(ctx, &m, false)
	return err
}

// Send is Post of a message that is acknowledged: the Ack tells what the handler
// answered. The time-out begins here, and takes what is still queued out of the
// queue.
func (p *Peer) Send(ctx context.Context, m Message) (*Ack, error) { return p.send(ctx, &m, true) }

// Ask is Send and Wait.
func (p *Peer) Ask(ctx context.Context, m Message) (Reply, error) {
	a, err := p.send(ctx, &m, true)
	if err != nil {
		return Reply{}, err
	}
	return a.Wait(ctx)
}

func (p *Peer) send(ctx context.Context, m *Message, acked bool) (*Ack, error) {
	topic := m.Topic
	m.defaults()
	data := m.Body.data
	if !m.checked {
		var err error
		if !m.Body.encoded && m.Body.format == FormatValue {
			buf := getBuffer()
			defer func() { putBuffer(buf) }()
			if data, err = p.hub.payload(buf, &m.Body); err == nil {
				buf = data
			}
		} else {
			data, err = p.hub.payload(nil, &m.Body)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.wire != nil && m.route != nil {
		return nil, ErrNoRouter
	}
	if p.wire != nil {
		m.Topic = topic
		return nil, p.overWire(ctx, m, data, acked)
	}
	if len(data) > p.hub.o.MaxMessage {
		return nil, fmt.Errorf("%w: a payload of %d bytes, %d may be", ErrTooLarge, len(data), p.hub.o.MaxMessage)
	}
	data = m.routed(data)
	var deadline time.Time
	if d := p.ackTimeout(m); acked && d > 0 {
		deadline = time.Now().Add(d)
	}
	held, err := p.takeFiles(ctx, m, deadline)
	if err != nil {
		return nil, err
	}
	files, err := p.duplicate(m)
	if err != nil {
		p.giveFiles(held)
		return nil, err
	}
	var a *Ack
	switch {
	case acked:
		a = &Ack{p: p, ns: m.Namespace, topic: m.Topic, done: make(chan struct{}), files: files, held: held, passes: len(files) > 0}
	case len(files) > 0:
		// It is acknowledged too: so is known how many descriptors wait there.
		a = &Ack{p: p, ns: m.Namespace, topic: m.Topic, files: files, held: held, passes: true}
	}
	if err := p.queue(ctx, m, data, a, deadline); err != nil {
		closeFiles(files)
		p.giveFiles(held)
		return nil, err
	}
	if !deadline.IsZero() {
		a.arm(deadline)
	}
	closeGiven(m.Files)
	return a, nil
}

func (p *Peer) ackTimeout(m *Message) time.Duration {
	if m.Timeout == 0 {
		return p.hub.o.AckTimeout
	}
	return m.Timeout
}

func (m *Message) defaults() {
	if m.Namespace == "" {
		m.Namespace = DefaultNamespace
	}
	if m.Topic == "" {
		m.Topic = NoTopic
	}
}

// queue hands the message to its stream, waiting for room.
func (p *Peer) queue(ctx context.Context, m *Message, data []byte, a *Ack, deadline time.Time) error {
	m.defaults()
	switch {
	case len(data) > p.hub.most(m.Namespace):
		return fmt.Errorf("%w: a payload of %d bytes, %d may be", ErrTooLarge, len(data), p.hub.o.MaxMessage)
	case len(m.Topic) > MaxName:
		return fmt.Errorf("%w: a topic of %d bytes", ErrName, len(m.Topic))
	case m.Namespace[0] == 0 && m.route == nil:
		return fmt.Errorf("%w: %.64q", ErrName, m.Namespace)
	}
	var late <-chan time.Time
	for {
		o, err := p.stream(m.Namespace)
		if err != nil {
			return err
		}
		room, err := o.add(m, data, a)
		switch {
		case err == errRetired:
			continue
		case room == nil:
			return err
		case m.NoWait:
			p.hub.counters.full.Add(1)
			return ErrQueueFull
		case late == nil && !deadline.IsZero():
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("ipc: %s: %w", where(p.id, m.Namespace, m.Topic, 0), context.Cause(ctx))
		case <-late:
			return &TimeoutError{Peer: p.id, Namespace: realName(m.Namespace), Topic: m.Topic}
		}
	}
}

var errRetired = errors.New("ipc: stream has ended")

// An Ack is what will become of a message that was sent.
type Ack struct {
	// Immutable once queued.
	p         *Peer
	o         *outbound
	ns, topic string
	seq       uint64
	passes    bool          // descriptors go with it
	done      chan struct{} // closed when reply and err are there; nil if nobody waits

	// Guarded by o.mu until done is closed.
	timer *time.Timer
	files []*os.File // still to be sent
	held  int        // what they have of the allowances
	reply Reply
	err   error
}

// Seq is the message's number in its stream, from 1.
func (a *Ack) Seq() uint64 { return a.seq }

// Done is closed when Wait would return at once.
func (a *Ack) Done() <-chan struct{} { return a.done }

// Wait returns the handler's reply, or a *RemoteError with what it failed with, a
// *TimeoutError, ErrPeerDied when the peer went first, ErrExpired, or ctx's cause,
// with which the message goes its way all the same.
func (a *Ack) Wait(ctx context.Context) (Reply, error) {
	select {
	case <-a.done:
		return a.reply, a.err
	default:
	}
	select {
	case <-a.done:
		return a.reply, a.err
	case <-ctx.Done():
		return Reply{}, fmt.Errorf("ipc: %s: %w", where(a.p.id, a.ns, a.topic, a.seq), context.Cause(ctx))
	}
}

// arm begins the time-out.
func (a *Ack) arm(deadline time.Time) {
	a.o.mu.Lock()
	defer a.o.mu.Unlock()
	if a.o.pending[a.seq] == a {
		a.timer = time.AfterFunc(time.Until(deadline), a.expire)
	}
}

func (a *Ack) expire() {
	a.o.giveUp(a, &TimeoutError{Peer: a.p.id, Namespace: realName(a.ns), Topic: a.topic, Seq: a.seq})
}

// finishLocked says what became of the message. Needs o.mu.
func (a *Ack) finishLocked(r Reply, err error) {
	closeFiles(a.files)
	a.p.giveFiles(a.held)
	a.files, a.held = nil, 0
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.done != nil {
		a.reply, a.err = r, err
		close(a.done)
	}
}
