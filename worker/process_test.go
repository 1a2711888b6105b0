package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// launchedBy makes this process, until the test is over, one that e has started.
// The Worker that it returns is the process's own.
func launchedBy(t *testing.T, e *workertest.Engine) func(o worker.Options) *worker.Worker {
	t.Helper()
	restore := worker.SetLaunched(e.Launch())
	t.Cleanup(restore)
	return func(o worker.Options) *worker.Worker {
		o.Dial, o.Logger = e.Dial, slog.New(slog.DiscardHandler)
		w, err := worker.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = w.Close()
			_ = e.Close()
		})
		return w
	}
}

// TestStandalone: in a program that was started by hand nothing is held and
// nobody listens.
func TestStandalone(t *testing.T) {
	worker.ManualOnline()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if worker.Suspended() || !isClosed(worker.Resumed()) || worker.AwaitResume(ended) != nil || worker.Index() != 0 || isClosed(worker.Draining()) {
		t.Errorf("got suspended %v, index %d", worker.Suspended(), worker.Index())
	}
	for range 2 {
		if err := worker.ReportOnline(); err != nil {
			t.Errorf("ReportOnline: %v", err)
		}
		if err := worker.ReportBroken("x"); err != worker.ErrNotLaunched {
			t.Errorf("ReportBroken: %v", err)
		}
	}
}

// TestProcess: a program's life, from the first line of its main on.
func TestProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := workertest.New(workertest.Options{Channels: 2, Suspended: true, Standby: true})
		own := launchedBy(t, e)
		if !worker.Suspended() || isClosed(worker.Resumed()) || worker.Index() != -1 {
			t.Errorf("before New: suspended %v, index %d", worker.Suspended(), worker.Index())
		}
		worker.ManualOnline()
		background := make(chan int, 1)
		go func() { // ends when the engine resumes the worker
			if err := worker.AwaitResume(context.Background()); err != nil {
				t.Error(err)
			}
			background <- worker.Index()
		}()
		stream := make(chan struct{})
		draining := worker.Draining()
		go func() { // ends when the engine drains the worker
			<-draining
			close(stream)
		}()

		w := own(worker.Options{NoSignals: true})
		result := make(chan error, 1)
		go func() { result <- w.Run(context.Background()) }()
		time.Sleep(time.Minute) // it warms up
		synctest.Wait()
		if w.State() != worker.StateGreeted || e.Seen().Online != 0 {
			t.Errorf("got %s, online %d times", w.State(), e.Seen().Online)
		}
		if err := worker.ReportOnline(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if w.State() != worker.StateConnected || e.Seen().Online != 1 || len(background) != 0 || !worker.Suspended() {
			t.Errorf("got %s, online %d times, suspended %v", w.State(), e.Seen().Online, worker.Suspended())
		}
		e.Promote(2)
		if index := <-background; index != 2 || worker.Suspended() {
			t.Errorf("got index %d, suspended %v", index, worker.Suspended())
		}
		if err := worker.ReportBroken("tired"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := e.Seen().Broken; !slices.Equal(got, []string{"tired"}) || isClosed(stream) {
			t.Errorf("got broken %q, stream told %v", got, isClosed(stream))
		}
		e.Drain(time.Minute)
		<-stream
		if err := <-result; err != nil {
			t.Error(err)
		}
		if err := worker.ReportOnline(); err != worker.ErrClosed {
			t.Errorf("after the end: got %v", err)
		}
		if err := worker.ReportBroken("x"); err != worker.ErrClosed {
			t.Errorf("after the end: got %v", err)
		}
	})
}

// TestProcessReportsEarly: what main says before it serves is said when it does.
func TestProcessReportsEarly(t *testing.T) {
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := workertest.New(workertest.Options{})
			own := launchedBy(t, e)
			worker.ManualOnline()
			if err := worker.ReportOnline(); err != nil {
				t.Error(err)
			}
			if broken {
				if err := worker.ReportBroken("no disk"); err != nil {
					t.Error(err)
				}
			}
			_ = own(worker.Options{}) // made and never connected: nobody to report to
			connect(t, own(worker.Options{}))
			synctest.Wait()
			seen := e.Seen()
			if broken != (seen.Online == 0) || broken != slices.Equal(seen.Broken, []string{"no disk"}) {
				t.Errorf("broken %v: online %d times, broken %q", broken, seen.Online, seen.Broken)
			}
		})
	}
}

// TestProcessRace: reports from goroutines that main has started, while it
// begins to serve.
func TestProcessRace(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			e := workertest.New(workertest.Options{Suspended: true})
			own := launchedBy(t, e)
			worker.ManualOnline()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if err := worker.ReportOnline(); err != nil {
						t.Error(err)
					}
					if err := worker.AwaitResume(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			connect(t, own(worker.Options{}))
			synctest.Wait()
			if e.Seen().Online != 1 {
				t.Fatalf("online was said %d times", e.Seen().Online)
			}
			e.Resume()
			all.Wait()
		})
	}
}

// TestProcessOtherWorker: a Worker with a launch of its own is another matter.
func TestProcessOtherWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		launchedBy(t, workertest.New(workertest.Options{Suspended: true, Standby: true}))
		worker.ManualOnline()
		e, w := play(t, workertest.Options{}, worker.Options{})
		connect(t, w)
		if w.State() != worker.StateConnected || w.Suspended() || w.Index() != 0 {
			t.Errorf("got %s, suspended %v, index %d", w.State(), w.Suspended(), w.Index())
		}
		if err := worker.ReportBroken("x"); err != nil {
			t.Error(err)
		}
		e.Promote(5)
		e.Drain(0)
		<-w.Done()
		if worker.Index() != -1 || !worker.Suspended() || isClosed(worker.Draining()) || len(e.Seen().Broken) != 0 {
			t.Errorf("the process's own: index %d, suspended %v, draining %v", worker.Index(), worker.Suspended(), isClosed(worker.Draining()))
		}
	})
}

// TestProcessCocaine: under a Cocaine runtime nothing is suspended, and broken
// cannot be said.
func TestProcessCocaine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := workertest.New(workertest.Options{Plain: true})
		own := launchedBy(t, e)
		if worker.Suspended() || worker.Index() != 0 {
			t.Errorf("got suspended %v, index %d", worker.Suspended(), worker.Index())
		}
		if err := worker.ReportBroken("x"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
		connect(t, own(worker.Options{}))
		if err := worker.ReportOnline(); err != nil {
			t.Error(err)
		}
	})
}
