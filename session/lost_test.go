package session_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// TestLostIsNoEnd: whose channel ends in mid-stream gets an error that nobody takes
// for the stream's orderly end.
func TestLostIsNoEnd(t *testing.T) {
	x, y := sessiontest.Pipe(t)
	m := session.NewMux(x, session.Options{ChannelOptions: session.ChannelOptions{Dialect: heddle.V1}})
	x.Start(m)
	peer := newBareEnd(y)
	s, err := m.Open(session.OpenOptions{Event: "e"})
	if err != nil {
		t.Fatal(err)
	}
	peer.next(t)
	peer.send(t, codec.AppendChunk(nil, heddle.V1, s.ID(), []byte("half of it")))
	y.CloseWrite()
	if got, err := s.Recv(); err != nil || string(got.Data) != "half of it" {
		t.Fatalf("got %q, %v", got.Data, err)
	}
	_, err = s.Recv()
	if !errors.Is(err, session.ErrLost) || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if no := session.Errno(err); no != syscall.ESHUTDOWN {
		t.Errorf("errno %v, want ESHUTDOWN", no)
	}
}
