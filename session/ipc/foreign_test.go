package ipc

import (
	"context"
	"errors"
	"testing"
)

// A slate is a Wire that keeps what is posted.
type slate struct {
	notebook
	full   bool
	closed error
}

func (s *slate) Post(_ context.Context, namespace, topic string, f Format, data []byte, noWait bool) error {
	if s.full && noWait {
		return ErrQueueFull
	}
	s.note("%s %s %d %s", namespace, topic, f, data)
	return nil
}

func (s *slate) Close(err error) { s.closed = err }

// A peer behind a Wire gets messages as they are, and its own are handled and
// answered by the same handlers.
func TestWire(t *testing.T) {
	var c chronicle
	h := NewHub(HubOptions{OnEvent: c.on})
	d := h.Default()
	var book notebook
	d.Handle("", book.handler)
	d.Handle("value", func(_ context.Context, r *Received) error { return r.Reply(JSON("v")) })
	d.Handle("error", func(context.Context, *Received) error { return errors.New("no") })
	d.Handle("fail", func(_ context.Context, r *Received) error { return r.Fail(errors.New("by hand")) })
	d.Handle("panic", func(context.Context, *Received) error { panic("x") })
	d.HandleRequest("two", func(_ context.Context, q *Question) error {
		return errors.Join(q.Reply(Bytes(q.Payload)), q.Reply(JSON(2)), errors.New("midway"))
	})
	w := new(slate)
	p, err := h.AttachWire(w, PeerInfo{Kind: "json", Files: true})
	if err != nil {
		t.Fatal(err)
	}
	post(t, p, say("t", "x"))
	post(t, p, Message{Namespace: "n", Body: JSON([]int{1})})
	if n, err := h.Broadcast(say("all", "y")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	w.want(t, "_ t 1 x", "n  2 [1]", "_ all 1 y")
	if _, err := p.Send(t.Context(), say("t", "")); err != ErrNoAcks {
		t.Errorf("got %v", err)
	}
	if _, err := p.Call(t.Context(), Query{Topic: "t"}); !errors.Is(err, ErrNoAcks) {
		t.Errorf("got %v", err)
	}
	if !p.Ready("any") {
		t.Error("not ready")
	}
	for _, tt := range []struct{ topic, reply, err string }{
		{"value", `"v"`, ""}, {"error", "", "no"}, {"fail", "", "by hand"}, {"", "", ""},
	} {
		r, err := p.Deliver(t.Context(), "_", tt.topic, FormatJSON, []byte(tt.topic))
		if string(r.Payload) != tt.reply || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: got %q, %v", tt.topic, r.Payload, err)
		}
	}
	if _, err := p.Deliver(t.Context(), "_", "panic", FormatNone, nil); err == nil {
		t.Error("a panic is no error")
	}
	if _, err := p.Deliver(t.Context(), "nowhere", "t", FormatNone, nil); err == nil {
		t.Error("an unknown namespace is no error")
	}
	book.want(t, "value", "error", "fail", "", "")
	var replies notebook
	err = p.Answer(t.Context(), "_", "two", FormatBytes, []byte("q"), func(f Format, b []byte) error {
		replies.note("%d %s", f, b)
		return nil
	})
	if err == nil || err.Error() != "midway" {
		t.Errorf("got %v", err)
	}
	replies.want(t, "1 q", "2 2")
	w.full = true
	if n, err := h.Broadcast(say("all", "z")); n != 0 || err != nil || !errors.Is(w.closed, ErrSlow) {
		t.Errorf("a full wire: %d, %v, closed with %v", n, err, w.closed)
	}
	if err := p.Post(t.Context(), say("t", "")); !errors.Is(err, ErrPeerDied) {
		t.Errorf("got %v", err)
	}
	last := c.events[len(c.events)-1]
	if last.Kind != PeerGone || !errors.Is(last.Err, ErrSlow) {
		t.Errorf("got %+v", last)
	}
}

// A client that only sends messages is not one that asks nothing: when there are
// too many connections, it is not the one to go.
func TestBusyPeersStay(t *testing.T) {
	hub := NewHub(HubOptions{})
	hub.Default().Handle("t", func(context.Context, *Received) error { return nil })
	s := NewServer(Options{Hub: hub, MaxConns: 2})
	busy, _, _ := connect(t, s)
	if _, err := busy.Peer().Ask(t.Context(), say("t", "")); err != nil {
		t.Fatal(err)
	}
	idle, _, _ := connect(t, s)
	third, _, _ := connect(t, s)
	<-idle.Done()
	if _, err := busy.Peer().Ask(t.Context(), say("t", "")); err != nil {
		t.Error(err)
	}
	if _, err := third.Peer().Ask(t.Context(), say("t", "")); err != nil {
		t.Error(err)
	}
}
