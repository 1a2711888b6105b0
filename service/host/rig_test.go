//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// newLoop gives a loop that runs until the test's end.
func newLoop(t testing.TB) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Options{LingerTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }() // ends when the loop is closed below
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return l
}

// A rig is an app with one worker, in this process: its channel is real, and lives
// on the cloud's loop.
type rig struct {
	t    testing.TB
	loop *loop.Loop // of the cloud and of the engine's side
	mux  *session.Mux
	end  *session.Mux // the worker's

	mu      sync.Mutex
	fail    error // of OpenOn
	queue   bool  // nobody is free
	waiting []func()
	served  sync.WaitGroup
	gone    chan string // what ended handlers
	seen    []string    // headers of invokes
}

type workerKind struct {
	name    string
	dialect heddle.Dialect
	heddle  bool
}

// workerKinds are those that an app may have.
var workerKinds = []workerKind{{"worker of v0", heddle.V0, false}, {"worker of v1", heddle.V1, false}, {"worker of Heddle's", heddle.V1, true}}

func newRig(t testing.TB, k workerKind) *rig {
	t.Helper()
	r := &rig{t: t, loop: newLoop(t), gone: make(chan string, 4096)}
	accepted := make(chan *session.Mux, 1)
	path := filepath.Join(t.TempDir(), "w")
	o := session.ChannelOptions{Dialect: k.dialect, Heddle: k.heddle}
	ln, err := r.loop.Listen("unix", path, func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, session.Options{ChannelOptions: o, Buffer: DefaultBlob})
		accepted <- m
		return m
	}, loop.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	other := newLoop(t)
	dialed := make(chan *session.Mux, 1)
	_, err = other.Dial("unix", path, func(c *loop.Conn) loop.Handler {
		o := o
		o.Dialed = true
		m := session.NewMux(c, session.Options{ChannelOptions: o, Buffer: 16 << 20, Accept: func(s *session.Session) error {
			r.served.Go(func() { r.serve(s) }) // ends with its session
			return nil
		}})
		dialed <- m
		return m
	}, loop.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.mux, r.end = <-accepted, <-dialed
	t.Cleanup(func() {
		r.end.Abort(nil)
		r.served.Wait()
	})
	return r
}

// OpenOn: see Opener.
func (r *rig) OpenOn(i int, o session.OpenOptions, later func(*session.Session, error)) (*session.Session, func() bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case i != 0:
		return nil, nil, fmt.Errorf("loop %d", i)
	case r.fail != nil:
		return nil, nil, r.fail
	case !r.queue:
		s, err := r.mux.Open(o)
		return s, nil, err
	}
	canceled := false
	r.waiting = append(r.waiting, func() {
		if !canceled {
			later(r.mux.Open(o))
		}
	})
	return nil, func() bool {
		was := canceled
		canceled = true
		return !was
	}, nil
}

// free lets those go who wait.
func (r *rig) free() {
	done := make(chan struct{})
	_ = r.loop.Do(func() {
		r.mu.Lock()
		waiting := r.waiting
		r.waiting, r.queue = nil, false
		r.mu.Unlock()
		for _, f := range waiting {
			f()
		}
		close(done)
	})
	<-done
}

func (r *rig) setQueue(queue bool, fail error) {
	r.mu.Lock()
	r.queue, r.fail = queue, fail
	r.mu.Unlock()
}

// serve is what the worker does with its events.
func (r *rig) serve(s *session.Session) {
	defer s.Discard()
	defer s.Close() // whatever was said, as package worker does
	event, arg, _ := strings.Cut(s.Event(), " ")
	r.mu.Lock()
	for _, h := range s.Headers() {
		r.seen = append(r.seen, fmt.Sprintf("%s=%x", h.Name, h.Value))
	}
	r.mu.Unlock()
	err := r.answer(s, event, arg)
	r.gone <- fmt.Sprintf("%s: %v", event, err)
}

func (r *rig) answer(s *session.Session, event, arg string) error {
	switch event {
	case "echo": // every chunk, as it comes
		for {
			m, err := s.Recv()
			if err == io.EOF {
				return s.Close()
			}
			if err != nil {
				s.Abort(err)
				return err
			}
			if len(m.Data) <= session.MaxChunk/2 || !s.Mux().Heddle() {
				err = s.WriteChunk(m.Data)
			} else { // which no window may hold as one
				_, err = s.Write(m.Data)
			}
			if err != nil {
				return err
			}
		}
	case "stream": // of chunks that nobody need take
		s.Discard()
		for i := range 1 << 20 {
			if err := s.WriteChunk([]byte(fmt.Sprintf("%08d%s", i, strings.Repeat("x", 8<<10)))); err != nil {
				return err
			}
			if arg == fmt.Sprint(i) {
				return s.Close()
			}
		}
	case "deaf": // hears nothing, until it is told to
		for range time.Tick(time.Millisecond) {
			if !r.queued() {
				break
			}
		}
		n := 0
		for {
			m, err := s.Recv()
			if err != nil {
				break
			}
			n += len(m.Data)
		}
		return s.Finish([]byte(fmt.Sprint(n)))
	case "wait": // for the caller's end
		<-s.Context().Done()
		return s.Cause()
	case "fail":
		s.Abort(&session.Error{Category: 42, Code: 77, Msg: "boom"})
		return nil
	case "none":
		s.Abort(&session.Error{Category: heddle.CategoryFramework, Code: heddle.CodeNoHandler, Msg: "no handler"})
		return nil
	case "die":
		r.end.Abort(errors.New("dead"))
		return nil
	case "http":
		return s.Finish([]byte("head"), []byte("one"), []byte("two"))
	}
	return s.Close()
}

func (r *rig) queued() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queue
}

// app serves the rig as an app.
func (r *rig) app(o Options) *Cloud {
	r.t.Helper()
	o.Loops = []*loop.Loop{r.loop}
	if o.Locator == "" {
		o.Locator = "127.0.0.1:0"
	}
	c, err := Start(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = c.Close(ctx) // it may be the test that has closed it
	})
	if err := c.AddApp(App{Name: "app", Opener: r, HTTP: "http"}); err != nil {
		r.t.Fatal(err)
	}
	return c
}
