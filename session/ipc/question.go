package ipc

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// questionTime is how long the payload of a request may be on its way.
const questionTime = 10 * time.Second

// A Question is a request as its handler gets it. It is the handler's until it
// returns.
type Question struct {
	Namespace, Topic string
	Peer             *Peer
	From             Member // on whose behalf the peer asks; zero: its own
	Format           Format
	Payload          []byte // owned by the handler

	s     *session.Session
	reply func(Format, []byte) error // in place of s, of a peer behind a Wire
	files []*os.File
	buf   []byte
	head  []byte // likewise, of Answer
}

// Decode reads the payload into what v points to.
func (q *Question) Decode(v any) error { return q.Peer.hub.decode(q.Format, q.Payload, v) }

// TakeFiles is Received.TakeFiles.
func (q *Question) TakeFiles() []*os.File {
	files := q.files
	q.files = nil
	return files
}

// Reply sends one of the replies; any number of times, by one goroutine at a time.
// It waits for an asker that is slow to read, at most HubOptions.ReplyTimeout, and
// fails with os.ErrDeadlineExceeded then, with session.ErrCanceled when the asker
// has stopped, or with why it is gone.
func (q *Question) Reply(b Body) error {
	data, err := q.Peer.hub.payload(nil, &b)
	if err != nil {
		return err
	}
	return q.write(b.format, data, q.Peer.hub.o.MaxMessage)
}

func (q *Question) write(f Format, data []byte, most int) (err error) {
	if len(data) > most {
		return ErrTooLarge
	}
	if q.s == nil {
		return q.reply(f, data)
	}
	_ = q.s.SetWriteDeadline(time.Now().Add(q.Peer.hub.o.ReplyTimeout)) // never fails
	q.buf = appendReply(q.buf[:0], f, data)
	_, err = q.s.Write(q.buf)
	if cap(q.buf) > keepBuffer {
		q.buf = nil
	}
	return err
}

// acceptRequest begins the goroutine of a request. Loop only.
func (p *Peer) acceptRequest(s *session.Session, name string) error {
	h := p.hub
	ns := p.space(name)
	if ns == nil {
		return refusal(codeNoNamespace, "unknown namespace %.64q", realName(name))
	}
	if n := h.requests.Add(1); n > int64(h.o.MaxRequests) {
		h.requests.Add(-1)
		return &session.Error{Category: heddle.CategoryOverseer, Code: heddle.CodePoolFull, Msg: fmt.Sprintf("%d requests are being answered, which is the limit; try again", n-1)}
	}
	s.SetAside()
	p.streams.Add(1)
	h.running.Add(1)
	go func() { // ends when the handler returns, whose context ends with the session
		defer h.running.Add(-1)
		defer p.streams.Add(-1)
		defer h.requests.Add(-1)
		err := error(errExited)
		defer func() { // also behind runtime.Goexit
			s.Discard()
			if err != nil {
				s.Abort(failure(err))
				return
			}
			_ = s.Close() // fails only if the channel has ended, and with it the session
		}()
		err = p.answer(ns, s)
	}()
	return nil
}

// answer reads the request and runs its handlers.
func (p *Peer) answer(ns *Namespace, s *session.Session) error {
	_ = s.SetReadDeadline(time.Now().Add(questionTime)) // never fails
	q := &Question{Namespace: ns.name, Peer: p, s: s}
	defer func() {
		closeFiles(q.files)
		p.hub.counters.unclaimed.Add(uint64(len(q.files)))
	}()
	var buf []byte
	var w record
	for {
		m, err := s.Recv()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if q.files = append(q.files, m.Files...); len(q.files) > MaxFiles {
			return errFiles
		}
		if m.Kind != session.Chunk {
			continue
		}
		buf = append(buf, m.Data...)
		if w, _, err = nextRecord(buf, p.hub.most(ns.name)); err == nil {
			break
		}
		if err != errShort {
			p.bad(ns.name, buf, err)
			return err
		}
	}
	if w.files != len(q.files) {
		err := fmt.Errorf("%w: %d descriptors announced, %d came", errRecord, w.files, len(q.files))
		p.bad(ns.name, buf, err)
		return err
	}
	q.Topic, q.Format, q.Payload = string(w.topic), w.format, w.payload
	s.Discard() // nobody reads what comes behind it
	return p.callRequest(s.Context(), ns, q)
}

// callRequest runs the handlers, generic first.
func (p *Peer) callRequest(ctx context.Context, ns *Namespace, q *Question) (err error) {
	generic, own := ns.findRequest(q.Topic)
	if generic == nil && own == nil {
		return refusal(heddle.CodeNoHandler, "unknown topic %.64q in namespace %q", q.Topic, ns.name)
	}
	returned := false
	defer func() {
		if !returned {
			err = p.panicked("request", ns.name, q.Topic, recover())
		}
	}()
	if generic != nil {
		err = generic(ctx, q)
	}
	if err == nil && own != nil {
		err = own(ctx, q)
	}
	returned = true
	return err
}
