package worker_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

func TestConnect(t *testing.T) {
	each(t, func(t *testing.T, o workertest.Options) {
		wo, d := noted(worker.Options{})
		e, w := play(t, o, wo)
		connect(t, w)
		synctest.Wait() // until the engine has the handshake: a plain one answers nothing, and Close drops what is unsent
		if err := w.Connect(context.Background()); err != worker.ErrConnected {
			t.Errorf("twice: got %v, want ErrConnected", err)
		}
		if err := w.Listen(context.Background()); err != nil {
			t.Errorf("Listen of a connected worker: %v", err)
		}
		if err := w.Close(); err != nil || w.State() != worker.StateClosed || w.Err() != worker.ErrClosed {
			t.Errorf("close: %v, %s, %v", err, w.State(), w.Err())
		}
		<-w.Done()
		if err := w.Close(); err != nil {
			t.Errorf("twice: %v", err)
		}
		synctest.Wait()
		if d.String() != "connect" {
			t.Errorf("got events %q", d)
		}

		// A closed worker may begin another life.
		if err := w.Listen(context.Background()); err != nil {
			t.Fatalf("again: %v", err)
		}
		synctest.Wait()
		if n := len(e.Seen().Handshakes); n != 2*max(o.Channels, 1) || w.State() != worker.StateConnected {
			t.Errorf("got %d handshakes, state %s", n, w.State())
		}
	})
}

func TestConnectFails(t *testing.T) {
	refused := func(string, func(session.Link) loop.Handler) error { return syscall.ECONNREFUSED }
	for _, c := range []struct {
		name string
		eo   workertest.Options
		wo   worker.Options
		want error
		in   time.Duration
	}{
		{"refused", workertest.Options{}, worker.Options{Dial: refused}, syscall.ECONNREFUSED, 0},
		{"no welcome", workertest.Options{NoWelcome: true}, worker.Options{}, context.DeadlineExceeded, 10 * time.Second},
		{"unknown uuid", workertest.Options{}, worker.Options{Launch: &worker.Launch{
			Heddle: true, Dialect: heddle.V1, Endpoint: "unix:@workertest-0", UUID: "somebody else",
		}}, io.EOF, 0},
		{"cancelled", workertest.Options{NoWelcome: true}, worker.Options{ConnectTimeout: time.Hour}, context.Canceled, time.Minute},
		{"silent", workertest.Options{NoWelcome: true}, worker.Options{ConnectTimeout: time.Hour, HeartbeatInterval: time.Hour}, worker.ErrDisowned, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(c.wo)
				_, w := play(t, c.eo, wo)
				ctx, cancel := context.WithCancel(context.Background())
				defer time.AfterFunc(time.Minute, cancel).Stop()
				begin := time.Now()
				err := w.Connect(ctx)
				if !errors.Is(err, c.want) || time.Since(begin) != c.in {
					t.Errorf("got %v after %v, want %v after %v", err, time.Since(begin), c.want, c.in)
				}
				outcome(t, w, d, worker.StateClosed, "error", c.want)
			})
		})
	}
}

// TestConnectSecondLoopFails: without all its channels a worker is not online.
func TestConnectSecondLoopFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := workertest.New(workertest.Options{Channels: 2})
		wo, d := noted(worker.Options{Launch: e.Launch()})
		wo.Dial = func(endpoint string, h func(session.Link) loop.Handler) error {
			if endpoint != e.Launch().Endpoint {
				return syscall.ECONNREFUSED
			}
			return e.Dial(endpoint, h)
		}
		_, w := play(t, workertest.Options{}, wo)
		defer func() { _ = e.Close() }()
		if err := w.Connect(context.Background()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
		outcome(t, w, d, worker.StateClosed, "error", syscall.ECONNREFUSED)
		if e.Seen().Online != 0 {
			t.Error("said online")
		}
	})
}

// TestCloseWhileConnecting: Close ends a Connect that waits.
func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		_, w := play(t, workertest.Options{NoWelcome: true}, wo)
		result := make(chan error, 1)
		go func() { result <- w.Connect(context.Background()) }()
		synctest.Wait()
		_ = w.Close()
		if err := <-result; err != worker.ErrClosed {
			t.Errorf("got %v, want ErrClosed", err)
		}
		outcome(t, w, d, worker.StateClosed, "", worker.ErrClosed)
	})
}

// TestEarly: what the engine says before the worker is online counts.
func TestEarly(t *testing.T) {
	for _, c := range []struct {
		name   string
		say    func(e *workertest.Engine)
		events string
	}{
		{"drain", func(e *workertest.Engine) {
			_ = e.Send(0, append(e.Welcome(0), codec.AppendDrain(nil, 1000)...))
		}, "connect\ndrain 1s"},
		{"terminate", func(e *workertest.Engine) { e.Terminate(3, "changed my mind") }, "terminate 3 changed my mind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wo, d := noted(worker.Options{})
				e, w := play(t, workertest.Options{NoWelcome: true}, wo)
				result := make(chan error, 1)
				go func() { result <- w.Connect(context.Background()) }()
				synctest.Wait()
				c.say(e)
				if err := <-result; err != nil {
					t.Errorf("got %v", err)
				}
				outcome(t, w, d, worker.StateTerminated, c.events, nil)
			})
		})
	}
}

// TestShutdownWhileConnecting: the wish is kept until it can be said.
func TestShutdownWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		e, w := play(t, workertest.Options{NoWelcome: true}, wo)
		connected, left := make(chan error, 1), make(chan error, 1)
		go func() { connected <- w.Connect(context.Background()) }()
		synctest.Wait()
		go func() { left <- w.Shutdown(context.Background()) }()
		synctest.Wait()
		if w.State() != worker.StateConnecting {
			t.Errorf("got %s", w.State())
		}
		if err := e.Send(0, e.Welcome(0)); err != nil {
			t.Fatal(err)
		}
		if err := <-connected; err != nil {
			t.Errorf("connect: %v", err)
		}
		synctest.Wait()
		if got := e.Seen().Leaving; !slices.Equal(got, []string{"shutdown"}) {
			t.Errorf("got leaving %q", got)
		}
		e.Drain(0)
		if err := <-left; err != nil {
			t.Errorf("shutdown: %v", err)
		}
		outcome(t, w, d, worker.StateTerminated, "connect\ndrain 0s", nil)
	})
}

// TestCloseWhileDialling: a link that is made too late is dropped, and Close
// waits for that.
func TestCloseWhileDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := workertest.New(workertest.Options{})
		wo, d := noted(worker.Options{Launch: e.Launch()})
		var late func()
		wo.Dial = func(endpoint string, h func(session.Link) loop.Handler) error {
			late = func() { _ = e.Dial(endpoint, h) }
			return nil
		}
		_, w := play(t, workertest.Options{}, wo)
		results := make(chan error, 2)
		go func() { results <- w.Connect(context.Background()) }()
		synctest.Wait()
		go func() { results <- w.Close() }()
		synctest.Wait()
		select {
		case <-w.Done():
			t.Error("done although a link may still come")
		default:
		}
		late()
		for range 2 {
			if err := <-results; err != nil && err != worker.ErrClosed {
				t.Errorf("got %v", err)
			}
		}
		outcome(t, w, d, worker.StateClosed, "", worker.ErrClosed)
		if n := len(e.Seen().Handshakes); n != 0 {
			t.Errorf("got %d handshakes", n)
		}
		_ = e.Close()
	})
}

// TestShutdownGivesUpConnecting: a worker that may wait no longer for its
// welcome has failed to connect.
func TestShutdownGivesUpConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wo, d := noted(worker.Options{})
		_, w := play(t, workertest.Options{NoWelcome: true}, wo)
		connected := make(chan error, 1)
		go func() { connected <- w.Connect(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := w.Shutdown(ctx); !errors.Is(err, worker.ErrDeadline) {
			t.Errorf("shutdown: got %v", err)
		}
		if err := <-connected; !errors.Is(err, worker.ErrDeadline) {
			t.Errorf("connect: got %v", err)
		}
		outcome(t, w, d, worker.StateClosed, "error", worker.ErrDeadline)
	})
}

// Channels that are driven on goroutines of their own may be welcomed before the
// last one is dialled: only with all of them is the worker online.
func TestOnlineWithEveryChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e *workertest.Engine
		var w *worker.Worker
		var dialled atomic.Int32
		e, w = play(t, workertest.Options{Channels: 3}, worker.Options{Dial: func(endpoint string, h func(session.Link) loop.Handler) error {
			n := dialled.Add(1) // before the first one can be welcomed, on whose goroutine the others are dialled
			err := e.Dial(endpoint, h)
			if n == 2 {
				time.Sleep(time.Second) // both are welcomed, and the third is not dialled
				if s := w.State(); s != worker.StateConnecting {
					t.Errorf("%s before the last channel was dialled: %v", s, w.Err())
				}
			}
			return err
		}})
		connect(t, w)
		if n := len(e.Seen().Handshakes); n != 3 {
			t.Errorf("connected when %d of 3 channels had greeted", n)
		}
	})
}

// slowEnd is a channel whose end takes as long as it is held up.
type slowEnd struct {
	loop.Handler
	release <-chan struct{}
}

func (h slowEnd) OnClose(err error) {
	<-h.release
	h.Handler.OnClose(err)
}

// Whoever calls Close, and however many do: it returns when the channels are gone.
func TestCloseTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e *workertest.Engine
		release := make(chan struct{})
		e, w := play(t, workertest.Options{}, worker.Options{Dial: func(endpoint string, h func(session.Link) loop.Handler) error {
			return e.Dial(endpoint, func(link session.Link) loop.Handler { return slowEnd{h(link), release} })
		}})
		connect(t, w)
		done := w.Done()
		var returned atomic.Int32
		for range 2 {
			go func() { // ends when the channel is released
				_ = w.Close()
				returned.Add(1)
			}()
			synctest.Wait()
		}
		if n := returned.Load(); n != 0 {
			t.Errorf("%d calls of Close returned before the channel was gone", n)
		}
		close(release)
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("the worker's life goes on")
		}
		if n := returned.Load(); n != 2 {
			t.Errorf("%d calls of Close returned, want 2", n)
		}
	})
}
