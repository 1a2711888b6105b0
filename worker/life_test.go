package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// noted are options whose every event is written into a diary.
func noted(o worker.Options) (worker.Options, *diary) {
	d := &diary{}
	o.OnConnect = func() { d.note("connect") }
	o.OnError = func(err error) { d.note("error") }
	o.OnTerminate = func(code int64, reason string) { d.note(fmt.Sprintf("terminate %d %s", code, reason)) }
	o.OnDisown = func() { d.note("disown") }
	o.OnDrain = func(deadline time.Duration) { d.note(fmt.Sprintf("drain %v", deadline)) }
	return o, d
}

// held is a handler that keeps its session until told, or until the session's
// context ends, and says so.
type held struct {
	release chan struct{}
	causes  chan error
}

func hold(w *worker.Worker) *held {
	h := &held{make(chan struct{}), make(chan error, 16)}
	w.Handle("hold", worker.HandlerFunc(func(ctx context.Context, s *session.Session) {
		select {
		case <-h.release:
			_, _ = s.Write([]byte("done"))
		case <-ctx.Done():
			h.causes <- s.Cause()
		}
	}))
	return h
}

// outcome is what a life has come to, after now.
func outcome(t *testing.T, w *worker.Worker, d *diary, state, events string, err error) {
	t.Helper()
	synctest.Wait()
	select {
	case <-w.Done():
	default:
		t.Errorf("worker is not done; it is %s", w.State())
	}
	if got := w.State(); got != state {
		t.Errorf("got state %s, want %s", got, state)
	}
	if got := d.String(); got != events {
		t.Errorf("got events %q, want %q", got, events)
	}
	if got := w.Err(); !errors.Is(got, err) || err == nil && got != nil {
		t.Errorf("got error %v, want %v", got, err)
	}
}

func TestHeartbeat(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		e, w := play(t, o, worker.Options{})
		connect(t, w)
		synctest.Wait()
		for k := 1; k <= 20; k++ { // beyond the time that a silent engine has
			for i, n := range e.Seen().Beats {
				if n != k {
					t.Errorf("after %d s: got %d heartbeats on channel %d, want %d", (k-1)*5, n, i, k)
				}
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		if st := w.Stats(); st.State != worker.StateConnected || st.Answers != st.Beats {
			t.Errorf("got %+v", st)
		}
	})
}

func TestDisowned(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		wo, d := noted(worker.Options{})
		e, w := play(t, o, wo)
		h := hold(w)
		connect(t, w)
		open(t, e, "hold", "x", true).Discard()
		time.Sleep(12 * time.Second) // answered at 10 s
		e.Mute(true)
		time.Sleep(27 * time.Second)
		synctest.Wait()
		if w.State() != worker.StateConnected {
			t.Fatalf("29 s after the last answer: %s", w.State())
		}
		time.Sleep(time.Second)
		outcome(t, w, d, worker.StateDisowned, "connect\ndisown", worker.ErrDisowned)
		if cause := <-h.causes; !errors.Is(cause, session.ErrLost) || !errors.Is(cause, worker.ErrDisowned) {
			t.Errorf("context ended with %v", cause)
		}
	})
}

// TestOneSilentLoop: an engine one of whose loops hangs has disowned us too.
func TestOneSilentLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{DisownTimeout: 10 * time.Second})
		e, w := play(t, workertest.Options{Channels: 3}, wo)
		connect(t, w)
		stop := make(chan struct{})
		_ = e.Mux(2).Link().Do(func() { <-stop })
		time.Sleep(10*time.Second + time.Millisecond)
		outcome(t, w, d, worker.StateDisowned, "connect\ndisown", worker.ErrDisowned)
		close(stop)
	})
}

// TestStoodStill: a worker that was stopped for longer than the engine has to
// answer first hears what the engine said meanwhile.
func TestStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e := workertest.New(workertest.Options{})
		var link session.Link
		wo.Launch = e.Launch()
		wo.Dial = func(endpoint string, h func(session.Link) loop.Handler) error {
			return e.Dial(endpoint, func(l session.Link) loop.Handler { link = l; return h(l) })
		}
		_, w := play(t, workertest.Options{}, wo)
		connect(t, w)
		still := func(d time.Duration) { // as SIGSTOP does: the loop's goroutine rests and time goes on
			_ = link.Do(func() { time.Sleep(d) })
			time.Sleep(d + time.Second)
			synctest.Wait()
		}
		still(100 * time.Second)
		if w.State() != worker.StateConnected {
			t.Fatalf("after standing still: %s (%v)", w.State(), w.Err())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.State() != worker.StateConnected || d.String() != "connect" {
			t.Fatalf("a minute later: %s, events %q", w.State(), d)
		}
	})
}

func TestTerminatedByEngine(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		wo, d := noted(worker.Options{})
		e, w := play(t, o, wo)
		h := hold(w)
		connect(t, w)
		s := open(t, e, "hold", "x", false)
		synctest.Wait()
		e.Terminate(11, "shutting down")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if w.State() != worker.StateTerminating || len(e.Seen().Terminates) != 0 {
			t.Fatalf("with a session open: %s, answers %v", w.State(), e.Seen().Terminates)
		}
		e.Terminate(11, "shutting down") // again: nothing new
		close(h.release)
		if got, err := answer(t, s); got != "done" || err != nil {
			t.Errorf("the last answer: got %q, %v", got, err)
		}
		outcome(t, w, d, worker.StateTerminated, "connect\nterminate 11 shutting down", nil)
		if got := e.Seen().Terminates; !slices.Equal(got, []workertest.Terminate{{Code: 11, Reason: "shutting down"}}) {
			t.Errorf("got answers %v, want the engine's words once", got)
		}
	})
}

// TestTerminateDeadline: the answer comes although a handler does not end.
func TestTerminateDeadline(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		wo, d := noted(worker.Options{TerminateTimeout: 3 * time.Second})
		e, w := play(t, o, wo)
		h := hold(w)
		connect(t, w)
		s := open(t, e, "hold", "x", true)
		synctest.Wait()
		e.Terminate(1, "idle")
		time.Sleep(3*time.Second - 1)
		synctest.Wait()
		if w.State() != worker.StateTerminating {
			t.Fatalf("before the deadline: %s", w.State())
		}
		time.Sleep(time.Nanosecond)
		outcome(t, w, d, worker.StateLost, "connect\nterminate 1 idle\nerror", worker.ErrDeadline)
		if got := len(e.Seen().Terminates); got != 1 {
			t.Errorf("got %d terminates, want the echo", got)
		}
		if _, err := answer(t, s); !errors.Is(err, session.ErrLost) {
			t.Errorf("the session: got %v, want ErrLost", err)
		}
		if cause := <-h.causes; !errors.Is(cause, session.ErrLost) {
			t.Errorf("context ended with %v", cause)
		}
	})
}

func TestTerminateOurselves(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		wo, d := noted(worker.Options{})
		e, w := play(t, o, wo)
		if err := w.Terminate(2, "no"); err != worker.ErrClosed {
			t.Errorf("before Connect: got %v, want ErrClosed", err)
		}
		connect(t, w)
		if err := w.Terminate(2, "cannot import"); err != nil {
			t.Fatal(err)
		}
		outcome(t, w, d, worker.StateTerminated, "connect", nil)
		if got := e.Seen().Terminates; !slices.Equal(got, []workertest.Terminate{{Code: 2, Reason: "cannot import"}}) {
			t.Errorf("got %v", got)
		}
		if err := w.Terminate(2, "again"); err != worker.ErrClosed {
			t.Errorf("again: got %v, want ErrClosed", err)
		}
	})
}

// TestLost: the engine is gone from one moment to the next.
func TestLost(t *testing.T) {
	ends := map[string]func(e *workertest.Engine){
		"killed": func(e *workertest.Engine) { _ = e.Mux(0).Link().Do(func() { e.Mux(0).Abort(nil) }) },
		"closed": func(e *workertest.Engine) { e.Mux(0).Close(nil) },
		"half":   func(e *workertest.Engine) { e.Mux(0).Link().CloseWrite() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, o workertest.Options) {
				wo, d := noted(worker.Options{})
				e, w := play(t, o, wo)
				h := hold(w)
				connect(t, w)
				open(t, e, "hold", "x", true).Discard()
				synctest.Wait()
				end(e)
				outcome(t, w, d, worker.StateLost, "connect\nerror", worker.ErrLost)
				if !errors.Is(w.Err(), io.EOF) {
					t.Errorf("got %v, want end of file", w.Err())
				}
				if cause := <-h.causes; !errors.Is(cause, session.ErrLost) {
					t.Errorf("context ended with %v", cause)
				}
				<-e.Gone() // every channel, not only the one that broke
			})
		})
	}
}

// TestRun: the end of the context asks to be drained, and is not waited for
// longer than ShutdownTimeout.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, drained := range []bool{true, false} {
			e, w := play(t, workertest.Options{}, worker.Options{NoSignals: true})
			ctx, cancel := context.WithCancel(context.Background())
			result := make(chan error, 1)
			go func() { result <- w.Run(ctx) }()
			<-e.Online()
			cancel()
			time.Sleep(30*time.Second - 1)
			synctest.Wait()
			if w.State() != worker.StateLeaving {
				t.Fatalf("got %s", w.State())
			}
			if drained {
				e.Drain(0)
				if err := <-result; err != nil {
					t.Errorf("got %v after an orderly end", err)
				}
			} else {
				time.Sleep(time.Nanosecond)
				if err := <-result; err != worker.ErrDeadline {
					t.Errorf("got %v, want ErrDeadline", err)
				}
			}
			if w.State() != worker.StateClosed {
				t.Errorf("after Run: %s", w.State())
			}
		}
	})
}

// TestRunWaitsForHandlers: a lost engine does not cut off handlers that heed
// their context, and no handler keeps Run for ever.
func TestRunWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tidy := range []time.Duration{time.Second, time.Hour} {
			e, w := play(t, workertest.Options{}, worker.Options{NoSignals: true})
			w.Handle("tidy", worker.HandlerFunc(func(ctx context.Context, _ *session.Session) {
				<-ctx.Done()
				time.Sleep(tidy)
			}))
			result := make(chan error, 1)
			go func() { result <- w.Run(context.Background()) }()
			open(t, e, "tidy", "x", true).Discard()
			synctest.Wait()
			begin := time.Now()
			e.Mux(0).Abort(nil)
			if err := <-result; !errors.Is(err, worker.ErrLost) {
				t.Errorf("got %v, want ErrLost", err)
			}
			if got, want := time.Since(begin), min(tidy, 4*time.Second); got != want {
				t.Errorf("Run returned after %v, want %v", got, want)
			}
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestRunTells: Run returns what Connect says, and not before the callbacks
// have returned.
func TestRunTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		slow := func(what string) { time.Sleep(time.Second); d.note(what) }
		e, w := play(t, workertest.Options{}, worker.Options{
			NoSignals: true, OnDrain: func(time.Duration) { slow("drain") }, OnConnect: func() { slow("connect") },
		})
		result := make(chan error, 1)
		go func() { result <- w.Run(context.Background()) }()
		<-e.Online()
		e.Drain(0)
		if err := <-result; err != nil || d.String() != "connect\ndrain" {
			t.Errorf("got %v, told %q; want connect and drain", err, &d)
		}

		_, w = play(t, workertest.Options{NoWelcome: true}, worker.Options{NoSignals: true})
		if err := w.Run(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSuspendAndBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: 2}, worker.Options{})
		connect(t, w)
		for _, want := range []bool{true, false} {
			if want {
				e.Suspend()
			} else {
				e.Resume()
			}
			synctest.Wait()
			if got := w.Suspended(); got != want {
				t.Errorf("got suspended %v, want %v", got, want)
			}
		}
		if err := w.ReportBroken("leaks"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := e.Seen().Broken; !slices.Equal(got, []string{"leaks"}) || w.State() != worker.StateConnected {
			t.Errorf("got %q, %s", got, w.State())
		}
	})
}
