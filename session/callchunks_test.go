package session_test

import (
	"errors"
	"io"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// With Chunks the writes of a v1 call are read as those of an invoke, on the
// loop and off it; other messages stay what they are.
func TestWritesAsChunks(t *testing.T) {
	for _, c := range []struct {
		method, frames, said string
	}{
		{"stream", "\x93\x01\x00\x91\xa1a\x93\x01\x00\x91\xa0\x94\x01\x00\x92\xa2bc\x05\x90\x93\x01\x02\x90", "chunk 0 a,chunk 0 ,chunk 0 bc"},
		{"get", "\x93\x01\x00\x91\xa1a", "said 0 \x91\xa1a"},
	} {
		m, raw, _ := clientPair(t, heddle.V1, session.Options{})
		r := newWitness()
		if _, err := m.Open(session.OpenOptions{Method: methods[c.method], Chunks: true, Handler: r}); err != nil {
			t.Fatal(err)
		}
		raw.Write([]byte(c.frames))
		if err := <-r.end; err != nil || r.all() != c.said {
			t.Errorf("%s: %q, %v; want %q", c.method, r.all(), err, c.said)
		}
	}
	m, raw, _ := clientPair(t, heddle.V1, session.Options{})
	s, err := m.Open(session.OpenOptions{Method: methods["stream"], Chunks: true})
	if err != nil {
		t.Fatal(err)
	}
	raw.Write([]byte("\x93\x01\x00\x91\xa2ab\x93\x01\x00\x91\xa1c\x93\x01\x02\x90"))
	if p, err := io.ReadAll(s); string(p) != "abc" || err != nil {
		t.Errorf("read %q, %v", p, err)
	}
	s.Discard()
	s, err = m.Open(session.OpenOptions{Method: methods["stream"]}) // a session used anew has it no more
	if err != nil {
		t.Fatal(err)
	}
	raw.Write([]byte("\x93\x02\x00\x91\xa2ab"))
	if msg, err := recv(t, s); err != nil || msg.Kind != session.Said {
		t.Errorf("got %v, %v", msg.Kind, err)
	}
	s.Discard()
}

// A write that has no raw ends the channel, as arguments do that are not the
// method's.
func TestWriteThatIsNoChunk(t *testing.T) {
	for _, frame := range []string{"\x93\x01\x00\x91\x05", "\x93\x01\x00\x90", "\x93\x01\x00\x91\x91\xa1a"} {
		m, raw, end := clientPair(t, heddle.V1, session.Options{})
		r := newWitness()
		if _, err := m.Open(session.OpenOptions{Method: methods["stream"], Chunks: true, Handler: r}); err != nil {
			t.Fatal(err)
		}
		raw.Write([]byte(frame))
		var syn *codec.SyntaxError
		if err := <-end.err; !errors.Is(err, session.ErrProtocol) && !errors.As(err, &syn) {
			t.Errorf("% x: %v", frame, err)
		}
		if err := <-r.end; !errors.Is(err, session.ErrLost) || r.all() != "" {
			t.Errorf("% x: %q, %v", frame, r.all(), err)
		}
	}
}

// Write leaves with the call, and what follows it is behind.
func TestCallWithWrite(t *testing.T) {
	m, raw, _ := clientPair(t, heddle.V1, session.Options{})
	open := func(o session.OpenOptions) *session.Session {
		t.Helper()
		s, err := m.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	defer open(session.OpenOptions{Method: methods["stream"], First: []byte("\x91\xa1e"), Write: []byte("data"), Last: true}).Discard()
	s := open(session.OpenOptions{Method: methods["stream"], Write: []byte{}})
	defer s.Discard()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1 1 \x91\xa1e", "1 0 \x91\xa4data", "1 2 \x90", "2 1 \x90", "2 0 \x91\xa0", "2 2 \x90"} {
		f := raw.next(t, heddle.V1)
		if got := string(rune('0'+f.Session)) + " " + string(rune('0'+f.Type)) + " " + string(f.Args); got != want {
			t.Errorf("frame %d: got %q, want %q", i, got, want)
		}
	}
	if _, err := m.Open(session.OpenOptions{Method: methods["get"], Write: []byte("x")}); !errors.Is(err, session.ErrNoArm) {
		t.Errorf("a write to get: %v", err)
	}
	old, _, _ := clientPair(t, heddle.V0, session.Options{})
	if _, err := old.Open(session.OpenOptions{Method: methods["stream"], Write: []byte("x")}); !errors.Is(err, session.ErrNoArm) {
		t.Errorf("a write of v0: %v", err)
	}
	if n := m.Sessions(); n != 2 {
		t.Errorf("%d sessions", n)
	}
}
