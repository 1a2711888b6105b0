package httpcompat

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// held is an engine in memory with a suspended worker that answers what it is
// asked, behind the middleware; begun gets a word when a request comes to be held.
func held(t *testing.T) (e *workertest.Engine, begun <-chan struct{}) {
	t.Helper()
	e = workertest.New(workertest.Options{Suspended: true})
	w, err := worker.New(worker.Options{Launch: e.Launch(), Dial: e.Dial, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	holding := make(chan struct{}, 10)
	w.HandleFallback(Handler(hold(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.Suspended() {
			t.Error("a request came through while the worker was suspended")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		rw.Write(append([]byte("got "), body...))
	}), func(ctx context.Context) error {
		holding <- struct{}{}
		return w.AwaitResume(ctx)
	})))
	if err := w.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.Close()
		e.Close()
	})
	return e, holding
}

// The held request comes out at resume, whole.
func TestSuspendMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, begun := held(t)
		for _, draining := range []bool{false, true} {
			got := make(chan string, 1)
			go func() { // ends with the answer
				got <- fetch(e, httptest.NewRequest("POST", "/", io.LimitReader(zeroes{}, 1<<20))).Body.String()
			}()
			<-begun
			if draining {
				e.Drain(0)
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if len(got) != 0 {
				t.Error("answered while the worker was suspended")
			}
			e.Resume()
			if n := len(<-got); n != len("got ")+1<<20 {
				t.Errorf("got %d bytes", n)
			}
			if !draining {
				e.Suspend()
				synctest.Wait()
			}
		}
		<-e.Gone()
	})
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A request whose client leaves, or that the engine's drain time-out ends, is
// not served.
func TestSuspendMiddlewareContext(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(e *workertest.Engine, leave func())
	}{
		{"client leaves", func(_ *workertest.Engine, leave func()) { leave() }},
		{"drain time-out", func(e *workertest.Engine, _ func()) { e.Drain(time.Minute) }},
		{"engine dies", func(e *workertest.Engine, _ func()) { e.Mux(0).Abort(nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, begun := held(t)
				ctx, leave := context.WithCancel(context.Background())
				defer leave()
				over := make(chan *httptest.ResponseRecorder, 1)
				go func() { // ends with the request
					over <- fetch(e, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
				}()
				<-begun
				c.end(e, leave)
				if got := (<-over).Body.String(); len(got) >= 3 && got[:3] == "got" {
					t.Errorf("served: %q", got)
				}
				e.Resume()
				synctest.Wait()
			})
		})
	}
}

// A deadline of the program's own is answered, and not with an empty 200.
func TestSuspendMiddlewareDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	rec := httptest.NewRecorder()
	hold(http.NotFoundHandler(), func(ctx context.Context) error { return ctx.Err() }).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d, %v", rec.Code, rec.Header())
	}
}

// In a program that was started by hand requests pass at once, whatever their
// context says.
func TestSuspendMiddlewareAlone(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("why"))
	rec := httptest.NewRecorder()
	h := SuspendMiddleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	if h.ServeHTTP(rec, r); rec.Body.String() != "hello" {
		t.Errorf("got %d, %q", rec.Code, rec.Body)
	}
}
