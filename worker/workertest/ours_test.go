package workertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

var networks = []string{workertest.Memory, "unix", "tcp"}

// everywhere runs a test of our worker under each real runtime over each network.
func everywhere(t *testing.T, test func(t *testing.T, v workertest.Version, network string)) {
	for _, v := range []workertest.Version{workertest.Runtime011, workertest.Runtime012} {
		for _, network := range networks {
			t.Run(v.String()+"/"+network, func(t *testing.T) { test(t, v, network) })
		}
	}
}

// begin connects a worker of ours to a Runtime. It is closed after the test.
func begin(t *testing.T, v workertest.Version, ro workertest.RuntimeOptions, wo worker.Options, handlers map[string]worker.HandlerFunc) (*workertest.Runtime, *worker.Worker) {
	t.Helper()
	r := workertest.NewRuntime(t, v, ro)
	wo.Launch = r.Launch()
	if ro.Network == workertest.Memory {
		wo.Dial = r.Dial
	}
	if wo.Logger == nil {
		wo.Logger = slog.New(slog.DiscardHandler)
	}
	w, err := worker.New(wo)
	if err != nil {
		t.Fatal(err)
	}
	for event, h := range handlers {
		w.Handle(event, h)
	}
	if err := w.Connect(context.Background()); errors.Is(err, loop.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return r, w
}

// handlers are those of the tests below.
func handlers() map[string]worker.HandlerFunc {
	return map[string]worker.HandlerFunc{
		"echo":  func(_ context.Context, s *session.Session) { _, _ = io.Copy(s, s) },
		"panic": func(context.Context, *session.Session) { panic("out of cheese") },
		"fail": func(_ context.Context, s *session.Session) {
			s.Abort(&session.Error{Category: heddle.CategoryUser, Code: 7, Msg: "as asked"})
			s.Abort(errors.New("again"))
			_, _ = s.Write([]byte("too late"))
			_ = s.Close()
		},
		"half": func(_ context.Context, s *session.Session) { // an answer, then an error
			_, _ = s.Write([]byte("half"))
			s.Abort(errors.New("no more"))
		},
		"early":   func(_ context.Context, s *session.Session) { _ = s.Finish([]byte("early")) }, // reads nothing
		"nothing": func(context.Context, *session.Session) {},
		"big": func(_ context.Context, s *session.Session) {
			_, _ = s.Write(bytes.Repeat([]byte("0123456789abcdef"), 5<<14))
		},
		"empty": func(_ context.Context, s *session.Session) {
			_ = s.WriteChunk(nil)
			_ = s.WriteChunk(nil)
		},
		"trace": func(ctx context.Context, s *session.Session) {
			fmt.Fprintf(s, "%+v %d", session.TraceOf(ctx), len(session.HeadersOf(ctx)))
		},
		"beyond": func(_ context.Context, s *session.Session) { // what plain peers have no word for
			err := errors.Join(s.SendInfo([]byte{0x92, 100, 0x90}), s.SendTrailers([]byte{0x91, 0x90}), s.SendFiles(nil), s.Reopen())
			s.Gone()
			s.Cancel(nil)
			s.Grant(1)
			fmt.Fprint(s, strings.Count(err.Error(), session.ErrUnsupported.Error()))
		},
		"\x00odd": func(_ context.Context, s *session.Session) { _, _ = s.Write([]byte(s.Event())) },
	}
}

// TestOurWorker: what each handler does reaches the runtime as it should, and
// breaks no rule.
func TestOurWorker(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		r, w := begin(t, v, workertest.RuntimeOptions{Network: network, Gap: 3}, worker.Options{}, handlers())
		v0 := v == workertest.Runtime011
		fault := func(category, code int64) *session.Error {
			if v0 {
				return &session.Error{Code: map[int64]int64{heddle.CodeException: heddle.CodeV0Invocation, heddle.CodeNoHandler: heddle.CodeV0NoHandler}[code]}
			}
			return &session.Error{Category: category, Code: code}
		}
		for _, c := range []struct {
			event, want string
			err         *session.Error
			text        string
		}{
			{event: "echo", want: "question"},
			{"panic", "", fault(42, 100), "out of cheese"},
			{"fail", "", &session.Error{Category: map[bool]int64{false: 43}[v0], Code: 7}, "as asked"},
			{"half", "half", fault(42, 100), "no more"},
			{"nobody", "", fault(42, 200), `"nobody"`},
			{event: "early", want: "early"},
			{event: "nothing"},
			{event: "big", want: strings.Repeat("0123456789abcdef", 5<<14)},
			{event: "empty"},
			{event: "beyond", want: "4"},
			{event: "\x00odd", want: "\x00odd"},
		} {
			call, err := r.Ask(c.event, []byte("question"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := call.Answer()
			if string(got) != c.want {
				t.Errorf("%q: got %.60q of %d bytes, want %.60q", c.event, got, len(got), c.want)
			}
			var e *session.Error
			switch {
			case c.err == nil:
				if err != nil {
					t.Errorf("%q: %v", c.event, err)
				}
			case !errors.As(err, &e) || e.Category != c.err.Category || e.Code != c.err.Code || !strings.Contains(e.Msg, c.text):
				t.Errorf("%q: got %v, want [%d,%d] with %q", c.event, err, c.err.Category, c.err.Code, c.text)
			}
		}
		if n := w.Stats().Served; n != 11 {
			t.Errorf("served %d sessions", n)
		}
	})
}

// TestLateClient: the worker has ended, the client has not, and goes on.
func TestLateClient(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		r, w := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{}, handlers())
		var calls []*workertest.Call
		for _, event := range []string{"early", "fail", "panic", "nobody", "nothing"} {
			c, err := r.Invoke(event, workertest.InvokeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, c)
		}
		for _, c := range calls {
			_, _ = c.Answer() // to the end, whichever
		}
		for i, c := range calls {
			err := errors.Join(c.Write(bytes.Repeat([]byte("x"), 100<<10)), c.Write(nil))
			if i%2 == 0 {
				err = errors.Join(err, c.Close())
			} else {
				err = errors.Join(err, c.Fail(42, 1, "changed my mind"))
			}
			if err != nil {
				t.Error(err)
			}
		}
		if got, err := ask(r, "echo", "still here"); got != "still here" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if n := w.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

func ask(r *workertest.Runtime, event, question string) (string, error) {
	c, err := r.Ask(event, []byte(question))
	if err != nil {
		return "", err
	}
	p, err := c.Answer()
	return string(p), err
}

// TestOurBeats: the first heartbeat is there at once, the others each interval, and
// a runtime that answers none is left.
func TestOurBeats(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		first, _ := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{HeartbeatInterval: time.Hour, DisownTimeout: 2 * time.Hour}, nil)
		if err := first.AwaitBeats(1); err != nil {
			t.Fatal(err)
		}
		disowned := make(chan struct{}, 9)
		r, w := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{
			HeartbeatInterval: 5 * time.Millisecond, DisownTimeout: 600 * time.Millisecond, OnDisown: func() { disowned <- struct{}{} },
		}, nil)
		if err := r.AwaitBeats(10); err != nil {
			t.Fatal(err)
		}
		r.Mute(true)
		<-w.Done()
		if err := w.Err(); !errors.Is(err, worker.ErrDisowned) {
			t.Errorf("got %v, want ErrDisowned", err)
		}
		<-disowned
		if err := r.Gone(); err != nil {
			t.Error(err)
		}
		_ = w.Close()
		if len(disowned) > 0 {
			t.Error("told twice")
		}
	})
}

// TestOurLeaving: the runtime's terminate is answered with its own words behind the
// last answer, and the worker's own leaving is announced.
func TestOurLeaving(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		for _, how := range []string{"terminated", "abnormally", "shutdown", "terminates"} {
			begun, release := make(chan struct{}), make(chan struct{})
			hs := handlers()
			hs["hold"] = func(_ context.Context, s *session.Session) {
				close(begun)
				<-release
				_, _ = s.Write([]byte("at last"))
			}
			r, w := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{}, hs)
			c, err := r.Ask("hold", []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			<-begun
			want := workertest.Terminate{Code: 1, Reason: "slave is idle"}
			switch how {
			case "terminated":
				err = r.Terminate(1, "slave is idle")
				close(release)
			case "abnormally": // in v0 code 2 from a worker puts the whole app aside
				err = r.Terminate(2, "slave is idle")
				if v == workertest.Runtime012 {
					want.Code = 2
				}
				close(release)
			case "shutdown":
				want = workertest.Terminate{Code: map[bool]int64{true: 1}[v == workertest.Runtime011], Reason: "shutdown"}
				close(release)
				err = w.Shutdown(context.Background())
			case "terminates":
				want = workertest.Terminate{Code: 1, Reason: "enough"}
				close(release)
				if p, e := c.Answer(); string(p) != "at last" || e != nil {
					t.Errorf("%s: got %q, %v", how, p, e)
				}
				err = w.Terminate(1, "enough")
			}
			if err != nil {
				t.Errorf("%s: %v", how, err)
			}
			if how != "terminates" {
				if p, err := c.Answer(); string(p) != "at last" || err != nil {
					t.Errorf("%s: got %q, %v", how, p, err)
				}
			}
			if err := r.Gone(); err != nil {
				t.Errorf("%s: %v", how, err)
			}
			<-w.Done()
			if err := w.Err(); err != nil || w.State() != worker.StateTerminated {
				t.Errorf("%s: the worker is %s, %v", how, w.State(), err)
			}
			if got := r.Terminates(); !slices.Equal(got, []workertest.Terminate{want}) {
				t.Errorf("%s: got %v, want %v once", how, got, want)
			}
		}
	})
}

// TestOurTrace: headers and the trace reach the handler's context in 0.12, and 0.11
// has none.
func TestOurTrace(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		r, _ := begin(t, v, workertest.RuntimeOptions{Network: network}, worker.Options{}, handlers())
		c, err := r.Invoke("trace", workertest.InvokeOptions{
			Trace:   session.Trace{TraceID: 1 << 60, SpanID: 2, ParentID: 3},
			Headers: []codec.Header{{Name: []byte("authorization"), Value: []byte("Bearer x")}}, Last: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "{TraceID:1152921504606846976 SpanID:2 ParentID:3} 4"
		if v == workertest.Runtime011 {
			want = "{TraceID:0 SpanID:0 ParentID:0} 0"
		}
		if got, err := c.Answer(); string(got) != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	})
}

// TestOurWorkerAtRandom: many sessions at once, each going its own way by a seed,
// with neither end waiting for the other. No rule is broken, and every session ends.
func TestOurWorkerAtRandom(t *testing.T) {
	everywhere(t, func(t *testing.T, v workertest.Version, network string) {
		for seed := range uint64(4) {
			r, w := begin(t, v, workertest.RuntimeOptions{Network: network, Gap: seed % 3}, worker.Options{HeartbeatInterval: time.Millisecond}, handlers())
			events := []string{"echo", "echo", "panic", "fail", "half", "early", "nothing", "big", "empty", "nobody", "beyond"}
			var wg sync.WaitGroup
			for k := range uint64(8) {
				rnd := rand.New(rand.NewPCG(seed, k))
				wg.Go(func() {
					for range 12 {
						wander(t, r, rnd, events[rnd.IntN(len(events))])
					}
				})
			}
			wg.Wait()
			if err := r.Terminate(1, "done"); err != nil {
				t.Error(err)
			}
			if err := r.Gone(); err != nil {
				t.Error(err)
			}
			<-w.Done()
			if err := w.Err(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	})
}

// wander is one session that does what comes to its mind.
func wander(t *testing.T, r *workertest.Runtime, rnd *rand.Rand, event string) {
	o := workertest.InvokeOptions{Last: rnd.IntN(4) == 0}
	if rnd.IntN(2) == 0 {
		o.First = make([]byte, rnd.IntN(70000))
	}
	c, err := r.Invoke(event, o)
	if err != nil {
		t.Error(err)
		return
	}
	sent := len(o.First)
	failed := false
	for open := !o.Last; open; {
		switch rnd.IntN(5) {
		case 0:
			err, open = c.Close(), false
		case 1:
			err, open, failed = c.Fail(42, 5, "enough"), false, true
		default:
			n := rnd.IntN(1000)
			sent += n
			err = c.Write(make([]byte, n))
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
	got, err := c.Answer()
	var e *session.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("%s: %v", event, err)
	}
	if event == "echo" && !failed && (err != nil || len(got) != sent) {
		t.Errorf("echo: got %d bytes of %d, %v", len(got), sent, err)
	}
}

// A worker of one's own, held to the real runtime's rules.
func ExampleRuntime() {
	var t testing.TB = example{} // the test's own
	r := workertest.NewRuntime(t, workertest.Runtime012, workertest.RuntimeOptions{Network: workertest.Memory})
	w, err := worker.New(worker.Options{Launch: r.Launch(), Dial: r.Dial, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("shout", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		p, _ := io.ReadAll(s)
		_ = s.Finish(bytes.ToUpper(p))
	}))
	if err := w.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	c, err := r.Ask("shout", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Answer()
	fmt.Printf("%s %v\n", answer, err)

	_ = r.Terminate(11, "overseer is shutting down")
	_ = r.Gone()
	fmt.Println(r.Terminates(), r.Violations())
	_ = w.Close()
	r.Close()

	// Output:
	// HELLO <nil>
	// [{11 overseer is shutting down}] []
}

// example is a test where there is none.
type example struct{ testing.TB }

func (example) Helper()                   {}
func (example) Cleanup(func())            {}
func (example) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (example) Errorf(f string, a ...any) { fmt.Printf(f+"\n", a...) }
