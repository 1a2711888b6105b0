package worker

import (
	"context"
	"fmt"
	"runtime/debug"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// A Handler answers the sessions of one event.
type Handler interface {
	// ServeInvoke answers s on a goroutine of its own. ctx is s.Context().
	// When it returns, a direction of ours that is still open ends in order,
	// and what the peer still sends is dropped: s must not be used any more.
	// A panic ends the session with an error message and is logged.
	ServeInvoke(ctx context.Context, s *session.Session)
}

// A HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, s *session.Session)

// ServeInvoke calls f.
func (f HandlerFunc) ServeInvoke(ctx context.Context, s *session.Session) { f(ctx, s) }

// handler is who answers event; nil is nobody.
func (w *Worker) handler(event string) Handler {
	if h := (*w.handlers.Load())[event]; h != nil {
		return h
	}
	if h := w.fallback.Load(); h != nil {
		return *h
	}
	return nil
}

// serve answers one session: step 6 of a message's walk. Whatever the handler
// does, the session ends here.
func (w *Worker) serve(s *session.Session) {
	w.counters.served.Add(1)
	returned := false
	defer func() {
		if !returned { // panicked, or called runtime.Goexit
			w.panicked(s, recover(), debug.Stack())
		}
		_ = s.Close() // does nothing after Abort; fails for a channel that has ended
		s.Discard()
	}()
	if h := w.handler(s.Event()); h != nil {
		h.ServeInvoke(s.Context(), s)
	} else {
		w.unhandled(s)
	}
	returned = true
}

// unhandled ends a session whose event nobody handles.
func (w *Worker) unhandled(s *session.Session) {
	w.counters.unhandled.Add(1)
	s.Abort(&session.Error{ID: s.ID(), Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: fmt.Sprintf("no handler for event %q", s.Event())})
}

// panicked ends the session of a handler that did not return; reason is nil
// after runtime.Goexit.
func (w *Worker) panicked(s *session.Session, reason any, stack []byte) {
	w.counters.panics.Add(1)
	msg := "handler ended its goroutine"
	if reason != nil {
		msg = fmt.Sprintf("handler panicked: %v", reason)
	}
	w.log.Error("handler panicked", "event", s.Event(), "channel", w.current().indexOf(s.Mux()), "session", s.ID(), "panic", msg, "stack", string(stack))
	s.Abort(&session.Error{ID: s.ID(), Category: heddle.CategoryFramework, Code: heddle.CodeException, Msg: msg})
}
