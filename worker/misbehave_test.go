package worker_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// TestMisbehavedEngine: what an engine must not do, and what it costs. Either
// nothing, and something is counted, or the channel and with it the worker.
func TestMisbehavedEngine(t *testing.T) {
	args := func(n int) []byte { return codec.AppendArray(nil, n) }
	control := func(id uint64, args ...byte) []byte {
		return codec.AppendExtension(nil, heddle.ControlChannel, id, args)
	}
	begun := func(e *workertest.Engine, last bool) uint64 { // a session that is being served
		s, _ := e.Mux(0).Open(session.OpenOptions{Event: "hold", First: []byte("head"), Last: last})
		s.Discard()
		return s.ID()
	}
	var syntax *codec.SyntaxError
	for _, c := range []struct {
		name string
		send func(e *workertest.Engine) []byte
		want error  // what the worker ends with; nil: it lives
		as   any    // or of which type
		sees uint64 // ignored control messages
	}{
		{name: "unknown control message", send: func(*workertest.Engine) []byte { return control(77, 0x90) }, sees: 1},
		{name: "our own control messages", send: func(*workertest.Engine) []byte {
			return append(control(heddle.CtlOnline, 0x90), codec.AppendReason(nil, heddle.CtlLeaving, "x")...)
		}, sees: 2},
		{name: "second welcome", send: func(e *workertest.Engine) []byte { return e.Welcome(0) }, want: worker.ErrProtocol},
		{name: "welcome of nothing", send: func(*workertest.Engine) []byte { return control(heddle.CtlWelcome, 0x90) }, want: worker.ErrProtocol},
		{name: "drain of a word", send: func(*workertest.Engine) []byte { return codec.AppendReason(nil, heddle.CtlDrain, "soon") }, want: worker.ErrProtocol},
		{name: "handshake", send: func(*workertest.Engine) []byte { return codec.AppendHandshake(nil, heddle.V1, "x", nil) }, want: worker.ErrProtocol},
		{name: "terminate of a word", send: func(*workertest.Engine) []byte { return control(heddle.MsgTerminate, 0x91, 0xa1, 'x') }, want: session.ErrProtocol},
		{name: "no frame", send: func(*workertest.Engine) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, as: &syntax},
		{name: "a frame of v0", send: func(*workertest.Engine) []byte { return codec.AppendInvoke(nil, heddle.V0, 9, "echo", -1) }, want: session.ErrProtocol},
		{name: "too large", send: func(*workertest.Engine) []byte { return codec.AppendChunkHead(nil, heddle.V1, 2, 1<<30) }, want: codec.ErrTooLarge},
		{name: "invoke of an odd session", send: func(*workertest.Engine) []byte { return codec.AppendInvoke(nil, heddle.V1, 101, "echo", -1) }, want: session.ErrProtocol},
		{name: "choke of a session that never was", send: func(*workertest.Engine) []byte { return codec.AppendChoke(nil, heddle.V1, 100) }, want: session.ErrProtocol},
		{name: "invoke without an event", send: func(*workertest.Engine) []byte { return codec.AppendExtension(nil, 100, heddle.MsgInvoke, args(0)) }, want: session.ErrProtocol},
		{name: "unknown message on a session", send: func(e *workertest.Engine) []byte {
			return codec.AppendExtension(nil, begun(e, false), 99, args(0))
		}, want: session.ErrProtocol},
		{name: "chunk after choke", send: func(e *workertest.Engine) []byte {
			return codec.AppendChunk(nil, heddle.V1, begun(e, true), []byte("late"))
		}},
		{name: "choke twice", send: func(e *workertest.Engine) []byte { return codec.AppendChoke(nil, heddle.V1, begun(e, true)) }},
		{name: "error after choke", send: func(e *workertest.Engine) []byte {
			return codec.AppendError(nil, heddle.V1, begun(e, true), heddle.CategoryUser, 1, "late")
		}},
		{name: "more than the window", send: func(e *workertest.Engine) []byte {
			return codec.AppendChunk(nil, heddle.V1, begun(e, false), make([]byte, session.DefaultWindow))
		}},
		{name: "opened and cancelled, a thousand times", send: func(e *workertest.Engine) []byte {
			for range 1000 {
				s, _ := e.Mux(0).Open(session.OpenOptions{Event: "hold"})
				s.Cancel(context.Canceled)
				s.Discard()
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(worker.Options{})
				e, w := play(t, workertest.Options{}, wo)
				hold(w).causes = make(chan error, 2000)
				connect(t, w)
				if got, err := ask(t, e, "echo", "before"); got != "before" || err != nil {
					t.Fatalf("got %q, %v", got, err)
				}
				if err := e.Send(0, c.send(e)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				switch {
				case c.as != nil:
					if !errors.As(w.Err(), c.as) || !errors.Is(w.Err(), worker.ErrLost) {
						t.Errorf("got %v, want a %T", w.Err(), c.as)
					}
					outcome(t, w, d, worker.StateLost, "connect\nerror", worker.ErrLost)
				case c.want != nil:
					outcome(t, w, d, worker.StateLost, "connect\nerror", c.want)
				default:
					if got, err := ask(t, e, "echo", "after"); got != "after" || err != nil {
						t.Errorf("a session after it: got %q, %v", got, err)
					}
					if w.State() != worker.StateConnected || d.String() != "connect" || w.Stats().Ignored != c.sees {
						t.Errorf("got %s, events %q, %d ignored; want %d", w.State(), d, w.Stats().Ignored, c.sees)
					}
				}
			})
		})
	}
}

// TestBeforeWelcome: the worker connects to nobody who does not greet first.
func TestBeforeWelcome(t *testing.T) {
	features := func(names ...string) []byte {
		w := &heddle.WelcomeInfo{Window: 1 << 16}
		for _, n := range names {
			w.Features = append(w.Features, heddle.Raw(n))
		}
		return codec.AppendWelcome(nil, w)
	}
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"invoke", codec.AppendInvoke(nil, heddle.V1, 2, "echo", -1)},
		{"welcome of nothing", codec.AppendControl(nil, heddle.CtlWelcome)},
		{"welcome without windows", features("cancel")},
		{"welcome without cancel", features("window")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(worker.Options{})
				e, w := play(t, workertest.Options{NoWelcome: true}, wo)
				result := make(chan error, 1)
				go func() { result <- w.Connect(context.Background()) }()
				synctest.Wait()
				if err := e.Send(0, c.frame); err != nil {
					t.Fatal(err)
				}
				if err := <-result; !errors.Is(err, worker.ErrProtocol) {
					t.Errorf("got %v, want ErrProtocol", err)
				}
				outcome(t, w, d, worker.StateClosed, "error", worker.ErrProtocol)
				if st := w.Stats(); st.Served != 0 {
					t.Errorf("served %d sessions", st.Served)
				}
			})
		})
	}
}

// TestPlainEngineExtends: a Cocaine runtime's control messages mean nothing to
// us, whatever their number.
func TestPlainEngineExtends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Plain: true, Dialect: heddle.V1}, worker.Options{})
		connect(t, w)
		if err := e.Send(0, codec.AppendDrain(e.Welcome(0), 1)); err != nil {
			t.Fatal(err)
		}
		if got, err := ask(t, e, "echo", "x"); got != "x" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if st := w.Stats(); st.Ignored != 2 || st.State != worker.StateConnected {
			t.Errorf("got %+v", st)
		}
	})
}

// TestEarly012: a runtime of the dialect between v0 and v1 passes no --protocol either,
// and is told apart by what it says of channel 1.
func TestEarly012(t *testing.T) {
	for _, frame := range []string{"\x93\x01\x01\x90", "\x93\x01\x02\x92\x01\xa1x", "\x93\x02\x03\x91\xa4echo"} {
		synctest.Test(t, func(t *testing.T) {
			e, w := play(t, workertest.Options{Plain: true, Dialect: heddle.V0}, worker.Options{})
			connect(t, w)
			if err := e.Send(0, []byte(frame)); err != nil {
				t.Fatal(err)
			}
			<-w.Done()
			if err := w.Err(); !errors.Is(err, session.ErrProtocol) || !strings.Contains(err.Error(), "v0b") {
				t.Errorf("% x: got %v", frame, err)
			}
		})
	}
}

// TestWriteAfterEnd: a handler that writes on after its end, or after the
// asker is gone, is told so and harms nobody.
func TestWriteAfterEnd(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		e, w := play(t, o, worker.Options{})
		errs := make(chan error, 1)
		w.Handle("on", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			_ = s.Close()
			_, err := s.Write([]byte("more"))
			errs <- err
		}))
		connect(t, w)
		if got, err := ask(t, e, "on", "x"); got != "" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if err := <-errs; err != session.ErrEnded {
			t.Errorf("write after the end: got %v, want ErrEnded", err)
		}
		if got, err := ask(t, e, "echo", "x"); got != "x" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestUnreadUpload: a handler that does not read its body ends the session
// alone, and the bytes that still come are dropped.
func TestUnreadUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{}, worker.Options{})
		w.Handle("refuse", worker.HandlerFunc(func(_ context.Context, s *session.Session) { _, _ = s.Write([]byte("no")) }))
		connect(t, w)
		s := open(t, e, "refuse", "head", true)
		_, err := s.Write(make([]byte, 1<<20))
		if !errors.Is(err, session.ErrEnded) && !errors.Is(err, io.EOF) {
			t.Errorf("writing a body that nobody reads: got %v", err)
		}
		if got, err := answer(t, s); got != "no" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		synctest.Wait()
		if st := w.Stats(); st.Sessions != 0 || st.Buffered != 0 {
			t.Errorf("%d sessions are still open, %d bytes are kept", st.Sessions, st.Buffered)
		}
	})
}
