package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A pair is an asking and an answering Mux on one pipe.
type pair struct {
	ask, ans       *session.Mux
	askEnd, ansEnd *sessiontest.End
}

// kinds of channel that the tests run over.
var channels = map[string]session.ChannelOptions{
	"heddle": {Dialect: heddle.V1, Heddle: true},
	"v1":     {Dialect: heddle.V1},
	"v0":     {Dialect: heddle.V0},
}

// newPair connects the two; serve runs on a goroutine for each session that
// the asking side opens.
func newPair(t testing.TB, c session.ChannelOptions, o session.Options, serve func(s *session.Session)) pair {
	t.Helper()
	a, b := sessiontest.Pipe(t)
	ask, ans := o, o
	ask.ChannelOptions, ans.ChannelOptions = c, c
	ans.Dialed = true
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	if ans.Accept == nil {
		ans.Accept = func(s *session.Session) error {
			wg.Add(1)
			go func() { // ends when serve returns: the pipe's end fails its session
				defer wg.Done()
				serve(s)
				s.Close()
				s.Discard()
			}()
			return nil
		}
	}
	p := pair{session.NewMux(a, ask), session.NewMux(b, ans), a, b}
	a.Start(p.ask)
	b.Start(p.ans)
	t.Cleanup(func() { // before the handlers are waited for: none begins any more
		a.Abort(nil)
		b.Abort(nil)
		a.Wait()
		b.Wait()
	})
	return p
}

// echo answers every chunk with itself.
func echo(s *session.Session) {
	for {
		m, err := s.Recv()
		if err != nil {
			return
		}
		if m.Kind == session.Chunk {
			if s.WriteChunk(m.Data) != nil {
				return
			}
		}
	}
}

func TestEchoOverEveryDialect(t *testing.T) {
	for name, c := range channels {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, c, session.Options{}, echo)
			s, err := p.ask.Open(session.OpenOptions{Event: "echo", First: []byte("head")})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"head", "one", "", strings.Repeat("long", 5000)}
			for _, w := range want[1:] {
				if err := s.WriteChunk([]byte(w)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				m, err := s.Recv()
				if err != nil || m.Kind != session.Chunk || string(m.Data) != w {
					t.Fatalf("Recv = %v %.20q %v, want chunk %.20q", m.Kind, m.Data, err, w)
				}
			}
			if _, err := s.Recv(); err != io.EOF {
				t.Fatalf("Recv after the choke = %v, want io.EOF", err)
			}
			<-s.Context().Done()
			waitZero(t, p.ask.Sessions)
			waitZero(t, p.ans.Sessions)
			if p.ask.Load() != 0 {
				t.Errorf("load = %d after the end", p.ask.Load())
			}
		})
	}
}

// waitZero waits for a count to reach zero; events on the other side end.
func waitZero(t testing.TB, count func() int) {
	t.Helper()
	for i := 0; count() != 0; i++ {
		if i > 5000 {
			t.Fatalf("count stays at %d", count())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestErrorReachesTheAsker(t *testing.T) {
	for name, c := range channels {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, c, session.Options{}, func(s *session.Session) {
				s.WriteChunk([]byte("some"))
				s.Abort(&session.Error{Category: 42, Code: 7, Msg: "no more"})
			})
			s, err := p.ask.Open(session.OpenOptions{Event: "fail", Last: true})
			if err != nil {
				t.Fatal(err)
			}
			if m, err := s.Recv(); err != nil || string(m.Data) != "some" {
				t.Fatalf("Recv = %q, %v", m.Data, err)
			}
			_, err = s.Recv()
			var e *session.Error
			if !errors.As(err, &e) || !e.Remote || e.Code != 7 || e.Msg != "no more" {
				t.Fatalf("Recv = %v, want the remote error", err)
			}
			if c.Dialect == heddle.V1 && e.Category != 42 {
				t.Errorf("category %d, want 42", e.Category)
			}
			waitZero(t, p.ask.Sessions)
			waitZero(t, p.ans.Sessions)
		})
	}
}

// A writer without credit waits, its neighbour does not, and all arrives.
func TestStalledReaderHoldsOnlyItself(t *testing.T) {
	go1 := make(chan struct{})
	p := newPair(t, channels["heddle"], session.Options{Window: 16 << 10}, func(s *session.Session) {
		if s.Event() == "slow" {
			<-go1
		}
		n, err := io.Copy(s, s)
		if err != nil {
			t.Errorf("copy of %s: %d, %v", s.Event(), n, err)
		}
	})
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	run := func(event string) error {
		s, err := p.ask.Open(session.OpenOptions{Event: event})
		if err != nil {
			return err
		}
		werr := make(chan error, 1)
		go func() { // ends when all is written or the session ends
			_, err := s.Write(body)
			werr <- errors.Join(err, s.Close())
		}()
		got, err := io.ReadAll(s)
		if err := errors.Join(err, <-werr); err != nil {
			return err
		}
		if !bytes.Equal(got, body) {
			return fmt.Errorf("%s: body differs (%d bytes)", event, len(got))
		}
		return nil
	}
	slow := make(chan error, 1)
	go func() { slow <- run("slow") }() // ends with the session
	for i := 0; i < 10; i++ {
		if err := run("fast"); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-slow:
		t.Fatalf("the stalled one ended early: %v", err)
	default:
	}
	close(go1)
	if err := <-slow; err != nil {
		t.Fatal(err)
	}
}

// A body that the handler has not asked for is not sent (Expect: 100-continue).
func TestNoCreditWaitsForTheFirstRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan struct{})
		p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
			s.Recv() // the head
			<-read
			io.Copy(s, s)
		})
		s, err := p.ask.Open(session.OpenOptions{Event: "up", First: []byte("head"), NoCredit: true})
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan error, 1)
		go func() { asked <- s.WaitCredit() }() // ends when the handler reads
		synctest.Wait()
		select {
		case <-asked:
			t.Fatal("credit before the handler read")
		default:
		}
		close(read)
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("body")); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got, err := io.ReadAll(s); err != nil || string(got) != "body" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func TestCancelKeepsTheLoadUntilTheAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
			<-s.Context().Done()
			if _, err := s.Write([]byte("x")); !errors.Is(err, session.ErrCanceled) {
				t.Errorf("write after cancel: %v", err)
			}
			if !errors.Is(s.Cause(), session.ErrCanceled) {
				t.Errorf("cause %v", s.Cause())
			}
			<-leave
		})
		s, err := p.ask.Open(session.OpenOptions{Event: "x"})
		if err != nil {
			t.Fatal(err)
		}
		s.Cancel(nil)
		if _, err := s.Recv(); !errors.Is(err, session.ErrCanceled) {
			t.Errorf("Recv after Cancel: %v", err)
		}
		synctest.Wait()
		if p.ask.Load() != 1 {
			t.Errorf("load = %d while the handler runs, want 1", p.ask.Load())
		}
		close(leave)
		synctest.Wait()
		if p.ask.Load() != 0 {
			t.Errorf("load = %d after it returned, want 0", p.ask.Load())
		}
	})
}

func TestGoneCancelsTheContextAndKeepsTheAnswer(t *testing.T) {
	p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
		<-s.Context().Done()
		s.Write([]byte("still"))
	})
	s, err := p.ask.Open(session.OpenOptions{Event: "x", Last: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Gone()
	if got, err := io.ReadAll(s); err != nil || string(got) != "still" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestChannelLossFailsEverySessionWithItsCause(t *testing.T) {
	p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
		s.Write([]byte("buffered"))
		<-s.Context().Done()
		if !errors.Is(s.Cause(), session.ErrLost) {
			t.Errorf("handler's cause: %v", s.Cause())
		}
	})
	var all []*session.Session
	for i := 0; i < 10; i++ {
		s, err := p.ask.Open(session.OpenOptions{Event: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := s.Recv(); err != nil || string(m.Data) != "buffered" {
			t.Fatalf("Recv = %q, %v", m.Data, err)
		}
		all = append(all, s)
	}
	cause := errors.New("pulled the plug")
	p.askEnd.Abort(cause)
	for _, s := range all {
		if _, err := s.Recv(); !errors.Is(err, session.ErrLost) || !errors.Is(err, cause) {
			t.Fatalf("Recv = %v, want ErrLost with its cause", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, session.ErrLost) {
			t.Fatalf("Write = %v, want ErrLost", err)
		}
	}
	if _, err := p.ask.Open(session.OpenOptions{Event: "x"}); !errors.Is(err, session.ErrLost) {
		t.Fatalf("Open = %v, want ErrLost", err)
	}
	if p.ask.Sessions() != 0 || p.ask.Load() != 0 {
		t.Errorf("%d sessions, load %d after the end", p.ask.Sessions(), p.ask.Load())
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		p := newPair(t, channels["heddle"], session.Options{Window: 8 << 10}, func(s *session.Session) { <-hold })
		s, err := p.ask.Open(session.OpenOptions{Event: "x"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.SetReadDeadline(began.Add(3 * time.Second))
		if _, err := s.Recv(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("Recv = %v after %v", err, time.Since(began))
		}
		s.SetWriteDeadline(time.Now().Add(2 * time.Second))
		began = time.Now()
		if _, err := s.Write(make([]byte, 100<<10)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("Write = %v after %v", err, time.Since(began))
		}
		// Nothing is written after the deadline, though there would be room.
		if err := s.Finish([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Finish = %v", err)
		}
		// A deadline set while somebody waits counts for him.
		s.SetReadDeadline(time.Time{})
		got := make(chan error, 1)
		go func() { _, err := s.Recv(); got <- err }() // ends at the deadline
		synctest.Wait()
		s.SetReadDeadline(time.Now().Add(time.Second))
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Recv = %v", err)
		}
		close(hold)
	})
}

func TestInfoTrailersAndFiles(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	trailers, _ := (&heddle.Trailers{Headers: []heddle.Header{{Name: heddle.Raw("A"), Value: heddle.Raw("1")}}}).MarshalMsg(nil)
	info, _ := (&heddle.Info{Code: 103}).MarshalMsg(nil)
	p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
		s.SendInfo(info)
		s.WriteChunk([]byte("head"))
		s.Write([]byte("body"))
		s.SendFiles([]*os.File{w})
		w.Close()
		s.WriteChunk([]byte("with a file"))
		s.SendTrailers(trailers)
	})
	s, err := p.ask.Open(session.OpenOptions{Event: "x", Last: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		k    session.Kind
		data string
	}{{session.Info, string(info)}, {session.Chunk, "head"}, {session.Chunk, "body"}, {session.Files, ""}, {session.Chunk, "with a file"}, {session.Trailers, string(trailers)}}
	for _, w := range want {
		m, err := s.Recv()
		if err != nil || m.Kind != w.k || string(m.Data) != w.data {
			t.Fatalf("Recv = %v %q %v, want %v %q", m.Kind, m.Data, err, w.k, w.data)
		}
		if m.Kind == session.Files {
			if len(m.Files) != 1 {
				t.Fatalf("%d files", len(m.Files))
			}
			m.Files[0].Write([]byte("through"))
			m.Files[0].Close()
			if got, _ := io.ReadAll(r); string(got) != "through" {
				t.Fatalf("the descriptor carried %q", got)
			}
		}
	}
	if _, err := s.Recv(); err != io.EOF {
		t.Fatalf("Recv = %v", err)
	}
}

// Read stops before what is no chunk, and Recv goes on there.
func TestReadStopsAtTrailers(t *testing.T) {
	trailers, _ := (&heddle.Trailers{}).MarshalMsg(nil)
	p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
		s.Write([]byte("abc"))
		s.Write([]byte("def"))
		s.SendTrailers(trailers)
	})
	s, _ := p.ask.Open(session.OpenOptions{Event: "x", Last: true})
	var got []byte
	small := make([]byte, 2)
	for {
		n, err := s.Read(small)
		got = append(got, small[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "abcdef" {
		t.Fatalf("read %q", got)
	}
	if m, err := s.Recv(); err != nil || m.Kind != session.Trailers {
		t.Fatalf("Recv = %v, %v", m.Kind, err)
	}
}

func TestTooManySessionsAreRefusedAlone(t *testing.T) {
	hold := make(chan struct{})
	p := newPair(t, channels["heddle"], session.Options{MaxSessions: 4}, func(s *session.Session) { <-hold; s.Write([]byte("ok")) })
	var open []*session.Session
	for i := 0; i < 4; i++ {
		s, err := p.ask.Open(session.OpenOptions{Event: "x", Last: true})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, err := p.ask.Open(session.OpenOptions{Event: "x"}); !errors.Is(err, session.ErrTooMany) {
		t.Fatalf("the fifth: %v, want ErrTooMany", err)
	}
	close(hold)
	for _, s := range open {
		if got, err := io.ReadAll(s); err != nil || string(got) != "ok" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestDrainRefusesNewAndFinishesOld(t *testing.T) {
	hold := make(chan struct{})
	p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) { <-hold; s.Write([]byte("ok")) })
	s, err := p.ask.Open(session.OpenOptions{Event: "x", Last: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ask.Drain(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ask.Open(session.OpenOptions{Event: "x"}); !errors.Is(err, session.ErrDraining) {
		t.Fatalf("Open while draining: %v", err)
	}
	close(hold)
	if got, err := io.ReadAll(s); err != nil || string(got) != "ok" {
		t.Fatalf("%q, %v", got, err)
	}
}

// Both sides open sessions on one channel, and ids do not meet.
func TestBothSidesOpen(t *testing.T) {
	a, b := sessiontest.Pipe(t)
	accept := func(s *session.Session) error {
		go func() { // ends with the session
			echo(s)
			s.Close()
			s.Discard()
		}()
		return nil
	}
	o := session.Options{ChannelOptions: channels["heddle"], Accept: accept}
	am := session.NewMux(a, o)
	o.Dialed = true
	bm := session.NewMux(b, o)
	a.Start(am)
	b.Start(bm)
	var wg sync.WaitGroup
	for i := 0; i < 50; i++ {
		for _, m := range []*session.Mux{am, bm} {
			wg.Add(1)
			go func() { // ends with its session
				defer wg.Done()
				s, err := m.Open(session.OpenOptions{Event: "e", First: []byte("x"), Last: true})
				if err != nil {
					t.Error(err)
					return
				}
				if (s.ID()%2 == 1) != (m == bm) {
					t.Errorf("session %d opened by the wrong side", s.ID())
				}
				if got, err := io.ReadAll(s); err != nil || string(got) != "x" {
					t.Errorf("%q, %v", got, err)
				}
			}()
		}
	}
	wg.Wait()
}

// A control frame leaves before megabytes of data that wait.
func TestHeartbeatOvertakesData(t *testing.T) {
	beat := make(chan int64, 1)
	var got int64
	var mu sync.Mutex
	a, b := sessiontest.Pipe(t)
	am := session.NewMux(a, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}})
	bm := session.NewMux(b, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Dialed: true},
		Accept: func(s *session.Session) error {
			s.SetHandler(counter(func(n int) { mu.Lock(); got += int64(n); mu.Unlock() }))
			return nil
		},
		Control: beats{func() { mu.Lock(); beat <- got; mu.Unlock() }},
	})
	a.Stall(true)
	a.Start(am)
	b.Start(bm)
	s, err := am.Open(session.OpenOptions{Event: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 20; i++ {
		if err := s.WriteChunk(make([]byte, 32<<10)); err != nil {
			t.Fatal(err)
		}
	}
	am.SendControl(codec.AppendHeartbeat(nil, heddle.V1))
	a.Stall(false)
	if n := <-beat; n != 0 {
		t.Errorf("%d bytes of data came before the heartbeat", n)
	}
}

type counter func(n int)

func (c counter) OnMessage(_ *session.Session, m session.Message) { c(len(m.Data)) }
func (c counter) OnWritable(*session.Session)                     {}
func (c counter) OnEnd(*session.Session, error)                   {}

type beats struct{ f func() }

func (beats) OnConnect(*session.Mux)                                {}
func (beats) OnHandshake(*session.Mux, []byte, *heddle.Offer) error { return nil }
func (b beats) OnHeartbeat(*session.Mux)                            { b.f() }
func (beats) OnTerminate(*session.Mux, int64, []byte)               {}
func (beats) OnControl(*session.Mux, uint64, []byte) error          { return nil }
func (beats) OnEOF(*session.Mux)                                    {}
func (beats) OnClose(*session.Mux, error)                           {}

func TestContextDerivesWithoutGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		done := make(chan struct{})
		o := session.Options{Context: context.WithValue(context.Background(), key{}, "v")}
		p := newPair(t, channels["heddle"], o, func(s *session.Session) {
			defer close(done)
			ctx, cancel := context.WithCancel(s.Context())
			defer cancel()
			if ctx.Value(key{}) != "v" {
				t.Error("the value is lost")
			}
			<-ctx.Done()
			if ctx.Err() != context.Canceled || s.Context().Err() != context.Canceled {
				t.Errorf("Err = %v, %v", ctx.Err(), s.Context().Err())
			}
		})
		s, err := p.ask.Open(session.OpenOptions{Event: "x"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Cancel(nil)
		<-done
	})
}
