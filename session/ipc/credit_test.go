package ipc

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/session"
)

// Messages and acknowledgements many times larger than the window, and more of them
// than it holds, all arrive.
func TestBeyondTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		there.Default().Handle("echo", func(_ context.Context, r *Received) error { return r.Reply(Bytes(r.Payload)) })
		for _, size := range []int{0, 1, 2000, session.MaxChunk - 10, session.MaxChunk, 100_000, 4 << 20} {
			text := bytes.Repeat([]byte("x"), size)
			var acks []*Ack
			for range max(3, min(500, 1<<20/(size+1))) {
				acks = append(acks, send(t, sa.peer, Message{Topic: "echo", Body: Bytes(text)}))
			}
			for i, a := range acks {
				if r, err := a.Wait(t.Context()); err != nil || !bytes.Equal(r.Payload, text) {
					t.Fatalf("%d bytes, message %d: got %d bytes, %v", size, i, len(r.Payload), err)
				}
			}
		}
	})
}

// Who sends and does not read the acknowledgements is held up, and what waits for
// him is bounded.
func TestDeafSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		var handled atomic.Int64
		const size = 1000
		there.Default().Handle("t", func(_ context.Context, r *Received) error {
			handled.Add(1)
			return r.Reply(Bytes(make([]byte, size)))
		})
		s, err := sa.mux.Open(session.OpenOptions{Event: eventMessages + "_"})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SetWriteDeadline(time.Now().Add(time.Minute))
		for i := range 100_000 {
			if _, err = s.Write(appendRecord(nil, &record{seq: uint64(i + 1), topic: []byte("t"), payload: make([]byte, 100)})); err != nil {
				break
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		// A window of acknowledgements, what may wait, and the batch that was begun.
		if n := handled.Load(); n*size > 64<<10+mostAcks+(64<<10/100)*size {
			t.Errorf("%d messages were handled", n)
		}
		s.Cancel(nil)
		s.Discard()
	})
}

// An acknowledgement for a number that was never sent is ignored and counted, and
// what is none ends the stream with an error for all that wait.
func TestForgedAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c chronicle
		here, there := NewHub(HubOptions{OnEvent: c.on}), NewHub(HubOptions{})
		p, q := newPeer(t, here, PeerInfo{}), newPeer(t, there, PeerInfo{})
		_, sb := plug(t, p, q)
		var bad atomic.Bool
		// The sessions are the loop's, so the forging is done there.
		there.Default().Handle("t", func(_ context.Context, r *Received) error {
			done := make(chan struct{})
			_ = sb.end.Do(func() {
				defer close(done)
				sb.mux.Each(func(s *session.Session) {
					forged := appendAck(nil, &ackRecord{seq: 1 << 50})
					if bad.Load() {
						forged = []byte("\x93\x01\x09")
					}
					if _, err := s.TryWrite(forged); err != nil {
						t.Error(err)
					}
				})
			})
			<-done
			return nil
		})
		if _, err := p.Ask(t.Context(), say("t", "")); err != nil {
			t.Error(err)
		}
		if n := here.Counters().LateAcks; n != 1 {
			t.Errorf("%d late acknowledgements", n)
		}
		bad.Store(true)
		if _, err := p.Ask(t.Context(), say("t", "")); !errors.Is(err, errRecord) {
			t.Errorf("got %v", err)
		}
		var d *DataError
		if l := c.troubles(); len(l) != 1 || !errors.As(l[0], &d) {
			t.Errorf("got %v", l)
		}
		synctest.Wait()
	})
}
