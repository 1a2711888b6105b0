package session_test

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// BenchmarkCall is one session from invoke to choke, 128 bytes each way, both
// ends in this process: over the in-memory pipe and over a unix socket with a
// loop for each end, with 1 and 64 in flight, and with the asking side
// blocking (goroutines) or on the loop (callbacks).
func BenchmarkCall(b *testing.B) {
	for _, flight := range []int{1, 64} {
		b.Run(fmt.Sprintf("pipe/inflight=%d", flight), func(b *testing.B) {
			x, y := sessiontest.Pipe(b)
			ask, ans := benchMuxes(x, y)
			x.Start(ask)
			y.Start(ans)
			benchCalls(b, ask, flight)
		})
		b.Run(fmt.Sprintf("unix/inflight=%d", flight), func(b *testing.B) {
			benchCalls(b, benchSocket(b), flight)
		})
		b.Run(fmt.Sprintf("unix-loop/inflight=%d", flight), func(b *testing.B) {
			benchLoopCalls(b, benchSocket(b), flight)
		})
	}
}

func benchOptions() session.Options {
	return session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}}
}

// answerer answers on the loop: it takes the first chunk for the request.
type answerer struct{}

func (answerer) OnMessage(s *session.Session, m session.Message) { s.Finish(m.Data) }
func (answerer) OnWritable(*session.Session)                     {}
func (answerer) OnEnd(*session.Session, error)                   {}

func benchMuxes(x, y session.Link) (ask, ans *session.Mux) {
	o := benchOptions()
	ask = session.NewMux(x, o)
	o.Dialed = true
	o.Accept = func(s *session.Session) error { s.SetHandler(answerer{}); return nil }
	return ask, session.NewMux(y, o)
}

func benchSocket(b *testing.B) *session.Mux {
	la, lb := startLoop(b), startLoop(b)
	path := b.TempDir() + "/s"
	made := make(chan *session.Mux, 1)
	_, err := la.Listen("unix", path, func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, benchOptions())
		made <- m
		return m
	}, loop.ListenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := lb.Dial("unix", path, func(c *loop.Conn) loop.Handler {
		o := benchOptions()
		o.Dialed = true
		o.Accept = func(s *session.Session) error { s.SetHandler(answerer{}); return nil }
		return session.NewMux(c, o)
	}, loop.DialOptions{}); err != nil {
		b.Fatal(err)
	}
	return <-made
}

func benchCalls(b *testing.B, m *session.Mux, flight int) {
	body := make([]byte, 128)
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range flight {
		wg.Add(1)
		go func() { // ends after b.N calls in all
			defer wg.Done()
			for next.Add(1) <= int64(b.N) {
				s, err := m.Open(session.OpenOptions{Event: "e", First: body, Last: true})
				if err != nil {
					b.Error(err)
					return
				}
				if msg, err := s.Recv(); err != nil || len(msg.Data) != 128 {
					b.Errorf("%d bytes, %v", len(msg.Data), err)
				}
				if _, err := s.Recv(); err != io.EOF {
					b.Error(err)
				}
				s.Discard()
			}
		}()
	}
	wg.Wait()
}

// asker keeps a number of calls in flight, all on the loop.
type asker struct {
	b       *testing.B
	m       *session.Mux
	body    []byte
	left    int
	pending int
	done    chan struct{}
}

func (a *asker) OnMessage(*session.Session, session.Message) {}
func (a *asker) OnWritable(*session.Session)                 {}
func (a *asker) OnEnd(*session.Session, error)               { a.pending--; a.open() }

func (a *asker) open() {
	if a.left == 0 {
		if a.pending == 0 {
			close(a.done)
		}
		return
	}
	a.left--
	a.pending++
	if _, err := a.m.Open(session.OpenOptions{Event: "e", First: a.body, Last: true, Handler: a}); err != nil {
		a.b.Error(err)
	}
}

func benchLoopCalls(b *testing.B, m *session.Mux, flight int) {
	b.ReportAllocs()
	a := &asker{b: b, m: m, body: make([]byte, 128), left: b.N, done: make(chan struct{})}
	b.ResetTimer()
	m.Link().Do(func() {
		for range min(flight, b.N) {
			a.open()
		}
	})
	<-a.done
}
