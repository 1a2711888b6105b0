package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session"
)

// A Query is a request to a peer, which answers with any number of replies.
type Query struct {
	Namespace string // "" is DefaultNamespace
	Topic     string // "" becomes NoTopic
	Body      Body
	Files     []any // as in Message; closed here once the range has begun and they were found good

	First      time.Duration // until the first reply, or the end; 0: the hub's; negative: none
	Gap        time.Duration // from one reply to the next, or the end; likewise
	QueueFiles bool          // descriptors may wait for a peer that is not ready

	route   []byte // as in Message
	answers bool   // its replies are a router's
}

// Call asks and returns the one reply, zero if there was none; ErrReplies if there
// were more. Errors are those of Request.
func (p *Peer) Call(ctx context.Context, q Query) (Reply, error) {
	var reply Reply
	n := 0
	for r, err := range p.Request(ctx, q) {
		if err != nil {
			return Reply{}, err
		}
		if n++; n > 1 {
			return Reply{}, fmt.Errorf("ipc: request %q: %w", q.Topic, ErrReplies)
		}
		reply = r
	}
	return reply, nil
}

// Request asks and yields the replies as they come. An error is the last thing
// yielded, after what came before it: a *RemoteError with what the handler failed
// with, a *TimeoutError, ErrPeerDied when the peer went first, or ctx's cause.
// Whoever leaves the range, or ends ctx, has the handler's context cancelled. A
// peer that is not ready is waited for, as long as for a first reply.
func (p *Peer) Request(ctx context.Context, q Query) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		m := Message{Namespace: q.Namespace, Topic: q.Topic, Body: q.Body, Files: q.Files, QueueFiles: q.QueueFiles, route: q.route}
		m.defaults()
		if err := p.ask(ctx, &q, &m, yield); err != nil {
			yield(Reply{}, p.explain(ctx, &m, err))
		}
	}
}

// explain is what an error of a request means to the asker.
func (p *Peer) explain(ctx context.Context, m *Message, err error) error {
	switch {
	case errors.Is(err, session.ErrCanceled) && ctx.Err() != nil:
		return fmt.Errorf("ipc: %s: %w", where(p.id, m.Namespace, m.Topic, 0), context.Cause(ctx))
	case err == os.ErrDeadlineExceeded:
		return &TimeoutError{Peer: p.id, Namespace: realName(m.Namespace), Topic: m.Topic}
	}
	return p.ended(m.Namespace, m.Topic, 0, err)
}

func (p *Peer) ask(ctx context.Context, q *Query, m *Message, yield func(Reply, error) bool) error {
	first, gap := p.hub.o.FirstReply, p.hub.o.ReplyGap
	if q.First != 0 {
		first = q.First
	}
	if q.Gap != 0 {
		gap = q.Gap
	}
	deadline := until(first)
	if len(m.Topic) > MaxName {
		return fmt.Errorf("%w: a topic of %d bytes", ErrName, len(m.Topic))
	}
	data, err := p.hub.payload(nil, &m.Body)
	if err != nil {
		return err
	}
	if m.Namespace[0] == 0 {
		return fmt.Errorf("%w: %.64q", ErrName, m.Namespace)
	}
	if len(data) > p.hub.o.MaxMessage {
		return ErrTooLarge
	}
	data = m.routed(data)
	if len(m.Files) > 0 && !q.QueueFiles && !p.Ready(realName(m.Namespace)) {
		return ErrNotReady
	}
	held, err := p.takeFiles(ctx, m, deadline)
	if err != nil {
		return err
	}
	files, err := p.duplicate(m)
	if err != nil {
		p.giveFiles(held)
		return err
	}
	closeGiven(m.Files) // they are ours now
	mux, err := p.channel(ctx, m.Namespace, deadline)
	if err != nil {
		closeFiles(files)
		p.giveFiles(held)
		return err
	}
	s, err := p.open(ctx, mux, m, data, files, deadline)
	closeFiles(files)
	if held > 0 { // the link has duplicates until they leave, which a reply tells soonest
		give := sync.OnceFunc(func() { p.giveFiles(held) })
		p.whenSent(mux.Link(), int64(mux.Link().Queued())+mux.Link().Written(), give)
		next := yield
		yield = func(r Reply, err error) bool {
			give()
			return next(r, err)
		}
	}
	if err != nil {
		return err
	}
	defer s.Discard()
	defer context.AfterFunc(ctx, func() { s.Cancel(context.Cause(ctx)) })()
	_ = s.SetReadDeadline(deadline) // never fails
	most := p.hub.o.MaxMessage
	if q.answers {
		most += mostPrefix
	}
	err = p.replies(s, gap, most, yield)
	switch err {
	case nil, io.EOF:
		return nil
	case errStopped:
		s.Cancel(errStopped)
		return nil
	}
	s.Cancel(err) // does nothing if the peer has ended the request
	return err
}

func until(d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// channel waits until the peer has one and the namespace is ready.
func (p *Peer) channel(ctx context.Context, ns string, deadline time.Time) (*session.Mux, error) {
	if err := checkNamespace(realName(ns)); err != nil {
		return nil, err
	}
	var late <-chan time.Time
	for {
		p.mu.Lock()
		switch {
		case p.over:
			err := p.err
			p.mu.Unlock()
			return nil, errors.Join(ErrPeerDied, err)
		case p.wire != nil:
			p.mu.Unlock()
			return nil, ErrNoAcks
		case p.mux != nil && p.readyLocked(ns):
			mux := p.mux
			p.mu.Unlock()
			return mux, nil
		}
		if p.asked == nil {
			p.asked = make(chan struct{})
		}
		asked := p.asked
		p.mu.Unlock()
		if late == nil && !deadline.IsZero() {
			t := time.NewTimer(time.Until(deadline))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-asked:
		case <-p.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-late:
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// open sends the request: descriptors first, then its record in as many chunks as
// it takes.
func (p *Peer) open(ctx context.Context, mux *session.Mux, m *Message, data []byte, files []*os.File, deadline time.Time) (*session.Session, error) {
	r := record{topic: []byte(m.Topic), files: len(files), format: m.Body.format, payload: data}
	buf := appendRecord(make([]byte, 0, recordMost+len(m.Topic)+len(data)), &r)
	o := session.OpenOptions{Event: eventRequest + m.Namespace, Aside: true}
	if len(files) == 0 && len(buf) <= session.MaxChunk {
		o.First, o.Last = buf, true
		return mux.Open(o)
	}
	s, err := mux.Open(o)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { s.Cancel(context.Cause(ctx)) })() // it may wait for credit
	_ = s.SetWriteDeadline(deadline)                                        // never fails
	if len(files) > 0 {
		err = s.SendFiles(files)
	}
	if err == nil {
		if _, err = s.Write(buf); err == nil {
			err = s.Close()
		}
	}
	if err != nil && s.Context().Err() == nil {
		// What the peer said, if it said something, will be read.
		s.Cancel(err)
		s.Discard()
		return nil, err
	}
	return s, nil
}

// replies yields what comes on s, of at most most bytes each; io.EOF at the end.
func (p *Peer) replies(s *session.Session, gap time.Duration, most int, yield func(Reply, error) bool) error {
	var part []byte
	for {
		m, err := s.Recv()
		if err != nil {
			if err == io.EOF && len(part) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		m.Drop() // descriptors: nobody asked for any
		if m.Kind != session.Chunk {
			continue
		}
		b := m.Data
		if len(part) > 0 {
			part = append(part, b...)
			b = part
		}
		for len(b) > 0 {
			f, payload, n, err := nextReply(b, most)
			if err == errShort {
				break
			}
			if err != nil {
				p.bad("", b, err)
				return err
			}
			r := Reply{Format: f, hub: p.hub}
			if f != FormatNone {
				r.Payload = append([]byte{}, payload...)
			}
			if !yield(r, nil) {
				return errStopped
			}
			_ = s.SetReadDeadline(until(gap)) // never fails
			b = b[n:]
		}
		part = append(part[:0], b...)
	}
}
