package ipc

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// A Received is a message as its handler gets it; nothing of it may be kept when
// the handler has returned.
type Received struct {
	Namespace, Topic string
	Peer             *Peer
	From             Member // on whose behalf the peer sends; zero: its own
	Format           Format
	Payload          []byte // borrowed

	in      *inbound
	reply   func(Body) error // in place of in, of a peer behind a Wire
	failed  error            // by Fail, likewise
	seq     uint64
	settled bool
	files   []*os.File
}

// Decode reads the payload into what v points to.
func (r *Received) Decode(v any) error { return r.Peer.hub.decode(r.Format, r.Payload, v) }

// Asks says whether the sender waits for an acknowledgement.
func (r *Received) Asks() bool { return r.seq != 0 }

// Reply acknowledges the message with a value. A second acknowledgement is
// refused with ErrAcked; of a message that asks for none it does nothing.
func (r *Received) Reply(b Body) error {
	if r.settled {
		return ErrAcked
	}
	r.settled = true
	switch {
	case r.seq == 0:
		return nil
	case r.reply != nil:
		return r.reply(b)
	}
	err := r.in.settle(r.seq, &b, nil)
	if err != nil && !errors.Is(err, ErrPeerDied) {
		r.settled = false // nothing was sent: the body was at fault
	}
	return err
}

// Fail acknowledges the message with an error, like returning it; of a message that
// asks for no acknowledgement it is a Trouble.
func (r *Received) Fail(err error) error {
	if r.settled {
		return ErrAcked
	}
	r.settled = true
	switch {
	case r.seq == 0:
		r.Peer.hub.trouble(r.Peer, fmt.Errorf("ipc: message: %s: %w", where(r.Peer.id, r.Namespace, r.Topic, 0), err))
		return nil
	case r.reply != nil:
		r.failed = err
		return nil
	}
	return r.in.settle(r.seq, nil, err)
}

// TakeFiles hands over the descriptors that came with the message, in order; they
// are the handler's to close, those that it does not take are closed and counted.
// Each shares its file description with the sender's and is non-blocking. Conn and
// Listener make the types of package net of them.
func (r *Received) TakeFiles() []*os.File {
	files := r.files
	r.files = nil
	return files
}

// Later has the acknowledgement given by the returned Acker, after the handler has
// returned and from any goroutine. Until then the next messages are handled.
func (r *Received) Later() *Acker {
	a := &Acker{in: r.in, seq: r.seq, settled: r.settled || r.reply != nil}
	r.settled = true
	return a
}

// An Acker acknowledges one message, once.
type Acker struct {
	in  *inbound
	seq uint64

	mu      sync.Mutex
	settled bool
}

// Reply is Received.Reply.
func (a *Acker) Reply(b Body) error { return a.settle(&b, nil) }

// Fail is Received.Fail.
func (a *Acker) Fail(err error) error { return a.settle(nil, err) }

func (a *Acker) settle(b *Body, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.settled {
		return ErrAcked
	}
	a.settled = true
	if a.seq == 0 {
		return nil
	}
	failed := a.in.settle(a.seq, b, err)
	if failed != nil && !errors.Is(failed, ErrPeerDied) {
		a.settled = false // as in Received.Reply
	}
	return failed
}
