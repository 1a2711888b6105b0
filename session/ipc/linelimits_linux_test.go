package ipc

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// Lines take at most half of the server's handlers, so that its topics are answered.
func TestLinesReserve(t *testing.T) {
	path := shortSocket(t)
	s := NewServer(Options{MaxHandlers: 4, Lines: func(ctx context.Context, l *Line) (any, error) {
		<-ctx.Done()
		return nil, nil
	}})
	s.Handle("status", func(_ context.Context, r *Request) error { return r.Reply([]byte("serving")) })
	if err := s.Listen(newLoop(t), path); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	fr := newForeigner(t, path, jsonwire.Lines)
	for i := range 3 {
		fr.raw(fmt.Sprintf(`{"type":"t","id":"%d"}`+"\n", i))
	}
	fr.want(`{"type":"reply","requestId":"2","errors":["2 requests are being answered, which is the limit; try again"]}`)
	fr.raw(`{"type":"t"}` + "\n" + `{"type":"t","id":"3"}` + "\n") // a message is dropped
	fr.want(`{"type":"reply","requestId":"3","errors":["2 requests are being answered, which is the limit; try again"]}`)
	c, err := Dial(t.Context(), path, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p, err := c.Request(t.Context(), "status", nil); string(p) != "serving" || err != nil {
		t.Errorf("beside lines: got %q, %v", p, err)
	}
	_ = fr.Close()
}

// A request lasts until its reply has left, so that what waits for clients that do
// not read is bounded with the requests.
func TestLinesEnded(t *testing.T) {
	returned, ended := make(chan bool, 1), make(chan bool, 1)
	dial, _ := lineServer(t, Options{ReplyTimeout: time.Minute, Lines: func(_ context.Context, l *Line) (any, error) {
		l.Ended = func() { ended <- true }
		defer func() { returned <- true }()
		if l.Type == "panic" {
			panic(1)
		}
		return strings.Repeat("x", mostReply-100), nil
	}})
	fr := dial()
	fr.raw(`{"type":"t","id":"1"}` + "\n")
	<-returned
	if _, err := io.ReadFull(fr, make([]byte, 1)); err != nil { // it is in the outbox
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Error("ended, and nobody has read it")
	default:
	}
	if line, err := fr.frame(); err != nil || len(line) < mostReply-100 {
		t.Fatalf("%d bytes, %v", len(line), err)
	}
	<-ended
	fr.raw(`{"type":"panic","id":"2"}` + "\n")
	<-ended
	<-returned
	gone := dial()
	gone.raw(`{"type":"t","id":"1"}` + "\n")
	<-returned
	_ = gone.Close()
	<-ended
	dial().raw(`{"type":"message"}` + "\n")
	<-ended
}
