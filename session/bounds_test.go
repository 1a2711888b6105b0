package session_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

func boundedPair(t *testing.T, window int, accept func(s *session.Session) error) (*session.Mux, *sessiontest.End, *sessiontest.End) {
	a, b := sessiontest.Pipe(t)
	o := session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}, Window: window}
	m := session.NewMux(a, o)
	o.Dialed, o.Accept = true, accept
	a.Start(m)
	b.Start(session.NewMux(b, o))
	return m, a, b
}

// The smallest window there is: whatever a write leaves of it, the next goes on.
func TestSmallWindowMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan int, 1)
		m, _, _ := boundedPair(t, 8<<10, func(s *session.Session) error {
			go func() {
				n := 0
				for {
					msg, err := s.Recv()
					if err != nil {
						got <- n
						_ = s.Close()
						return
					}
					n += len(msg.Data)
				}
			}()
			return nil
		})
		s, err := m.Open(session.OpenOptions{Event: "e", First: []byte("h")})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write(make([]byte, 4000)) // credit left: 8192-4064 = 4128
		synctest.Wait()
		_ = s.SetWriteDeadline(time.Now().Add(time.Hour))
		n, err := s.Write(make([]byte, 32<<10))
		if err != nil {
			t.Errorf("wrote %d of 32768 in an hour: %v", n, err)
		}
		s.Cancel(errors.New("x"))
		<-got
	})
}

// A chunk that might wait for credit for ever is refused at once; the greatest that
// is not gets through behind any other.
func TestChunkOverHalfTheWindowIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan int, 1)
		m, _, _ := boundedPair(t, 0, func(s *session.Session) error {
			go func() {
				for {
					if _, err := s.Recv(); err != nil {
						_ = s.Close()
						done <- 1
						return
					}
				}
			}()
			return nil
		})
		s, _ := m.Open(session.OpenOptions{Event: "e", First: []byte("h")})
		_ = s.WriteChunk(make([]byte, 30000))
		synctest.Wait()
		_ = s.SetWriteDeadline(time.Now().Add(time.Hour))
		if err := s.WriteChunk(make([]byte, 40000)); !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("WriteChunk(40000): %v, want ErrTooLarge", err)
		}
		if err := s.WriteChunk(make([]byte, session.DefaultWindow/2-session.ChunkCost)); err != nil {
			t.Errorf("half a window, in an hour: %v", err)
		}
		s.Cancel(errors.New("x"))
		<-done
	})
}

// A head that is too long for one batch still arrives as one chunk.
func TestFinishNeverCutsTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, _ := boundedPair(t, 0, func(s *session.Session) error {
			go func() {
				_, _ = io.Copy(io.Discard, readerOf{s})
				_ = s.Finish(make([]byte, 70<<10), []byte("body"))
			}()
			return nil
		})
		s, _ := m.Open(session.OpenOptions{Event: "e", First: []byte("h"), Last: true})
		msg, err := s.Recv()
		if err != nil || len(msg.Data) != 70<<10 {
			t.Errorf("head of 71680 bytes arrived as a chunk of %d, %v", len(msg.Data), err)
		}
		s.Discard()
	})
}

type readerOf struct{ *session.Session }

type counting struct{ ends []error }

func (c *counting) OnMessage(*session.Session, session.Message) {}
func (c *counting) OnWritable(*session.Session)                 {}
func (c *counting) OnEnd(_ *session.Session, err error)         { c.ends = append(c.ends, err) }

// A cancel behind the choke is no second end.
func TestOnEndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{}
		var srv *session.Session
		m, _, _ := boundedPair(t, 0, func(s *session.Session) error { srv = s; s.SetHandler(c); return nil })
		s, _ := m.Open(session.OpenOptions{Event: "e", First: []byte("h"), Last: true})
		synctest.Wait()
		s.Cancel(errors.New("x"))
		synctest.Wait()
		if len(c.ends) != 1 {
			t.Errorf("OnEnd called %d times: %v", len(c.ends), c.ends)
		}
		_ = srv.Close()
	})
}

func fds() int { e, _ := os.ReadDir("/proc/self/fd"); return len(e) }

// Descriptors cost no credit, so few may wait in a session that nobody reads.
func TestUnreadFilesAreBounded(t *testing.T) {
	m, _, _ := boundedPair(t, 0, func(s *session.Session) error { return nil }) // a handler that does not read
	s, err := m.Open(session.OpenOptions{Event: "e", First: []byte("h")})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(os.DevNull)
	defer f.Close()
	sixteen := make([]*os.File, 16)
	for i := range sixteen {
		sixteen[i] = f
	}
	before := fds()
	for range 50 {
		if s.SendFiles(sixteen) != nil {
			break // the session was ended, as it should be
		}
	}
	<-s.Context().Done()
	// Four messages may wait; what was on its way is taken and closed.
	for i := 0; fds()-before > 4*16; i++ {
		if i == 5000 {
			t.Fatalf("%d descriptors held by one session that nobody reads", fds()-before)
		}
		time.Sleep(time.Millisecond)
	}
	s.Cancel(errors.New("x"))
}

// A server that overran a bound does not wait for credit for ever: it is told that
// its session was given up, and the opener keeps it until then.
func TestOffendersWriterIsToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		res := make(chan error, 1)
		m, _, _ := boundedPair(t, 0, func(s *session.Session) error {
			go func() {
				info := make([]byte, 64<<10)
				info[0] = 0xc0
				for range 40 {
					_ = s.SendInfo(append([]byte{0x91, 0xdb, 0, 0, 0xff, 0xf0}, make([]byte, 0xfff0)...))
				}
				_ = s.SetWriteDeadline(time.Now().Add(time.Hour))
				_, err := s.Write(make([]byte, 1<<20))
				select {
				case <-s.Context().Done():
				default:
					err = errors.Join(err, errors.New("and its context lives"))
				}
				res <- err
				_ = s.Close()
			}()
			return nil
		})
		s, _ := m.Open(session.OpenOptions{Event: "e", First: []byte("h"), Last: true})
		err := <-res
		if !errors.Is(err, session.ErrCanceled) {
			t.Errorf("the server's writer got %v", err)
		}
		synctest.Wait()
		if m.Load() != 0 {
			t.Errorf("load %d once the server has ended", m.Load())
		}
		s.Discard()
	})
}

// MaxSessions bounds what the peer opens, whatever we opened ourselves.
func TestMaxSessionsCountsThePeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sessiontest.Pipe(t)
		o := session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}, MaxSessions: 1000}
		m := session.NewMux(a, o)
		n := 0
		o.Dialed, o.MaxSessions, o.Accept = true, 10, func(s *session.Session) error { n++; return nil }
		a.Start(m)
		b.Start(session.NewMux(b, o))
		for range 100 {
			_, _ = m.Open(session.OpenOptions{Event: "e", First: []byte("h")})
		}
		synctest.Wait()
		if n != 10 {
			t.Errorf("MaxSessions 10: accepted %d", n)
		}
	})
}

// A handler that says 103 in a loop waits for room like any writer; its neighbours
// on the channel do not notice.
func TestInfoFloodHoldsUpItself(t *testing.T) {
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l2, _ := loop.New(loop.Options{})
	ran := make(chan struct{}, 2)
	go func() { _ = l.Run(); ran <- struct{}{} }()
	go func() { _ = l2.Run(); ran <- struct{}{} }()
	defer func() { l.Close(); l2.Close(); <-ran; <-ran }()
	path := t.TempDir() + "/s"
	mc := make(chan *session.Mux, 1)
	_, err = l.Listen("unix", path, func(c *loop.Conn) loop.Handler {
		m := session.NewMux(c, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}})
		mc <- m
		return m
	}, loop.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	flood := make(chan error, 1)
	info := append([]byte{0x91, 0xdb, 0, 0, 0xff, 0xf0}, make([]byte, 0xfff0)...)
	_, err = l2.Dial("unix", path, func(c *loop.Conn) loop.Handler {
		return session.NewMux(c, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true, Dialed: true},
			Accept: func(s *session.Session) error {
				if s.Event() == "flood" {
					go func() {
						for range 5000 {
							if err := s.SendInfo(info); err != nil {
								flood <- err
								return
							}
						}
						flood <- nil
						_ = s.Close()
					}()
				}
				return nil
			}})
	}, loop.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := <-mc
	neighbour, _ := m.Open(session.OpenOptions{Event: "quiet", First: []byte("h")})
	s, _ := m.Open(session.OpenOptions{Event: "flood", First: []byte("h"), Last: true})
	err = <-flood
	_ = neighbour.SetReadDeadline(time.Now().Add(time.Second))
	_, nerr := neighbour.Recv()
	if !errors.Is(nerr, os.ErrDeadlineExceeded) {
		t.Errorf("flooder got %v, neighbour: %v", err, nerr)
	}
	s.Discard()
}

type granting struct{ counting }

func (g *granting) OnMessage(s *session.Session, m session.Message) {
	if m.Kind == session.Chunk && len(m.Data) > 1 {
		s.Grant(int64(len(m.Data)) + session.ChunkCost)
	}
}

// What a spent budget kept back is granted when it has room again.
func TestBudgetPaysWhatItOwes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := sessiontest.Pipe(t)
		o := session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Heddle: true}}
		m := session.NewMux(a, o)
		bud := &session.Budget{Limit: 1 << 10}
		var hog *session.Session
		o.Dialed, o.Budget, o.Accept = true, bud, func(s *session.Session) error {
			if s.Event() == "hog" {
				hog = s
				return nil
			}
			s.SetHandler(&granting{})
			return nil
		}
		a.Start(m)
		b.Start(session.NewMux(b, o))
		h, _ := m.Open(session.OpenOptions{Event: "hog", First: []byte("h")})
		_, _ = h.Write(make([]byte, 16<<10)) // fills the budget
		s, _ := m.Open(session.OpenOptions{Event: "e", First: []byte("h")})
		for range 8 {
			if _, err := s.Write(make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		hog.Discard()
		if bud.Used() != 0 {
			t.Fatalf("budget still %d", bud.Used())
		}
		_, _ = s.Write(make([]byte, 32<<10))
		synctest.Wait()
		// how much may go at once now
		before := 0
		a.Stall(true)
		b.Stall(true)
		n, _ := s.TryWrite(make([]byte, 32<<10))
		before = n
		if before < 32<<10 {
			t.Errorf("budget is empty again, and the window is still %d bytes", before)
		}
		a.Stall(false)
		b.Stall(false)
	})
}

// An error's text is clipped, so that it never is what makes a frame too large.
func TestErrorTextIsClipped(t *testing.T) {
	m, _, _ := boundedPair(t, 0, func(s *session.Session) error {
		s.Abort(errors.New(strings.Repeat("x", 2<<20)))
		return nil
	})
	s, err := m.Open(session.OpenOptions{Event: "e", Last: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv()
	var e *session.Error
	if !errors.As(err, &e) || len(e.Msg) != 1<<10 {
		t.Fatalf("%.80v", err)
	}
}
