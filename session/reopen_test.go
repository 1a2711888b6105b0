package session_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// switched is the info that tells the asker that the session is a connection now.
var switched = []byte{0x92, 0x00, 0x90}

// After Reopen both directions carry any number of bytes, whether the choke
// had come before or was still on its way, and whatever the body had used of
// the window.
func TestReopen(t *testing.T) {
	body := bytes.Repeat([]byte("b"), 60<<10)
	for name, row := range map[string]struct {
		early bool // the asked side reopens before the choke can have come
		body  []byte
		read  bool // it reads the body first
	}{
		"no body":             {},
		"no body, early":      {early: true},
		"body read":           {body: body, read: true},
		"body unread":         {body: body},
		"body unread, early":  {body: body, early: true},
		"body read, no choke": {body: body, read: true, early: true},
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan struct{})
			p := newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
				if _, err := s.Recv(); err != nil { // the head
					t.Error(err)
					return
				}
				if row.read {
					if _, err := io.ReadFull(s, make([]byte, len(row.body))); err != nil {
						t.Error(err)
					}
				}
				if !row.early {
					if row.read || row.body == nil {
						if _, err := s.Recv(); err != io.EOF {
							t.Errorf("the body ends with %v", err)
						}
					} else {
						<-told
					}
				}
				if err := s.Reopen(); err != nil {
					t.Error(err)
				}
				if err := s.SendInfo(switched); err != nil {
					t.Error(err)
				}
				if !row.read {
					if _, err := io.ReadFull(s, make([]byte, len(row.body))); err != nil {
						t.Error(err)
					}
				}
				if n, err := io.Copy(s, s); n != 1<<20 || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
			s, err := p.ask.Open(session.OpenOptions{Event: "x", First: []byte("head"), Last: row.body == nil && !row.early})
			if err != nil {
				t.Fatal(err)
			}
			if row.body != nil {
				if _, err := s.Write(row.body); err != nil {
					t.Fatal(err)
				}
				if !row.early {
					s.Close()
				}
			}
			close(told)
			if m, err := s.Recv(); err != nil || m.Kind != session.Info || !bytes.Equal(m.Data, switched) {
				t.Fatalf("%v %v", m, err)
			}
			s.Close()
			if err := s.Reopen(); err != nil {
				t.Fatal(err)
			}
			go func() { // ends with the bytes, or the session
				s.Write(bytes.Repeat([]byte("x"), 1<<20))
				s.Close()
			}()
			if n, err := io.Copy(io.Discard, s); n != 1<<20 || err != nil {
				t.Errorf("%d bytes back, %v", n, err)
			}
			waitZero(t, p.ask.Sessions)
			waitZero(t, p.ans.Sessions)
		})
	}
}

// What cannot be reopened says why.
func TestReopenRefused(t *testing.T) {
	p := newPair(t, channels["v1"], session.Options{}, func(s *session.Session) {
		if err := s.Reopen(); err != session.ErrUnsupported {
			t.Errorf("plain: %v", err)
		}
	})
	s, _ := p.ask.Open(session.OpenOptions{Event: "x", Last: true})
	io.Copy(io.Discard, s)

	p = newPair(t, channels["heddle"], session.Options{}, func(s *session.Session) {
		s.Reopen()
		if err := s.Reopen(); err != session.ErrProtocol {
			t.Errorf("twice: %v", err)
		}
		s.Close()
		if err := s.Reopen(); err != session.ErrEnded {
			t.Errorf("ended: %v", err)
		}
	})
	s, _ = p.ask.Open(session.OpenOptions{Event: "x"})
	if err := s.Reopen(); err != session.ErrEnded {
		t.Errorf("without a choke: %v", err)
	}
	io.Copy(io.Discard, s)
}

// A link of which the kernel has taken some bytes only.
type stuckLink struct {
	session.Link
	sent, written int64
	aborted       bool
}

func (l *stuckLink) Written() int64 { return l.written }
func (l *stuckLink) Queued() int    { return 0 }
func (l *stuckLink) Abort(error)    { l.aborted = true }
func (l *stuckLink) Close(error)    {}
func (l *stuckLink) Send(head, body []byte) (int64, error) {
	l.sent += int64(len(head) + len(body))
	return l.sent, nil
}

// Only a session of whose invoke a byte was left may be asked anew, and then that
// byte never leaves.
func TestUntouched(t *testing.T) {
	invoke := int64(len(codec.AppendInvoke(nil, heddle.V1, 2, "http", -1)))
	ends := map[string]func(m *session.Mux){
		"closed":    func(m *session.Mux) { m.OnClose(io.ErrClosedPipe) },
		"half":      func(m *session.Mux) { m.OnEOF() },
		"malformed": func(m *session.Mux) { _, _ = m.OnBytes([]byte("no frame")) },
	}
	for end, how := range ends {
		untouched(t, invoke, end, how)
	}
}

func untouched(t *testing.T, invoke int64, end string, how func(m *session.Mux)) {
	for written, want := range map[int64]bool{0: true, 1: true, invoke - 1: true, invoke: false, invoke + 5: false} {
		l := &stuckLink{written: written}
		m := session.NewMux(l, session.Options{ChannelOptions: channels["heddle"]})
		s, err := m.Open(session.OpenOptions{Event: "http", First: []byte("head"), Last: true})
		if err != nil {
			t.Fatal(err)
		}
		if s.Untouched() {
			t.Error("untouched while it lives")
		}
		how(m)
		if l.aborted != want {
			t.Errorf("%s: %d of %d bytes taken: what is left can still leave", end, written, invoke)
		}
		l.written = 1 << 20 // what is said later does not count
		if _, err := s.Recv(); !errors.Is(err, session.ErrLost) {
			t.Fatal(err)
		}
		if s.Untouched() != want {
			t.Errorf("%s: %d of %d bytes taken: untouched %v", end, written, invoke, !want)
		}
	}
}
