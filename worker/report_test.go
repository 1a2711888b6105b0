package worker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// TestManualOnline: Connect returns when the engine has welcomed the worker,
// which warms up for longer than any time-out, and online is said once.
func TestManualOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		wo, d := noted(worker.Options{
			ManualOnline: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		e, w := play(t, workertest.Options{Channels: 2}, wo)
		begin := time.Now()
		connect(t, w)
		if took := time.Since(begin); took != 0 {
			t.Errorf("Connect took %v", took)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if w.State() != worker.StateGreeted || e.Seen().Online != 0 || d.String() != "" {
			t.Fatalf("before the program's word: %s (%v), online %d times, events %q", w.State(), w.Err(), e.Seen().Online, d)
		}
		if err := w.ReportOnline(); err != nil || w.State() != worker.StateConnected {
			t.Errorf("got %v, %s", err, w.State())
		}
		if got, err := ask(t, e, "echo", "x"); got != "x" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if strings.Contains(log.String(), "reported before") {
			t.Errorf("log has %q", &log)
		}

		// Again is harmless, and a line for whoever looks for it (N3).
		if err := w.ReportOnline(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if e.Seen().Online != 1 || d.String() != "connect" || w.State() != worker.StateConnected {
			t.Errorf("online %d times, events %q, %s", e.Seen().Online, d, w.State())
		}
		if !strings.Contains(log.String(), "online was reported before") {
			t.Errorf("log has %q", &log)
		}

		_ = w.Close()
		if err := w.ReportOnline(); err != worker.ErrClosed {
			t.Errorf("after the end: got %v, want ErrClosed", err)
		}

		// The program's word counts for the next life too.
		connect(t, w)
		synctest.Wait()
		if e.Seen().Online != 2 || w.State() != worker.StateConnected {
			t.Errorf("again: online %d times, %s", e.Seen().Online, w.State())
		}
	})
}

// TestReportOnlineEarly: the word is kept until it can be said, under either
// kind of engine.
func TestReportOnlineEarly(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		e, w := play(t, o, worker.Options{ManualOnline: true})
		if err := w.ReportOnline(); err != nil {
			t.Errorf("before Connect: got %v", err)
		}
		connect(t, w)
		if w.State() != worker.StateConnected {
			t.Errorf("got %s", w.State())
		}
		synctest.Wait()
		if got, want := e.Seen().Online, 1; !o.Plain && got != want {
			t.Errorf("online was said %d times, want %d", got, want)
		}
	})
}

// TestReportOnlineWhileConnecting: likewise, with a channel still to come.
func TestReportOnlineWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{Channels: 2, NoWelcome: true}, worker.Options{ManualOnline: true})
		connected := make(chan error, 1)
		go func() { connected <- w.Connect(context.Background()) }()
		for i := range 2 {
			synctest.Wait()
			if err := w.ReportOnline(); err != nil || w.State() != worker.StateConnecting || e.Seen().Online != 0 {
				t.Errorf("got %v, %s, online %d times", err, w.State(), e.Seen().Online)
			}
			if err := e.Send(i, e.Welcome(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-connected; err != nil || w.State() != worker.StateConnected {
			t.Errorf("got %v, %s", err, w.State())
		}
		synctest.Wait()
		if e.Seen().Online != 1 {
			t.Errorf("online was said %d times", e.Seen().Online)
		}
	})
}

// TestReportOnlineRace: many speak while the worker connects; the engine hears
// it once.
func TestReportOnlineRace(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			e, w := play(t, workertest.Options{Channels: 2}, worker.Options{ManualOnline: true})
			var all sync.WaitGroup
			all.Go(func() { connect(t, w) })
			for range 4 {
				all.Go(func() {
					if err := w.ReportOnline(); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			if e.Seen().Online != 1 || w.State() != worker.StateConnected {
				t.Fatalf("online was said %d times, %s", e.Seen().Online, w.State())
			}
		})
	}
}

// TestReportOnlineTooLate: a worker that goes does not come.
func TestReportOnlineTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{ManualOnline: true, NoSignals: true})
		e, w := play(t, workertest.Options{KeepOpen: true}, wo)
		connect(t, w)
		e.Terminate(1, "too slow")
		synctest.Wait()
		if err := w.ReportOnline(); err != worker.ErrClosed {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		outcome(t, w, d, worker.StateTerminated, "terminate 1 too slow", nil)
		if e.Seen().Online != 0 {
			t.Error("said online")
		}
	})
}

// TestGreetedEnds: a worker that warms up ends as others do.
func TestGreetedEnds(t *testing.T) {
	for _, c := range []struct {
		name          string
		end           func(e *workertest.Engine, w *worker.Worker)
		state, events string
		err           error
		said          []workertest.Terminate
	}{
		{"drained", func(e *workertest.Engine, _ *worker.Worker) { e.Drain(time.Second) }, worker.StateTerminated, "drain 1s", nil, nil},
		{"terminated", func(e *workertest.Engine, _ *worker.Worker) { e.Terminate(1, "x") }, worker.StateTerminated, "terminate 1 x", nil, []workertest.Terminate{{Code: 1, Reason: "x"}}},
		{"by itself", func(_ *workertest.Engine, w *worker.Worker) { _ = w.Terminate(3, "x") }, worker.StateTerminated, "", nil, []workertest.Terminate{{Code: 3, Reason: "x"}}},
		{"shut down", func(_ *workertest.Engine, w *worker.Worker) { _ = w.Shutdown(context.Background()) }, worker.StateTerminated, "", nil, []workertest.Terminate{{Code: 0, Reason: "shutdown"}}},
		{"lost", func(e *workertest.Engine, _ *worker.Worker) { e.Mux(1).Abort(nil) }, worker.StateLost, "error", worker.ErrLost, nil},
		{"disowned", func(e *workertest.Engine, _ *worker.Worker) { e.Mute(true); time.Sleep(time.Minute) }, worker.StateDisowned, "disown", worker.ErrDisowned, nil},
		{"closed", func(_ *workertest.Engine, w *worker.Worker) { _ = w.Close() }, worker.StateClosed, "", worker.ErrClosed, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(worker.Options{ManualOnline: true})
				e, w := play(t, workertest.Options{Channels: 2}, wo)
				connect(t, w)
				draining := w.Draining()
				c.end(e, w)
				outcome(t, w, d, c.state, c.events, c.err)
				if seen := e.Seen(); seen.Online != 0 || !slices.Equal(seen.Terminates, c.said) || len(seen.Leaving) != 0 {
					t.Errorf("the engine has seen %+v", seen)
				}
				if !isClosed(draining) {
					t.Error("Draining is not closed")
				}
			})
		})
	}
}

// TestRunManualOnline: the end of Run's context does not wait for the warm-up,
// nor for the engine.
func TestRunManualOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := play(t, workertest.Options{}, worker.Options{ManualOnline: true, NoSignals: true})
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		begin := time.Now()
		if err := w.Run(ctx); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if e.Seen().Online != 0 {
			t.Error("said online")
		}
	})
}

// TestShutdownWhileConnectingManual: the wish to leave comes first.
func TestShutdownWhileConnectingManual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{ManualOnline: true})
		e, w := play(t, workertest.Options{NoWelcome: true}, wo)
		results := make(chan error, 2)
		go func() { results <- w.Connect(context.Background()) }()
		synctest.Wait()
		go func() { results <- w.Shutdown(context.Background()) }()
		synctest.Wait()
		if err := e.Send(0, e.Welcome(0)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		outcome(t, w, d, worker.StateTerminated, "", nil)
	})
}

// TestReportBroken: whenever it is said, the engine hears it once, and one that
// was not online will not be (N13).
func TestReportBroken(t *testing.T) {
	for _, c := range []struct {
		name   string
		manual bool
		when   func(t *testing.T, w *worker.Worker, say func())
		state  string
	}{
		{"before Connect", false, func(t *testing.T, w *worker.Worker, say func()) { say(); connect(t, w) }, worker.StateGreeted},
		{"while it connects", false, func(t *testing.T, w *worker.Worker, say func()) {
			connected := make(chan struct{})
			go func() { defer close(connected); connect(t, w) }()
			say()
			<-connected
		}, ""},
		{"before online", true, func(t *testing.T, w *worker.Worker, say func()) { connect(t, w); say() }, worker.StateGreeted},
		{"before online, which was reported", true, func(t *testing.T, w *worker.Worker, say func()) { _ = w.ReportOnline(); say(); connect(t, w) }, worker.StateGreeted},
		{"online", false, func(t *testing.T, w *worker.Worker, say func()) { connect(t, w); say() }, worker.StateConnected},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, w := play(t, workertest.Options{Channels: 2}, worker.Options{ManualOnline: c.manual})
				c.when(t, w, func() {
					if err := w.ReportBroken("leaks"); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				if err := errors.Join(w.ReportBroken("leaks more"), w.ReportOnline()); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				seen := e.Seen()
				if !slices.Equal(seen.Broken, []string{"leaks"}) || c.state != "" && w.State() != c.state {
					t.Errorf("got %q, %s", seen.Broken, w.State())
				}
				if online := w.State() == worker.StateConnected; online != (seen.Online == 1) {
					t.Errorf("online was said %d times, and the worker is %s", seen.Online, w.State())
				}
				if w.State() == worker.StateConnected { // it serves on
					if got, err := ask(t, e, "echo", "x"); got != "x" || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
				}
				_ = w.Close()
				if err := w.ReportBroken("leaks"); err != worker.ErrClosed {
					t.Errorf("after the end: got %v, want ErrClosed", err)
				}
			})
		})
	}
}

// TestReportBrokenPlain: a Cocaine runtime has no word for it.
func TestReportBrokenPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w := play(t, workertest.Options{Plain: true, Dialect: heddle.V1}, worker.Options{})
		connect(t, w)
		if err := w.ReportBroken("leaks"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
}
