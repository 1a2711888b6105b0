package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
)

// TestIdleOnceTheAnswerIsTaken: a client that is still to read the end of its
// answer is not idle, however long it takes.
func TestIdleOnceTheAnswerIsTaken(t *testing.T) {
	var sent int
	done := make(chan struct{})
	first := true
	r := newRig(t, Options{Limits: Limits{IdleTimeout: short, ReadHeaderTimeout: short}}, worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		s.WriteChunk(responseHead(200))
		if !first {
			return
		}
		first = false
		defer close(done)
		for p := make([]byte, 16<<10); ; sent += len(p) { // until nobody takes any more
			s.SetWriteDeadline(time.Now().Add(5 * short))
			if s.WriteChunk(p) != nil {
				return // the end needs no credit
			}
		}
	}), 1)
	c := r.dial(t)
	const half = len(plain) / 2
	if _, err := io.WriteString(c, plain+plain[:half]); err != nil {
		t.Fatal(err)
	}
	<-done
	time.Sleep(5 * short)
	io.WriteString(c, plain[half:]) // now: once the kernel has all of the answer, reading it may take longer than a head may
	br := bufio.NewReader(c)
	if _, body := readAnswer(t, br); len(body) != sent {
		t.Errorf("the answer had %d bytes, want %d", len(body), sent)
	}
	if resp, _ := readAnswer(t, br); resp.StatusCode != 200 {
		t.Errorf("behind the answer came %s", resp.Status)
	}
	c.Close()
	r.settled(t)
}

// TestOneTimer: however often clients enter again while others are due, there is
// one timer for all that wait for the same thing.
func TestOneTimer(t *testing.T) {
	r := newHTTPRig(t, Options{}, func(http.ResponseWriter, *http.Request) {}, 1)
	ln := r.s.lanes[0]
	const clients = 8
	calls := 0
	q := &deadlines{ln: ln, after: 2 * time.Millisecond}
	q.expired = func(c *client) {
		if calls++; calls < 50*clients {
			q.enter(c.write)
		}
	}
	before := ln.loop.Stats().Timers
	r.on(t, ln, func() {
		for range clients {
			c := &client{ln: ln}
			c.write = &deadline{c: c}
			q.enter(c.write)
		}
	})
	most := int64(0)
	await(t, func() error {
		most = max(most, ln.loop.Stats().Timers-before)
		n := 0
		r.on(t, ln, func() { n = calls })
		if n < 50*clients {
			return io.ErrNoProgress
		}
		return nil
	})
	if most > 1 {
		t.Errorf("%d timers at once", most)
	}
}

// TestMaxClients: who is one too many is reset, and the others do not notice.
func TestMaxClients(t *testing.T) {
	r := newHTTPRig(t, Options{Limits: Limits{MaxClients: 2}}, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hi") }, 1)
	first, second := r.dial(t), r.dial(t)
	send(t, first, plain)
	send(t, second, plain)
	if third, err := net.Dial("tcp", addr(r.s)); err == nil { // else it was reset that soon
		_, werr := io.WriteString(third, plain) // fails where it was reset before, and then the reset was told
		if b, err := io.ReadAll(third); err == nil && werr == nil || len(b) > 0 {
			t.Errorf("the third got %q, %v", b, err)
		}
		third.Close()
	}
	await(t, func() error { // it is counted behind the reset
		if n := r.s.lanes[0].loop.Stats().Refused; n != 1 {
			return fmt.Errorf("%d connections were refused, want 1", n)
		}
		return nil
	})
	send(t, first, plain)
	second.Close()
	await(t, func() error {
		if r.s.Stats().Clients > 1 {
			return io.ErrNoProgress
		}
		return nil
	})
	send(t, r.dial(t), plain)
}
