package workertest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// TestOurEvents: connect, error, terminate and disown are each told once for each
// time that they happen, in every life of the worker.
func TestOurEvents(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		var mu sync.Mutex
		var told []string
		note := func(what string) { mu.Lock(); told = append(told, what); mu.Unlock() }
		r, w := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{
			HeartbeatInterval: 5 * time.Millisecond, DisownTimeout: 600 * time.Millisecond,
			OnConnect:   func() { note("connect") },
			OnError:     func(error) { note("error") },
			OnDisown:    func() { note("disown") },
			OnTerminate: func(code int64, reason string) { note(fmt.Sprintf("terminate %d %s", code, reason)) },
		}, nil)
		var want []string
		for life, end := range []string{"error", "terminate 1 idle", "disown", "error", "terminate 1 idle"} {
			if life > 0 {
				if err := w.Listen(context.Background()); err != nil { // as the Node framework's: it connects if closed
					t.Fatal(err)
				}
			}
			if err := w.Listen(context.Background()); err != nil { // and else does nothing
				t.Fatal(err)
			}
			if err := r.Active(); err != nil {
				t.Fatal(err)
			}
			switch end {
			case "error":
				r.Kill()
			case "disown":
				r.Mute(true)
			default:
				if err := r.Terminate(1, "idle"); err != nil {
					t.Fatal(err)
				}
			}
			<-w.Done()
			r.Mute(false)
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			if err := r.Gone(); err != nil {
				t.Error(err)
			}
			want = append(want, "connect", end)
		}
		settled := func() string { // the callbacks have a goroutine of their own
			for range 1000 {
				mu.Lock()
				n := len(told)
				mu.Unlock()
				if n >= len(want) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(told, ", ")
		}
		if got := settled(); got != strings.Join(want, ", ") {
			t.Errorf("got %s\nwant %s", got, strings.Join(want, ", "))
		}
	})
}

// TestOurClose: Close drops what is unsent, and Shutdown delivers it.
func TestOurClose(t *testing.T) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		for _, drains := range []bool{false, true} {
			r := workertest.NewRuntime(t, v, workertest.RuntimeOptions{Network: workertest.Memory})
			var end *sessiontest.End
			w, err := worker.New(worker.Options{Launch: r.Launch(), Dial: func(endpoint string, h func(session.Link) loop.Handler) error {
				return r.Dial(endpoint, func(l session.Link) loop.Handler {
					end = l.(*sessiontest.End)
					return h(l)
				})
			}})
			if err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			w.Handle("x", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
				end.Stall(true)
				_, err := s.Write([]byte("unsent"))
				written <- err
			}))
			if err := w.Connect(context.Background()); err != nil {
				t.Fatal(err)
			}
			c, err := r.Ask("x", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
			left := make(chan error, 1)
			if drains {
				go func() { left <- w.Shutdown(context.Background()) }() // ends when all has left
				end.Stall(false)
			} else {
				left <- w.Close()
			}
			if err := <-left; err != nil {
				t.Errorf("drains %v: %v", drains, err)
			}
			got, err := c.Answer()
			if drains && (string(got) != "unsent" || err != nil) {
				t.Errorf("shutdown: got %q, %v", got, err)
			}
			if !drains && (len(got) > 0 || !errors.Is(err, workertest.ErrGone)) {
				t.Errorf("close: got %q, %v", got, err)
			}
			_ = w.Close()
		}
	}
}

// TestClientFails: an error from the client ends the context of a handler that does not
// read, and what that answers is still delivered.
func TestClientFails(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		r, _ := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{}, map[string]worker.HandlerFunc{
			"wait": func(ctx context.Context, s *session.Session) {
				<-ctx.Done()
				var e *session.Error
				_, _ = fmt.Fprint(s, errors.As(s.Cause(), &e) && e.Remote && e.Code == 7)
			},
		})
		c, err := r.Invoke("wait", workertest.InvokeOptions{First: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Fail(43, 7, "the client has gone"); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Answer(); string(got) != "true" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestOurChunks: data, end and error of a session are chunk, choke and error both
// ways, with code and message as the dialect has them.
func TestOurChunks(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		heard := make(chan string, 10)
		r, _ := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{}, map[string]worker.HandlerFunc{
			"listen": func(_ context.Context, s *session.Session) {
				for {
					m, err := s.Recv()
					var e *session.Error
					switch {
					case errors.As(err, &e):
						heard <- fmt.Sprintf("error %d %d %s", e.Category, e.Code, e.Msg)
						s.Abort(e)
						return
					case err == io.EOF:
						heard <- "end"
						return
					case err != nil:
						heard <- err.Error()
						return
					}
					heard <- "data " + string(m.Data)
					_ = s.WriteChunk(m.Data)
				}
			},
		})
		for _, fails := range []bool{false, true} {
			c, err := r.Invoke("listen", workertest.InvokeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{"a", "", "b"} { // each a chunk of its own
				if err := c.Write([]byte(p)); err != nil {
					t.Fatal(err)
				}
				if got := <-heard; got != "data "+p {
					t.Errorf("heard %q, want %q", got, p)
				}
				if got, err := c.Next(); string(got) != p || err != nil {
					t.Errorf("got %q, %v, want %q", got, err, p)
				}
			}
			want := "end"
			if fails {
				want = "error 43 7 no more"
				if v == workertest.Runtime011 {
					want = "error 0 7 no more"
				}
				err = c.Fail(43, 7, "no more")
			} else {
				err = c.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := <-heard; got != want {
				t.Errorf("heard %q, want %q", got, want)
			}
			_, err = c.Next()
			var e *session.Error
			if fails && (!errors.As(err, &e) || fmt.Sprintf("error %d %d %s", e.Category, e.Code, e.Msg) != want) || !fails && err != io.EOF {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}
