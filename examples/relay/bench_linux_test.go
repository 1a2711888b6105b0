package main

import (
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A bench keeps calls in flight, each with an answer of two pieces, until so many have
// ended. It is the handler of both ends. Loop only until done.
type bench struct {
	mux   *session.Mux
	o     session.OpenOptions
	piece []byte
	left  int // calls to begin
	open  int
	done  chan struct{}
}

func (b *bench) begin() {
	if b.left--; b.left < 0 {
		return
	}
	b.open++
	_, _ = b.mux.Open(b.o) // fails if the relay has gone, and then nothing ends
}

func (b *bench) OnMessage(*session.Session, session.Message) {}
func (b *bench) OnWritable(*session.Session)                 {}
func (b *bench) OnEnd(s *session.Session, err error) {
	s.Release()
	if err != nil {
		return
	}
	b.open--
	if b.begin(); b.open == 0 {
		close(b.done)
	}
}

// answerer is the app.
type answerer struct{ piece []byte }

func (a *answerer) OnMessage(*session.Session, session.Message) {}
func (a *answerer) OnWritable(*session.Session)                 {}
func (a *answerer) OnEnd(s *session.Session, _ error) {
	_ = s.WriteChunk(a.piece) // errors: nobody is there
	_ = s.WriteChunk(a.piece)
	_ = s.Close()
	s.Release()
}

// runLoop runs a loop on a thread of its own.
func runLoop(tb testing.TB) *loop.Loop {
	l, err := loop.New(loop.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() { // ends when the loop is closed
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = l.Run()
	})
	tb.Cleanup(func() { _ = l.Close(); ran.Wait() })
	return l
}

// threadTime is the user and system time of a loop's thread.
func threadTime(tb testing.TB, l *loop.Loop) time.Duration {
	const rusageThread = 1 // getrusage(2), RUSAGE_THREAD
	told := make(chan time.Duration, 1)
	if err := l.Do(func() {
		var u syscall.Rusage
		_ = syscall.Getrusage(rusageThread, &u)
		told <- time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}); err != nil {
		tb.Fatal(err)
	}
	return <-told
}

// BenchmarkRelay is a call with one piece of 128 bytes, and an answer of two, through
// the relay over unix sockets; client, relay and app have a thread each. relay-µs/call
// is the user and system time of the relay's.
func BenchmarkRelay(b *testing.B) {
	for _, d := range []heddle.Dialect{heddle.V0, heddle.V1} {
		for _, flight := range []int{1, 64} {
			b.Run(d.String()+"/flight="+map[int]string{1: "1", 64: "64"}[flight], func(b *testing.B) { relayed(b, d, flight) })
		}
	}
}

func relayed(b *testing.B, d heddle.Dialect, flight int) {
	dir := b.TempDir()
	m := enqueue[d]
	o := session.Options{ChannelOptions: session.ChannelOptions{Service: true, Dialect: d}}
	o.Methods = func(uint64) *session.Method { return m }
	app := &answerer{piece: make([]byte, 128)}
	o.Accept = func(s *session.Session) error { s.SetHandler(app); return nil }
	if _, err := runLoop(b).Listen("unix", filepath.Join(dir, "app"), func(c *loop.Conn) loop.Handler { return session.NewMux(c, o) }, loop.ListenOptions{}); err != nil {
		b.Fatal(err)
	}
	l := runLoop(b)
	if _, err := newRelay("unix:"+filepath.Join(dir, "app"), slog.New(slog.NewTextHandler(io.Discard, nil))).listen(l, "unix:"+filepath.Join(dir, "relay")); err != nil {
		b.Fatal(err)
	}
	asker := runLoop(b)
	made := make(chan *session.Mux, 1)
	if _, err := asker.Dial("unix", filepath.Join(dir, "relay"), func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, session.Options{ChannelOptions: session.ChannelOptions{Service: true, Dialed: true, Dialect: d}})
		made <- m
		return m
	}, loop.DialOptions{}); err != nil {
		b.Fatal(err)
	}
	mux := <-made
	load := func(n int) {
		c := &bench{mux: mux, left: n, piece: make([]byte, 128), done: make(chan struct{})}
		c.o = session.OpenOptions{Event: "echo", Method: m, Handler: c, Last: true, Chunks: true}
		c.o.First = append([]byte("\x92\xa4echo\xda\x00\x80"), c.piece...)
		if d == heddle.V1 {
			c.o.First, c.o.Write = []byte("\x91\xa4echo"), c.piece
		}
		_ = asker.Do(func() {
			for range flight {
				c.begin()
			}
		})
		select {
		case <-c.done:
		case <-time.After(time.Minute):
			b.Fatal("a call has not ended")
		}
	}
	load(1000) // until lists are filled
	before := threadTime(b, l)
	b.ReportAllocs()
	b.ResetTimer()
	load(b.N)
	b.StopTimer()
	b.ReportMetric(float64(threadTime(b, l)-before)/float64(time.Microsecond)/float64(b.N), "relay-µs/call")
}
