package session

import (
	"io"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

// TestWindowGrows: a stream that carries much has up to four times the window,
// and no more; one that is read by a handler, or while the budget is short, keeps
// what it has. What was granted is what the peer may send, to the byte.
func TestWindowGrows(t *testing.T) {
	const window = DefaultWindow
	chunk := make([]byte, 16<<10-ChunkCost)
	for _, tc := range []struct {
		name    string
		used    int64 // of a budget of 1 MiB
		handler bool
		want    int64
	}{
		{"read", 0, false, growth * window},
		{"read, half the budget used", 1 << 19, false, window},
		{"given back by a handler", 0, true, window},
	} {
		t.Run(tc.name, func(t *testing.T) {
			budget := &Budget{Limit: 1 << 20}
			budget.add(tc.used)
			var s *Session
			m := NewMux(new(takes), Options{
				ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true, Dialed: true},
				Budget:         budget,
				Accept: func(a *Session) error {
					if s = a; tc.handler {
						a.SetHandler(givesBack{})
					}
					return nil
				},
			})
			r := (*receiver)(m)
			if err := r.OnInvoke(1, []byte("e"), -1, nil); err != nil {
				t.Fatal(err)
			}
			_ = r.OnChunk(1, []byte("head"))
			if !tc.handler {
				if _, err := s.Recv(); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				if err := r.OnChunk(1, chunk); err != nil {
					t.Fatal(err)
				}
				if !tc.handler {
					if _, err := io.ReadFull(s, make([]byte, len(chunk))); err != nil {
						t.Fatal(err)
					}
				}
			}
			if s.Window() != tc.want {
				t.Errorf("the window is %d, want %d", s.Window(), tc.want)
			}
			if left := s.window + s.consumed; left != tc.want {
				t.Errorf("the peer may send %d and %d were read and not given back, want %d in all", s.window, s.consumed, tc.want)
			}
			_ = s.Finish()
			_ = r.OnChoke(1)
			s.Discard()
			if n := budget.Used(); n != tc.used {
				t.Errorf("the budget has %d, want %d", n, tc.used)
			}
		})
	}
}

type givesBack struct{}

func (givesBack) OnMessage(s *Session, m Message) {
	if m.Kind == Chunk && string(m.Data) != "head" {
		s.Grant(int64(len(m.Data)) + ChunkCost)
	}
}
func (givesBack) OnWritable(*Session)   {}
func (givesBack) OnEnd(*Session, error) {}

// keeps is a handler that gives nothing back.
type keeps struct{ givesBack }

func (keeps) OnMessage(*Session, Message) {}

// TestBudgetOfAHandler: what a handler has not given back counts until its session
// has ended.
func TestBudgetOfAHandler(t *testing.T) {
	budget := new(Budget)
	m := NewMux(new(takes), Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}, Budget: budget})
	r := (*receiver)(m)
	s, err := m.Open(OpenOptions{Event: "e", Handler: keeps{}, Last: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.OnChunk(s.ID(), make([]byte, 1<<20)) // the head is exempt
	_ = r.OnChunk(s.ID(), make([]byte, 1000))
	if n := budget.Used(); n != 1000+ChunkCost {
		t.Errorf("%d bytes count, want %d", n, 1000+ChunkCost)
	}
	_ = r.OnChoke(s.ID())
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes count after the end", n)
	}
}

// TestRoom: what Room says is what TryWrite takes.
func TestRoom(t *testing.T) {
	for _, credit := range []int64{0, 1, leastWrite, leastWrite + ChunkCost, 5000, MaxChunk, MaxChunk + ChunkCost, MaxChunk + 2*ChunkCost, DefaultWindow, DefaultWindow + 77, 4 * DefaultWindow} {
		m := NewMux(new(takes), Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}})
		s, err := m.Open(OpenOptions{Event: "e", Handler: keeps{}, First: []byte("head")})
		if err != nil {
			t.Fatal(err)
		}
		s.credit = credit
		room := s.Room()
		if (room == 0) != s.wanting || room > int(credit) || credit >= leastWrite+ChunkCost && room < leastWrite {
			t.Errorf("credit %d: room %d, and OnWritable owed is %v", credit, room, s.wanting)
		}
		p := make([]byte, room)
		for len(p) > 0 {
			n, err := s.TryWrite(p)
			if n == 0 || err != nil {
				t.Fatalf("credit %d: of %d bytes %d are not taken: %v", credit, room, len(p), err)
			}
			p = p[n:]
		}
	}
}

// TestBudgetSpentAndAHandler: with nothing left of the budget a handler that gives
// back by half windows is still sent everything, a little at a time.
func TestBudgetSpentAndAHandler(t *testing.T) {
	budget := &Budget{Limit: 1 << 20}
	budget.add(1 << 20)
	m := NewMux(new(takes), Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}, Budget: budget})
	r := (*receiver)(m)
	got, owed := 0, int64(0)
	s, err := m.Open(OpenOptions{Event: "e", Last: true, Handler: messageFunc(func(s *Session, msg Message) {
		if len(msg.Data) == 0 {
			return // the head
		}
		got += len(msg.Data)
		if owed += int64(len(msg.Data)) + ChunkCost; s.GrantDue(owed) {
			s.Grant(owed)
			owed = 0
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.OnChunk(s.ID(), nil)
	const want = 1 << 20
	for got < want {
		n := min(s.window-ChunkCost, MaxChunk)
		if n <= 0 {
			t.Fatalf("the peer may send nothing after %d bytes; owed are %d and %d", got, s.owed, owed)
		}
		if err := r.OnChunk(s.ID(), make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
}

type messageFunc func(s *Session, m Message)

func (f messageFunc) OnMessage(s *Session, m Message) { f(s, m) }
func (messageFunc) OnWritable(*Session)               {}
func (messageFunc) OnEnd(*Session, error)             {}

// TestOneEnd: a handler is told once that there is no more, also when its peer broke
// the rules first and ended later.
func TestOneEnd(t *testing.T) {
	m := NewMux(new(takes), Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}})
	r := (*receiver)(m)
	h := &ends{}
	s, err := m.Open(OpenOptions{Event: "e", Last: true, Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.OnChunk(s.ID(), []byte("head"))
	for range 4 {
		_ = r.OnChunk(s.ID(), make([]byte, MaxChunk))
	}
	_ = r.OnChoke(s.ID())
	if len(h.errs) != 1 || h.errs[0] == nil {
		t.Errorf("OnEnd was called with %v, want one error", h.errs)
	}
}

// TestReleasedWhileOthersOpen: a session that ends while another goroutine opens one
// is nobody else's yet. For the race detector, and for ends that reach the wrong handler.
func TestReleasedWhileOthersOpen(t *testing.T) {
	m := NewMux(new(takes), Options{ChannelOptions: ChannelOptions{Dialect: heddle.V1, Heddle: true}})
	r := (*receiver)(m)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var opened []*ends
	go func() { // until stop
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			h := &ends{}
			if _, err := m.Open(OpenOptions{Event: "e", Handler: h, Last: true}); err == nil {
				opened = append(opened, h)
			}
			if len(opened) == 500 {
				return
			}
		}
	}()
	for range 2000 {
		s, err := m.Open(OpenOptions{Event: "e", Handler: &ends{}, Last: true})
		if err != nil {
			break // as many as there may be
		}
		s.Cancel(io.EOF)
		s.Release()
		_ = r.OnChoke(s.ID())
	}
	close(stop)
	<-stopped
	for _, h := range opened {
		if len(h.errs) > 0 {
			t.Fatalf("a session that is open was told of an end: %v", h.errs)
		}
	}
}
