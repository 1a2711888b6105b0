package workertest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// knock connects a bare channel to e that says frames and nothing else.
func knock(t *testing.T, e *workertest.Engine, frames []byte) {
	t.Helper()
	err := e.Dial(e.Launch().Endpoint, func(l session.Link) loop.Handler {
		if _, err := l.Send(frames, nil); err != nil {
			t.Error(err)
		}
		return deaf{l}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// deaf hears nothing of what the engine says.
type deaf struct{ link session.Link }

func (deaf) OnOpen()                       {}
func (deaf) OnBytes(p []byte) (int, error) { return len(p), nil }
func (d deaf) OnEOF()                      { d.link.Close(nil) }
func (deaf) OnDrain()                      {}
func (deaf) OnClose(error)                 {}

// TestStranger: the engine drops whom it did not start, and who greets twice.
func TestStranger(t *testing.T) {
	hello := codec.AppendHandshake(nil, heddle.V1, workertest.UUID, nil)
	for name, frames := range map[string][]byte{
		"unknown uuid":        codec.AppendHandshake(nil, heddle.V1, "stranger", nil),
		"greets twice":        append(hello[:len(hello):len(hello)], hello...),
		"unknown control":     codec.AppendControl(hello[:len(hello):len(hello)], 99),
		"opens without leave": codec.AppendInvoke(hello[:len(hello):len(hello)], heddle.V1, 9, "x", -1),
		"no frame":            []byte("GET / HTTP/1.1\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := workertest.New(workertest.Options{})
				knock(t, e, frames)
				synctest.Wait()
				switch seen := e.Seen(); {
				case name == "opens without leave": // an error for the session alone
					if len(seen.Closed) != 0 {
						t.Errorf("got %v", seen.Closed)
					}
				case len(seen.Closed) != 1 || seen.Closed[0] == nil:
					t.Errorf("got %v, want the channel closed with an error", seen.Closed)
				default:
					if _, err := e.Open(context.Background(), session.OpenOptions{Event: "x"}); err != workertest.ErrNotOnline {
						t.Errorf("open: got %v, want ErrNotOnline", err)
					}
				}
				_ = e.Close()
			})
		})
	}
}

// handler uses a session on the engine's loop.
type handler struct {
	got  []byte
	over chan error
}

func (h *handler) OnMessage(s *session.Session, m session.Message) {
	h.got = append(h.got, m.Data...)
	s.Grant(int64(len(m.Data)) + session.ChunkCost)
}
func (h *handler) OnWritable(*session.Session)         {}
func (h *handler) OnEnd(_ *session.Session, err error) { h.over <- err }

// TestOpenOnLoop: a session with a Handler is opened where it must be, in
// memory and on sockets.
func TestOpenOnLoop(t *testing.T) {
	for _, sockets := range []bool{false, true} {
		e := workertest.New(workertest.Options{Channels: 2})
		o := worker.Options{Dial: e.Dial}
		if sockets {
			dir, err := os.MkdirTemp("", "wt")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			if err := e.Listen(dir); errors.Is(err, loop.ErrUnsupported) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			o.Dial = nil
		}
		o.Launch = e.Launch()
		w, err := worker.New(o)
		if err != nil {
			t.Fatal(err)
		}
		w.HandleFallback(worker.HandlerFunc(func(_ context.Context, s *session.Session) { _, _ = io.Copy(s, s) }))
		if err := w.Connect(context.Background()); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			h := &handler{over: make(chan error, 1)}
			if _, err := e.Open(context.Background(), session.OpenOptions{Event: "x", First: []byte("abc"), Last: true, Handler: h}); err != nil {
				t.Fatal(err)
			}
			if err := <-h.over; err != nil || string(h.got) != "abc" {
				t.Errorf("got %q, %v", h.got, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		<-e.Gone()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
