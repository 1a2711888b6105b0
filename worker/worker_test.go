package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// peers are all the engines that a worker may have.
var peers = []struct {
	name string
	o    workertest.Options
}{
	{"heddle", workertest.Options{}},
	{"heddle, three loops", workertest.Options{Channels: 3}},
	{"plain v0", workertest.Options{Plain: true, Dialect: heddle.V0}},
	{"plain v1", workertest.Options{Plain: true, Dialect: heddle.V1}},
}

// each runs a test in a bubble of its own for each of the peers.
func each(t *testing.T, test func(t *testing.T, o workertest.Options)) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, p.o) })
		})
	}
}

func TestServe(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		e, w := play(t, o, worker.Options{Version: "test 1"})
		connect(t, w)
		for range 10 {
			if got, err := ask(t, e, "echo", "hello"); got != "hello" || err != nil {
				t.Fatalf("got %q, %v; want hello", got, err)
			}
			synctest.Wait() // the goroutine parks
		}
		synctest.Wait()
		seen := e.Seen()
		channels := max(o.Channels, 1)
		if len(seen.Handshakes) != channels {
			t.Fatalf("got %d handshakes, want %d", len(seen.Handshakes), channels)
		}
		slices.SortFunc(seen.Handshakes, func(a, b workertest.Handshake) int { return a.Channel - b.Channel }) // channels have no order
		for i, h := range seen.Handshakes {
			if h.UUID != workertest.UUID || h.Offered == o.Plain {
				t.Errorf("handshake %d: got %+v", i, h)
			}
			if !o.Plain && (h.Channel != i || h.Version != "test 1" || h.Frame != 16<<20 || len(h.Features) != 7) {
				t.Errorf("offer %d: got %+v", i, h)
			}
		}
		if want := map[bool]int{true: 0, false: 1}[o.Plain]; seen.Online != want {
			t.Errorf("got %d online messages, want %d", seen.Online, want)
		}
		st := w.Stats()
		if st.State != worker.StateConnected || st.Served != 10 || st.Channels != channels || st.Sessions != 0 || st.Running != 0 {
			t.Errorf("stats: got %+v", st)
		}
		if st.Goroutines != 1 || st.Parked != 1 {
			t.Errorf("ten sessions one after the other: got %d goroutines made and %d parked, want 1 and 1", st.Goroutines, st.Parked)
		}
	})
}

func TestNobodyHandles(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		e, w := play(t, o, worker.Options{})
		connect(t, w)
		_, err := ask(t, e, "unknown", "x")
		want := session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler}
		if o.Plain && o.Dialect == heddle.V0 {
			want = session.Error{Code: heddle.CodeV0NoHandler}
		}
		wantError(t, err, want, `"unknown"`)
		if n := w.Stats().Unhandled; n != 1 {
			t.Errorf("got %d unhandled, want 1", n)
		}

		w.HandleFallback(worker.HandlerFunc(func(_ context.Context, s *session.Session) { _, _ = s.Write([]byte(s.Event())) }))
		if got, err := ask(t, e, "unknown", "x"); got != "unknown" || err != nil {
			t.Errorf("fallback: got %q, %v", got, err)
		}
		if got, err := ask(t, e, "echo", "x"); got != "x" || err != nil {
			t.Errorf("beside a fallback: got %q, %v", got, err)
		}
		w.HandleFallback(nil)
		w.Handle("echo", nil)
		if _, err := ask(t, e, "echo", "x"); err == nil {
			t.Error("a handler that was taken away answers")
		}
	})
}

func wantError(t *testing.T, err error, want session.Error, text string) {
	t.Helper()
	var got *session.Error
	if !errors.As(err, &got) || got.Category != want.Category || got.Code != want.Code || !got.Remote || !strings.Contains(got.Msg, text) {
		t.Errorf("got error %v, want the peer's [%d,%d] with %q", err, want.Category, want.Code, text)
	}
}

func TestPanic(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		log := &strings.Builder{}
		e, w := play(t, o, worker.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
		w.Handle("panic", worker.HandlerFunc(func(context.Context, *session.Session) { panic("out of cheese") }))
		w.Handle("exit", worker.HandlerFunc(func(context.Context, *session.Session) { runtime.Goexit() }))
		w.Handle("late", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			_ = s.Finish([]byte("all"))
			panic("after the end")
		}))
		connect(t, w)
		want := session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeException}
		if o.Plain && o.Dialect == heddle.V0 {
			want = session.Error{Code: heddle.CodeV0Invocation}
		}
		_, err := ask(t, e, "panic", "x")
		wantError(t, err, want, "out of cheese")
		_, err = ask(t, e, "exit", "x")
		wantError(t, err, want, "ended its goroutine")
		if got, err := ask(t, e, "late", "x"); got != "all" || err != nil {
			t.Errorf("panic after the answer: got %q, %v", got, err)
		}
		if got, err := ask(t, e, "echo", "still here"); got != "still here" || err != nil {
			t.Errorf("after panics: got %q, %v", got, err)
		}
		synctest.Wait()
		if st := w.Stats(); st.Panics != 3 || st.Running != 0 {
			t.Errorf("stats: got %+v, want 3 panics and nothing running", st)
		}
		for _, want := range []string{"out of cheese", "TestPanic", "event=panic", "session="} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log lacks %q:\n%s", want, log)
			}
		}
	})
}

// TestMaxHandlers: sessions over the limit wait their turn, in order.
func TestMaxHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{}, worker.Options{MaxHandlers: 2})
		var order diary
		release := make(chan struct{})
		w.Handle("wait", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			m, _ := s.Recv()
			order.note(string(m.Data))
			<-release
			if string(m.Data) == "b" {
				runtime.Goexit() // whoever waits must get another goroutine
			}
		}))
		connect(t, w)
		var sessions []*session.Session
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			sessions = append(sessions, open(t, e, "wait", name, false))
			synctest.Wait()
		}
		if st := w.Stats(); st.Running != 2 || st.Waiting != 3 || order.String() != "a\nb" {
			t.Fatalf("got %d running, %d waiting, order %q; want 2, 3, a b", st.Running, st.Waiting, &order)
		}
		for range 5 {
			release <- struct{}{}
			synctest.Wait()
		}
		for i, s := range sessions {
			if _, err := answer(t, s); (err != nil) != (i == 1) {
				t.Errorf("session %d: got error %v; want one for b alone", i, err)
			}
		}
		if st := w.Stats(); st.Running != 0 || st.Waiting != 0 || order.String() != "a\nb\nc\nd\ne" {
			t.Errorf("got %d running, %d waiting, order %q; want 0, 0, a b c d e", st.Running, st.Waiting, &order)
		}
	})
}

// TestParked: goroutines stay for the next burst, up to a limit, and end when
// a burst is long over.
func TestParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{}, worker.Options{ParkedLimit: 4, ParkedTimeout: 10 * time.Second})
		release := make(chan struct{})
		w.Handle("wait", worker.HandlerFunc(func(context.Context, *session.Session) { <-release }))
		connect(t, w)
		for range 6 {
			open(t, e, "wait", "x", false).Discard()
		}
		synctest.Wait()
		for range 6 {
			release <- struct{}{}
		}
		synctest.Wait()
		if st := w.Stats(); st.Parked != 4 || st.Goroutines != 6 {
			t.Fatalf("got %d parked of %d, want 4 of 6", st.Parked, st.Goroutines)
		}
		for range 25 { // one at a time needs one goroutine
			time.Sleep(time.Second)
			if _, err := ask(t, e, "echo", "x"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if st := w.Stats(); st.Parked != 1 || st.Goroutines != 6 {
			t.Errorf("after 25 s of little work: got %d parked of %d, want 1 of 6", st.Parked, st.Goroutines)
		}
		time.Sleep(25 * time.Second)
		if st := w.Stats(); st.Parked != 0 {
			t.Errorf("after 25 s of no work: got %d parked, want 0", st.Parked)
		}
	})
}
