package worker_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// isClosed looks at a channel without waiting.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestSuspend: the engine's words, on every channel, as the worker tells them.
func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: 2}, worker.Options{})
		if w.Suspended() || !isClosed(w.Resumed()) {
			t.Error("suspended before Connect")
		}
		connect(t, w)
		for range 3 {
			e.Suspend()
			synctest.Wait()
			first := w.Resumed()
			if !w.Suspended() || isClosed(first) {
				t.Error("not suspended")
			}
			e.Suspend() // again is nothing new
			synctest.Wait()
			if w.Resumed() != first {
				t.Error("a second suspend made a second channel")
			}
			e.Resume()
			synctest.Wait()
			if w.Suspended() || !isClosed(first) || !isClosed(w.Resumed()) {
				t.Error("not resumed")
			}
		}
		e.Resume() // of a worker that is not suspended
		synctest.Wait()
		if w.Suspended() || w.Index() != 0 || w.State() != worker.StateConnected {
			t.Errorf("got suspended %v, index %d, %s", w.Suspended(), w.Index(), w.State())
		}
	})
}

// TestSuspendedByOneChannel: the loops of an engine do not speak at once; work is
// held until all have.
func TestSuspendedByOneChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: 3, Suspended: true}, worker.Options{})
		if !w.Suspended() {
			t.Error("launched suspended, and not so before Connect")
		}
		connect(t, w)
		for _, i := range []int{2, 0, 1} {
			if !w.Suspended() {
				t.Errorf("resumed before channel %d was", i)
			}
			if err := e.Send(i, codec.AppendResume(nil, -1)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if w.Suspended() {
			t.Error("suspended although every channel is resumed")
		}
		if err := e.Send(1, codec.AppendControl(nil, heddle.CtlSuspend)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !w.Suspended() {
			t.Error("one channel is suspended, the worker is not")
		}
	})
}

// TestSuspendedUntilWelcomed: a worker that was launched suspended, and resumed
// while it started, is held until every channel has said so.
func TestSuspendedUntilWelcomed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := workertest.New(workertest.Options{Channels: 2, NoWelcome: true})
		launch := e.Launch()
		launch.Suspended = true
		_, w := play(t, workertest.Options{}, worker.Options{Launch: launch, Dial: e.Dial})
		defer func() { _ = w.Close(); _ = e.Close() }()
		connected := make(chan error, 1)
		go func() { connected <- w.Connect(context.Background()) }()
		for i := range 2 {
			synctest.Wait()
			if !w.Suspended() {
				t.Errorf("resumed before channel %d was welcomed", i)
			}
			if err := e.Send(i, e.Welcome(i)); err != nil { // which says: not suspended
				t.Fatal(err)
			}
		}
		if err := <-connected; err != nil {
			t.Fatal(err)
		}
		if w.Suspended() {
			t.Error("suspended although no channel is")
		}
	})
}

// TestResumeIndex: what resume may carry, byte for byte.
func TestResumeIndex(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []byte
		index int // afterwards; the worker is a standby
		lost  bool
	}{
		{"none", []byte{0x90}, -1, false},
		{"first", []byte{0x91, 0}, 0, false},
		{"third", []byte{0x91, 2}, 2, false},
		{"two bytes", []byte{0x91, 0xcd, 0x01, 0x2c}, 300, false},
		{"largest", []byte{0x91, 0xce, 0x7f, 0xff, 0xff, 0xff}, math.MaxInt32, false},
		{"absent in so many words", []byte{0x91, 0xff}, -1, false},
		{"and something newer", []byte{0x92, 5, 0xa1, 'x'}, 5, false},
		{"below none", []byte{0x91, 0xfe}, -1, true},
		{"too large", []byte{0x91, 0xce, 0x80, 0, 0, 0}, -1, true},
		{"larger than a number", []byte{0x91, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1, true},
		{"a word", []byte{0x91, 0xa1, 'x'}, -1, true},
		{"nil", []byte{0x91, 0xc0}, -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, w := play(t, workertest.Options{Suspended: true, Standby: true}, worker.Options{})
				connect(t, w)
				if w.Index() != -1 || w.Launch().Index != -1 {
					t.Errorf("a standby has index %d, launched with %d", w.Index(), w.Launch().Index)
				}
				if err := e.Send(0, codec.AppendExtension(nil, heddle.ControlChannel, heddle.CtlResume, c.args)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if w.Index() != c.index || w.Suspended() != c.lost {
					t.Errorf("got index %d, suspended %v; want %d, %v", w.Index(), w.Suspended(), c.index, c.lost)
				}
				if lost := errors.Is(w.Err(), worker.ErrProtocol); lost != c.lost {
					t.Errorf("got %v, want the end of the worker: %v", w.Err(), c.lost)
				}
			})
		})
	}
}

// TestPromote: whoever was let go by a promotion sees the new index.
func TestPromote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: 3, Suspended: true, Standby: true}, worker.Options{})
		connect(t, w)
		got := make(chan int, 1)
		go func() { // ends with the promotion
			<-w.Resumed()
			got <- w.Index()
		}()
		synctest.Wait()
		e.Promote(7)
		if index := <-got; index != 7 {
			t.Errorf("resumed as worker %d, want 7", index)
		}
		e.Suspend()
		e.Resume() // says nothing of an index
		synctest.Wait()
		if w.Index() != 7 {
			t.Errorf("got %d, want the index to stay", w.Index())
		}
	})
}

func TestAwaitResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Suspended: true}, worker.Options{})
		connect(t, w)

		// The context's end ends the wait, with its cause.
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, why)
		defer cancel()
		begin := time.Now()
		if err := w.AwaitResume(ctx); !errors.Is(err, why) || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}

		// Many wait, and all are let go.
		const n = 100
		results := make(chan error, n)
		for range n {
			go func() { results <- w.AwaitResume(context.Background()) }() // ends with Resume
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(results) != 0 {
			t.Errorf("%d did not wait", len(results))
		}
		e.Resume()
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}

		// Nothing is held: a context that has ended holds nobody up either.
		if err := w.AwaitResume(ctx); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// TestAwaitResumeRace: suspensions that come and go from all channels at once
// neither lose whoever waits nor end open.
func TestAwaitResumeRace(t *testing.T) {
	const channels, rounds = 3, 200
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: channels}, worker.Options{})
		connect(t, w)
		ctx, cancel := context.WithCancel(context.Background())
		var waiting, speaking sync.WaitGroup
		for range 4 {
			waiting.Go(func() {
				for ctx.Err() == nil {
					if err := w.AwaitResume(ctx); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					<-w.Resumed() // all channels end resumed
					time.Sleep(time.Microsecond)
				}
			})
		}
		for i := range channels {
			speaking.Go(func() {
				for k := range rounds {
					frame := codec.AppendControl(nil, heddle.CtlSuspend)
					if k%2 == 1 {
						frame = codec.AppendResume(nil, int64(k))
					}
					if err := e.Send(i, frame); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Microsecond)
				}
			})
		}
		speaking.Wait()
		synctest.Wait()
		if w.Suspended() || w.Index() != rounds-1 {
			t.Errorf("got suspended %v, index %d", w.Suspended(), w.Index())
		}
		cancel()
		waiting.Wait()
	})
}

// TestDrainWhileSuspended: what is held goes on being held, is released by a
// resume that still comes, and the worker leaves when it is done.
func TestDrainWhileSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: 2}, worker.Options{})
		w.Handle("work", worker.HandlerFunc(awaiting(w)))
		connect(t, w)
		e.Suspend()
		synctest.Wait()
		s := open(t, e, "work", "x", false)
		e.Drain(time.Minute)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if w.State() != worker.StateDraining || !w.Suspended() || !isClosed(w.Draining()) {
			t.Errorf("got %s, suspended %v", w.State(), w.Suspended())
		}
		e.Resume()
		if got, err := answer(t, s); got != "worked" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		<-w.Done()
		if w.Err() != nil {
			t.Error(w.Err())
		}
	})
}

// TestDrainDeadlineWhileSuspended: the engine's time-out ends what is held.
func TestDrainDeadlineWhileSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Suspended: true}, worker.Options{})
		result := make(chan error, 1)
		w.Handle("work", worker.HandlerFunc(func(ctx context.Context, _ *session.Session) { result <- w.AwaitResume(ctx) }))
		connect(t, w)
		open(t, e, "work", "x", true).Discard()
		synctest.Wait()
		begin := time.Now()
		e.Drain(time.Minute)
		if err := <-result; !errors.Is(err, context.Canceled) || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if <-w.Done(); !w.Suspended() {
			t.Error("resumed by its end")
		}
	})
}

// awaiting is a handler that works when it may.
func awaiting(w *worker.Worker) worker.HandlerFunc {
	return func(ctx context.Context, s *session.Session) {
		if w.AwaitResume(ctx) == nil {
			_ = s.Finish([]byte("worked"))
		}
	}
}

// TestDraining: the channel is closed by whatever keeps new work away, and by
// nothing else; a later life has a new one.
func TestDraining(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(e *workertest.Engine, w *worker.Worker)
	}{
		{"drained", func(e *workertest.Engine, _ *worker.Worker) { e.Drain(0) }},
		{"terminated", func(e *workertest.Engine, _ *worker.Worker) { e.Terminate(1, "enough") }},
		{"by itself", func(_ *workertest.Engine, w *worker.Worker) { _ = w.Terminate(0, "enough") }},
		{"lost", func(e *workertest.Engine, _ *worker.Worker) { e.Mux(0).Abort(nil) }},
		{"disowned", func(e *workertest.Engine, _ *worker.Worker) { e.Mute(true); time.Sleep(time.Minute) }},
		{"closed", func(_ *workertest.Engine, w *worker.Worker) { _ = w.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, w := play(t, workertest.Options{}, worker.Options{})
				h := hold(w)
				draining := w.Draining()
				connect(t, w)
				open(t, e, "hold", "x", true).Discard()
				synctest.Wait()
				if isClosed(draining) || w.Draining() != draining {
					t.Error("closed, or another, by Connect")
				}
				c.end(e, w)
				synctest.Wait()
				if !isClosed(draining) {
					t.Error("not closed")
				}
				close(h.release)
				_ = w.Close()
				if !isClosed(w.Draining()) {
					t.Error("open after the worker's end")
				}
				connect(t, w)
				if isClosed(w.Draining()) {
					t.Error("closed in the next life")
				}
			})
		})
	}
}

// TestDrainingConnectFails: whoever waits is not told the end of what never was.
func TestDrainingConnectFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w := play(t, workertest.Options{NoWelcome: true}, worker.Options{})
		if err := w.Connect(context.Background()); err == nil {
			t.Error("connected without a welcome")
		}
		if isClosed(w.Draining()) {
			t.Error("draining although it never was online")
		}
	})
}
