package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

const (
	mostLines = 64       // requests of one connection that are answered at once; it is not read on meanwhile
	mostReply = 4 << 20  // bytes of one reply's line
	lineQueue = 64 << 10 // bytes in a connection's outbox with which replies wait
)

// ErrUnknownType is what a LineHandler returns for a type that it does not know.
var ErrUnknownType = errors.New("ipc: unknown type")

// A LineHandler answers what clients of Nodesockd's protocol say, which are lines of
// JSON: messages {"type","data"} and requests {"type","id","data"}. It is called for
// each, whatever its type; what it does not know it answers with ErrUnknownType.
//
// The messages of a connection come one after the other, in order, and nothing
// of it is read meanwhile. Requests have a goroutine each, at most 64 of one
// connection and Options.MaxLines of the server, which refuses those above.
//
// What it returns ends the request. With a nil error the client gets one line that has
// last as its data, nothing if last is nil: {"type":"reply","requestId","done":true,"data"}.
// With an error it gets its text, or that of each error that was joined:
// {"type":"reply","requestId","errors":["…"]}; a panic is such an error. Of a message what is
// returned goes nowhere, but that errors are logged.
//
// ctx ends when the client is gone and when the server is closed. How long a client
// waits is its own choice: Nodesockd's do 30 s for the first reply and 10 s for each
// other.
type LineHandler func(ctx context.Context, l *Line) (last any, err error)

// A Line is what a client said. It is the handler's until it returns.
type Line struct {
	Type string
	ID   string          // of a request, as the client chose it, so it may be empty and need not be unique
	Asks bool            // it is a request
	Data json.RawMessage // nil when there is none; owned by the handler
	PID  int             // of the client, by the kernel's word; 0 over TCP

	// Ended, which the handler may set, is called when it has returned and what it returned is gone:
	// all but 64 KiB has been taken by the kernel, or the client was dropped.
	Ended func()

	reply func(m *jsonwire.Message) error
}

// Reply sends one reply of several, before the handler returns; by one goroutine at a time. v
// goes by encoding/json. It waits for a client that is slow to read, for
// until all but 64 KiB is on its way, for
// Options.ReplyTimeout at most, and drops it then with os.ErrDeadlineExceeded; other errors:
// ErrTooLarge for more than 4 MiB, ErrPeerDied when the client is gone. Of a message
// it does nothing.
//
// Nodesockd's own client loses replies that come close behind the first one. What goes to it is
// best returned at once, as an array where it expects several.
func (l *Line) Reply(v any) error {
	if !l.Asks {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("ipc: reply: %w", err)
	}
	return l.reply(&jsonwire.Message{Data: data})
}

func (l *Line) end() {
	if l.Ended != nil {
		l.Ended()
	}
}

// A lineUser is the user of a connection that speaks lines.
type lineUser struct {
	p      *peer
	j      *jsonLink
	handle LineHandler
	room   chan struct{} // has an element for each request that is being answered
	wg     sync.WaitGroup
}

// speakLines has what j reads be lines for handle. Before j runs.
func (p *peer) speakLines(j *jsonLink, handle LineHandler) {
	j.user = &lineUser{p: p, j: j, handle: handle, room: make(chan struct{}, mostLines)}
}

// take answers one line.
func (u *lineUser) take(ctx context.Context, m *jsonwire.Message) {
	if m.RequestID != nil {
		return // a reply to what nobody asked
	}
	l := &Line{Type: string(m.Topic), ID: string(m.ID), Asks: m.ID != nil, PID: u.p.pid}
	if m.Data != nil {
		l.Data = append(json.RawMessage(nil), m.Data...)
	}
	l.reply = func(m *jsonwire.Message) error { return u.reply(l.ID, m) }
	if l.Asks {
		select {
		case u.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
	if err := u.p.srv.bookLine(u.p); err != nil {
		if l.Asks {
			<-u.room
			_ = u.fail(l, err) // a client that is gone needs no answer
		} else {
			u.p.srv.log.Warn("message dropped", "type", short(heddle.Raw(l.Type)), "pid", u.p.pid, "err", err)
		}
		return
	}
	if !l.Asks {
		defer u.p.srv.leftLine(u.p)
		defer l.end()
		if _, err := u.run(ctx, l); err != nil {
			u.p.srv.log.Warn("message failed", "type", short(heddle.Raw(l.Type)), "pid", u.p.pid, "err", err)
		}
		return
	}
	u.wg.Go(func() { // ends when the handler returns, whose context ends with the connection
		err := error(errExited)
		defer func() { // also behind runtime.Goexit
			if err != nil && ctx.Err() == nil {
				_ = u.fail(l, err)
			}
			l.end()
			u.p.srv.leftLine(u.p)
			<-u.room
		}()
		last, failed := u.run(ctx, l)
		if failed == nil {
			failed = u.last(l, last)
		}
		err = failed
	})
}

// run calls the handler.
func (u *lineUser) run(ctx context.Context, l *Line) (last any, err error) {
	returned := false
	defer func() {
		if !returned {
			v := recover()
			u.p.srv.log.Error("handler panicked", "what", "line", "type", short(heddle.Raw(l.Type)), "pid", u.p.pid, "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("the handler panicked: %v", v)
		}
	}()
	last, err = u.handle(ctx, l)
	returned = true
	if err == ErrUnknownType {
		err = fmt.Errorf("%w %.64q", err, l.Type)
	}
	return last, err
}

// last ends a request in order.
func (u *lineUser) last(l *Line, v any) error {
	m := jsonwire.Message{Done: true}
	if raw, ok := v.(json.RawMessage); v != nil && !(ok && raw == nil) {
		var err error
		if m.Data, err = json.Marshal(v); err != nil {
			return fmt.Errorf("ipc: reply: %w", err)
		}
	}
	return u.reply(l.ID, &m)
}

// fail ends a request with an error.
func (u *lineUser) fail(l *Line, err error) error {
	return u.reply(l.ID, &jsonwire.Message{Errors: errorTexts(err)})
}

func (u *lineUser) reply(id string, m *jsonwire.Message) error {
	m.Topic, m.RequestID = []byte("reply"), []byte(id)
	return u.say(m)
}

// say sends one line and sees most of it leave, so that what waits for a client that
// does not read counts as a request; who does not take it in time is dropped.
func (u *lineUser) say(m *jsonwire.Message) error {
	b, err := jsonwire.Lines.Append(nil, m)
	switch {
	case err != nil:
		return fmt.Errorf("ipc: reply: %w", err)
	case len(b) > mostReply:
		return fmt.Errorf("%w: a reply of %d bytes, %d may be", ErrTooLarge, len(b), mostReply)
	}
	if err = u.put(b); err == nil {
		err = u.put(nil)
	}
	return err
}

// put sends one line, or with nil waits until most of what was sent has left.
func (u *lineUser) put(b []byte) error {
	err := u.j.send(u.j.ctx, b, true)
	if err != ErrQueueFull {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(u.j.ctx, u.p.srv.o.ReplyTimeout, errLate)
	defer cancel()
	if err = u.j.send(ctx, b, false); err == errLate {
		u.j.link.Abort(err)
	}
	return err
}

// bad answers a line that is no message with an error. What is not even JSON ends
// the connection.
func (u *lineUser) bad(data []byte, err error) error {
	if len(bytes.TrimSpace(data)) == 0 && !errors.Is(err, jsonwire.ErrTooLarge) {
		return nil // a blank line says nothing
	}
	says := u.say(&jsonwire.Message{Topic: []byte("reply"), Errors: errorTexts(err)})
	if errors.Is(err, jsonwire.ErrShape) {
		u.p.srv.log.Warn("line is no message", "pid", u.p.pid, "err", err)
		return says
	}
	return ownFrame(err)
}

// finish waits for the requests that are being answered.
func (u *lineUser) finish() { u.wg.Wait() }

// errorTexts is a JSON array of what err says, one element for each error that was
// joined.
func errorTexts(err error) []byte {
	errs := []error{err}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		if joined := j.Unwrap(); len(joined) > 0 && err.Error() == errors.Join(joined...).Error() {
			errs = joined[:min(len(joined), 64)]
		}
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		var e *session.Error
		if errors.As(err, &e) && !e.Remote {
			texts[i] = e.Msg
		} else {
			texts[i] = string(clip(err.Error()))
		}
	}
	b, merr := json.Marshal(texts)
	if merr != nil {
		panic(merr) // texts have a JSON form
	}
	return b
}

// hubLines is the LineHandler of a server whose Framing is Lines and that has none:
// the hub with its handlers.
func hubLines(w *framed) LineHandler {
	return func(ctx context.Context, l *Line) (any, error) {
		f := FormatJSON
		if l.Data == nil {
			f = FormatNone
		}
		if !l.Asks {
			w.take(ctx, &jsonwire.Message{Topic: []byte(l.Type), Data: l.Data})
			return nil, nil
		}
		return nil, w.peer.Answer(ctx, DefaultNamespace, l.Type, f, l.Data, func(f Format, data []byte) error {
			switch f {
			case FormatNone:
				return l.Reply(nil)
			case FormatJSON:
				return l.Reply(json.RawMessage(data))
			}
			return ErrNotJSON
		})
	}
}
