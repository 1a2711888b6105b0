package session_test

import (
	"fmt"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// BenchmarkServiceCall is one call and its value, 128 bytes each way, over a
// unix socket with a loop for each end: the asking side blocking (goroutines)
// or on the loop (callbacks), the answering one on the loop.
func BenchmarkServiceCall(b *testing.B) {
	args := codec.AppendRaw([]byte{0x91}, make([]byte, 125))
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, flight := range []int{1, 64} {
			b.Run(fmt.Sprintf("%v/unix/inflight=%d", d, flight), func(b *testing.B) {
				m := benchService(b, d)
				b.ReportAllocs()
				b.SetParallelism(max(1, flight/4))
				if flight == 1 {
					for range b.N {
						benchValue(b, m, args)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						benchValue(b, m, args)
					}
				})
			})
			b.Run(fmt.Sprintf("%v/unix-loop/inflight=%d", d, flight), func(b *testing.B) {
				m := benchService(b, d)
				b.ReportAllocs()
				c := &benchCaller{b: b, m: m, args: args, left: b.N, done: make(chan struct{})}
				b.ResetTimer()
				m.Link().Do(func() {
					for range min(flight, b.N) {
						c.call()
					}
				})
				<-c.done
			})
		}
	}
}

func benchValue(b *testing.B, m *session.Mux, args []byte) {
	s, err := m.Open(session.OpenOptions{Method: methods["get"], First: args})
	if err != nil {
		b.Error(err)
		return
	}
	if msg, err := s.Recv(); err != nil || len(msg.Data) < 125 {
		b.Errorf("%d bytes, %v", len(msg.Data), err)
	}
	s.Discard()
}

// benchCaller keeps a number of calls in flight, all on the loop.
type benchCaller struct {
	b             *testing.B
	m             *session.Mux
	args          []byte
	left, pending int
	done          chan struct{}
}

func (c *benchCaller) OnMessage(*session.Session, session.Message) {}
func (c *benchCaller) OnWritable(*session.Session)                 {}
func (c *benchCaller) OnEnd(s *session.Session, err error) {
	if err != nil {
		c.b.Error(err)
	}
	s.Release()
	c.pending--
	c.call()
}

func (c *benchCaller) call() {
	if c.left == 0 {
		if c.pending == 0 {
			close(c.done)
		}
		return
	}
	c.left--
	c.pending++
	if _, err := c.m.Open(session.OpenOptions{Method: methods["get"], First: c.args, Handler: c}); err != nil {
		c.b.Error(err)
	}
}

// valuer answers with the arguments of the call.
type valuer struct{}

func (valuer) OnMessage(*session.Session, session.Message) {}
func (valuer) OnWritable(*session.Session)                 {}
func (valuer) OnEnd(s *session.Session, _ error) {
	_ = s.Say(0, s.Args())
	s.Release()
}

// benchService is the asking end of a Service channel whose other answers.
func benchService(b *testing.B, d heddle.Dialect) *session.Mux {
	la, lb := startLoop(b), startLoop(b)
	path := b.TempDir() + "/s"
	options := func(dialed bool) session.Options {
		return session.Options{ChannelOptions: session.ChannelOptions{Dialect: d, Service: true, Dialed: dialed}}
	}
	_, err := la.Listen("unix", path, func(c *loop.Conn) loop.Handler {
		o := options(false)
		o.Methods = methodOf
		o.Accept = func(s *session.Session) error { s.SetHandler(valuer{}); return nil }
		return session.NewMux(c, o)
	}, loop.ListenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	made := make(chan *session.Mux, 1)
	if _, err := lb.Dial("unix", path, func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, options(true))
		made <- m
		return m
	}, loop.DialOptions{}); err != nil {
		b.Fatal(err)
	}
	return <-made
}
