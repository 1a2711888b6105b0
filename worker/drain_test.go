package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

func TestDrain(t *testing.T) {
	for _, channels := range []int{1, 3} {
		t.Run(fmt.Sprint(channels), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(worker.Options{})
				e, w := play(t, workertest.Options{Channels: channels, Window: 8 << 10}, wo)
				h := hold(w)
				w.Handle("large", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
					_, _ = s.Write(make([]byte, 1<<20)) // more than credit allows: it waits for the reader
				}))
				connect(t, w)
				s, large := open(t, e, "hold", "x", true), open(t, e, "large", "x", true)
				synctest.Wait()
				for i := range channels {
					e.DrainChannel(i, time.Minute)
					synctest.Wait()
				}
				if w.State() != worker.StateDraining || e.Seen().HalfClosed != 0 {
					t.Fatalf("with sessions open: %s", w.State())
				}
				if _, err := e.Open(context.Background(), session.OpenOptions{Event: "echo"}); !errors.Is(err, session.ErrDraining) {
					t.Errorf("a new session: got %v", err)
				}
				if got, err := answer(t, large); len(got) != 1<<20 || err != nil {
					t.Errorf("a large answer begun before: got %d bytes, %v", len(got), err)
				}
				close(h.release)
				if got, err := answer(t, s); got != "done" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				outcome(t, w, d, worker.StateTerminated, "connect\ndrain 1m0s", nil)
				if seen := e.Seen(); seen.HalfClosed != channels || len(seen.Terminates) != 0 || slices.ContainsFunc(seen.Closed, func(err error) bool { return err != nil }) {
					t.Errorf("got %+v, want every channel half-closed by the worker", seen)
				}
			})
		})
	}
}

// TestDrainOneLoop: a worker that one loop has drained serves the others.
func TestDrainOneLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{Channels: 2}, wo)
		connect(t, w)
		e.DrainChannel(0, 0)
		synctest.Wait()
		s, err := e.Mux(1).Open(session.OpenOptions{Event: "echo", First: []byte("x"), Last: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := answer(t, s); got != "x" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		e.DrainChannel(1, 0)
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
	})
}

// TestDrainWaitsForHandlers: what a handler does after its answer counts too.
func TestDrainWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{}, wo)
		w.Handle("after", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
			_ = s.Finish([]byte("x"))
			time.Sleep(time.Second)
		}))
		connect(t, w)
		if _, err := ask(t, e, "after", "x"); err != nil {
			t.Fatal(err)
		}
		e.Drain(0)
		synctest.Wait()
		if w.State() != worker.StateDraining {
			t.Fatalf("while the handler runs: %s", w.State())
		}
		time.Sleep(time.Second)
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
	})
}

func TestDrainDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{}, wo)
		hold(w)
		connect(t, w)
		s := open(t, e, "hold", "x", true)
		answered := open(t, e, "echo", "mine", false)
		e.Drain(20 * time.Second)
		time.Sleep(20 * time.Second)
		outcome(t, w, d, worker.StateLost, "connect\ndrain 20s\nerror", worker.ErrDeadline)
		if _, err := answer(t, s); !errors.Is(err, session.ErrLost) {
			t.Errorf("the session that did not end: got %v, want ErrLost", err)
		}
		if got, err := answer(t, answered); got != "mine" || err != nil {
			t.Errorf("the one that did: got %q, %v", got, err)
		}
	})
}

// TestFarewell: an engine that never closes is not waited for for ever.
func TestFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{KeepOpen: true}, wo)
		connect(t, w)
		e.Drain(0)
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		select {
		case <-w.Done():
			t.Error("done before the engine has had its time")
		default:
		}
		time.Sleep(time.Nanosecond)
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{}, wo)
		if err := w.Shutdown(context.Background()); err != nil {
			t.Errorf("of a closed worker: %v", err)
		}
		connect(t, w)
		result := make(chan error, 1)
		go func() { result <- w.Shutdown(context.Background()) }()
		time.Sleep(time.Hour) // as long as the engine likes
		synctest.Wait()
		if w.State() != worker.StateLeaving || !slices.Equal(e.Seen().Leaving, []string{"shutdown"}) {
			t.Fatalf("got %s, leaving %q", w.State(), e.Seen().Leaving)
		}
		if got, err := ask(t, e, "echo", "still serving"); got != "still serving" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		e.Drain(0)
		if err := <-result; err != nil {
			t.Error(err)
		}
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
	})
}

func TestShutdownPlain(t *testing.T) {
	for _, p := range []heddle.Dialect{heddle.V0, heddle.V1} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(worker.Options{})
				e, w := play(t, workertest.Options{Plain: true, Dialect: p}, wo)
				h := hold(w)
				connect(t, w)
				s := open(t, e, "hold", "x", false)
				synctest.Wait()
				result := make(chan error, 1)
				go func() { result <- w.Shutdown(context.Background()) }()
				synctest.Wait()
				if got, err := ask(t, e, "echo", "late"); got != "late" || err != nil {
					t.Errorf("a session that comes meanwhile: got %q, %v", got, err)
				}
				close(h.release)
				if got, err := answer(t, s); got != "done" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				if err := <-result; err != nil {
					t.Error(err)
				}
				outcome(t, w, d, worker.StateTerminated, "connect", nil)
				want := workertest.Terminate{Code: 1, Reason: "shutdown"}
				if p == heddle.V1 {
					want.Code = 0
				}
				if got := e.Seen().Terminates; !slices.Equal(got, []workertest.Terminate{want}) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

func TestShutdownDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		_, w := play(t, workertest.Options{}, wo)
		connect(t, w)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := w.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, worker.ErrDeadline) {
			t.Errorf("got %v", err)
		}
		outcome(t, w, d, worker.StateLost, "connect\nerror", worker.ErrDeadline)
	})
}

// TestDrainWaitsForTheAsker: a session is over when both sides have ended it,
// not when our answer is on its way.
func TestDrainWaitsForTheAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{}, wo)
		h := hold(w)
		connect(t, w)
		s := open(t, e, "hold", "x", true)
		e.Drain(0)
		synctest.Wait()
		engine := e.Mux(0).Link().(*sessiontest.End)
		engine.Stall(true)
		close(h.release)
		if got, err := answer(t, s); got != "done" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		synctest.Wait()
		if w.State() != worker.StateDraining || w.Stats().Running != 0 {
			t.Errorf("before the asker has ended too: %s", w.State())
		}
		engine.Stall(false)
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
	})
}

// TestInvokeAfterFarewell: what comes after we have said the last word is
// refused.
func TestInvokeAfterFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{KeepOpen: true}, wo)
		connect(t, w)
		e.Drain(0)
		synctest.Wait()
		if err := e.Send(0, codec.AppendInvoke(nil, heddle.V1, 100, "echo", -1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
		if st := w.Stats(); st.Refused != 1 || st.Served != 0 {
			t.Errorf("got %+v, want one session refused", st)
		}
	})
}
