package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// switchboard is a hub with two peers that it connects: what the one has for "b" goes
// to the other. Both believe it.
func switchboard(t *testing.T, ra *Router) (hub, a, b *Hub, fromA, fromB *Peer) {
	t.Helper()
	hub, a, b = NewHub(HubOptions{}), NewHub(HubOptions{}), NewHub(HubOptions{})
	toB := newPeer(t, hub, PeerInfo{Kind: "b"})
	as := Member{Kind: KindWorker, Index: 7, ID: "a's", Pid: 77, Release: "r"}
	r := &Router{
		Message: func(ctx context.Context, selector string, m *Received) (d Delivery, err error) {
			if selector != "b" {
				return d, fmt.Errorf("who is %q", selector)
			}
			err = toB.PostFor(ctx, as, Message{Namespace: m.Namespace, Topic: m.Topic, Body: Raw(m.Format, m.Payload)})
			return Delivery{Chosen: 1, Sent: 1, Failed: []Failure{Fail(as, ErrQueueFull)}}, err
		},
		Request: func(ctx context.Context, selector string, q *Question, first, gap time.Duration) error {
			if err := q.Answer(Answer{Kind: AnswerChosen, Chosen: 3}); err != nil {
				return err
			}
			for r, err := range toB.RequestFor(ctx, as, Query{Namespace: q.Namespace, Topic: q.Topic, Body: Raw(q.Format, q.Payload), First: first, Gap: gap}) {
				answer := Answer{Kind: AnswerReply, From: as, Reply: r}
				if err != nil {
					answer = Answer{Kind: AnswerFailed, From: as, Err: err}
				}
				if err := q.Answer(answer); err != nil {
					return err
				}
			}
			return q.Answer(Answer{Kind: AnswerEnd, From: as})
		},
	}
	if ra != nil {
		r = ra
	}
	hub.SetRouter(r)
	fromA = newPeer(t, a, PeerInfo{Kind: "hub", Forwards: true})
	fromB = newPeer(t, b, PeerInfo{Kind: "hub", Forwards: true})
	plug(t, newPeer(t, hub, PeerInfo{Kind: "a"}), fromA)
	plug(t, toB, fromB)
	return hub, a, b, fromA, fromB
}

// What goes by way of a hub arrives as it was sent, with the word of the hub about who
// has sent it.
func TestRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		_, _, b, peer, _ := switchboard(t, nil)
		var notes notebook
		ns, err := b.Namespace("lib")
		if err != nil {
			t.Fatal(err)
		}
		ns.Handle("", func(_ context.Context, m *Received) error {
			notes.note("generic %s", m.Topic)
			return nil
		})
		ns.Handle("t", func(_ context.Context, m *Received) error {
			notes.note("%s/%s %d %q of %+v", m.Namespace, m.Topic, m.Format, m.Payload, m.From)
			return nil
		})
		ns.HandleRequest("all", func(_ context.Context, q *Question) error {
			return errors.Join(q.Reply(Body{}), q.Reply(Bytes(nil)), q.Reply(Bytes([]byte{0, 1})), q.Reply(RawJSON([]byte("null"))), q.Reply(RawJSON([]byte(`"`+q.From.ID+`"`))))
		})
		ns.HandleRequest("late", func(ctx context.Context, _ *Question) error { <-ctx.Done(); return nil })
		ns.HandleRequest("fail", func(context.Context, *Question) error {
			return &session.Error{Category: heddle.CategoryUser, Code: 9, Msg: "own words"}
		})
		for _, body := range []Body{{}, Bytes(nil), Bytes([]byte("x")), RawJSON([]byte("{}"))} {
			if err := peer.PostTo(ctx, "b", Message{Namespace: "lib", Topic: "t", Body: body}); err != nil {
				t.Error(err)
			}
		}
		d, err := peer.SendTo(ctx, "b", Message{Namespace: "lib", Topic: "u"})
		if err != nil || d.Sent != 1 || len(d.Failed) != 1 || !errors.Is(d.Failed[0].Err(), ErrQueueFull) || d.Failed[0].Pid != 77 {
			t.Errorf("got %+v, %v", d, err)
		}
		if _, err := peer.SendTo(ctx, "c", Message{Topic: "u"}); err == nil || errors.As(err, new(*RemoteError)) == false {
			t.Errorf("a router that fails: %v", err)
		}
		synctest.Wait()
		const of = "of {Kind:worker Index:7 ID:a's Pid:77 Release:r}"
		want := []string{
			"generic t", `lib/t 0 "" ` + of, "generic t", `lib/t 1 "" ` + of, "generic t", `lib/t 1 "x" ` + of, "generic t", `lib/t 2 "{}" ` + of, "generic u",
		}
		if got := notes.all(); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}

		ask := func(topic string) (got []string, failed error) {
			for a, err := range peer.RequestTo(ctx, "b", Query{Namespace: "lib", Topic: topic, First: time.Second}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%d %d %d %q", a.Kind, a.Chosen, a.Reply.Format, a.Reply.Payload))
				failed = errors.Join(failed, a.Err)
			}
			return got, failed
		}
		got, err := ask("all")
		want = []string{`0 3 0 ""`, `1 0 0 ""`, `1 0 1 ""`, `1 0 1 "\x00\x01"`, `1 0 2 "null"`, `1 0 2 "\"a's\""`, `2 0 0 ""`}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := ask("late"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("late: %v", err)
		}
		if _, err := ask("nobody's"); !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("unknown topic: %v", err)
		}
		var e *RemoteError
		if _, err := ask("fail"); !errors.As(err, &e) || e.Code != 9 || e.Msg != "own words" || e.Peer != "a's" {
			t.Errorf("failed: %v", err)
		}
	})
}

// What fits to one fits by way of others, both ways: nobody's longest reply ends the
// request of all.
func TestRoutedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		_, _, b, peer, _ := switchboard(t, nil)
		longest := make([]byte, b.o.MaxMessage)
		got := make(chan int, 1)
		b.Default().Handle("t", func(_ context.Context, m *Received) error { got <- len(m.Payload); return nil })
		b.Default().HandleRequest("t", func(_ context.Context, q *Question) error { return q.Reply(Bytes(q.Payload)) })
		if _, err := peer.SendTo(ctx, "b", Message{Topic: "t", Body: Bytes(longest)}); err != nil {
			t.Error(err)
		} else if n := <-got; n != len(longest) {
			t.Errorf("%d bytes came", n)
		}
		n := 0
		for a, err := range peer.RequestTo(ctx, "b", Query{Topic: "t", Body: Bytes(longest)}) {
			if err != nil || a.Err != nil {
				t.Error(err, a.Err)
			}
			n += len(a.Reply.Payload)
		}
		if n != len(longest) {
			t.Errorf("%d bytes came back", n)
		}
		long := Bytes(append(longest, 0))
		if err := peer.PostTo(ctx, "b", Message{Topic: "t", Body: long}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("one byte more: %v", err)
		}
		for _, err := range peer.RequestTo(ctx, "b", Query{Topic: "t", Body: long}) {
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("one byte more to ask: %v", err)
			}
		}
	})
}

// Who is not believed cannot speak for others, and a hub without a router sends
// nothing on.
func TestNoRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		there.Default().Handle("t", func(context.Context, *Received) error {
			t.Error("a message came")
			return nil
		})
		sa, _ := join(t, here, there)
		if _, err := sa.peer.SendTo(ctx, "b", Message{Topic: "t"}); !errors.Is(err, ErrUnknownNamespace) {
			t.Errorf("for others: %v", err)
		}
		for _, err := range sa.peer.RequestFor(ctx, Member{Kind: KindWorker}, Query{Topic: "t"}) {
			if !errors.Is(err, ErrUnknownNamespace) {
				t.Errorf("on behalf of others: %v", err)
			}
		}
		plain, err := here.AttachWire(new(slate), PeerInfo{Kind: "json"})
		if err != nil {
			t.Fatal(err)
		}
		if err := plain.PostTo(ctx, "b", Message{Topic: "t"}); err != ErrNoRouter {
			t.Errorf("to a plain peer: %v", err)
		}
		if _, err := sa.peer.SendTo(ctx, string(make([]byte, MaxSelector+1)), Message{Topic: "t"}); !errors.Is(err, ErrName) {
			t.Errorf("a long selector: %v", err)
		}
	})
}

// The time-outs of a request to others are the router's, and are bounded.
func TestRouterLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		var first, gap time.Duration
		_, _, _, peer, _ := switchboard(t, &Router{Request: func(_ context.Context, _ string, _ *Question, f, g time.Duration) error {
			first, gap = f, g
			return nil
		}})
		for _, x := range [][4]time.Duration{
			{0, 0, 0, 0}, {time.Second, 2 * time.Second, time.Second, 2 * time.Second},
			{-1, 1, MaxLimit, time.Millisecond}, {48 * time.Hour, 0, MaxLimit, 0},
		} {
			for _, err := range peer.RequestTo(ctx, "x", Query{Topic: "t", First: x[0], Gap: x[1]}) {
				t.Error(err)
			}
			if first != x[2] || gap != x[3] {
				t.Errorf("%v: the router has %v and %v", x, first, gap)
			}
		}
	})
}

// FuzzRoute: what begins as it must not is refused, and what is read is written again
// as it was meant.
func FuzzRoute(f *testing.F) {
	f.Add(appendMember(nil, &Member{Kind: KindWorker, Index: -1, ID: "id", Pid: 3, Release: "r"}))
	var m Message
	if err := m.to("0-3,!self", time.Second, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(append(m.route, "payload"...))
	f.Add([]byte("\x94\x03\x00\x00\x95\xa0\x00\xa0\x00\xa0\x93\x2a\xcc\xc8\xa4oops"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if got, rest, err := cutMember(p); err == nil {
			again, _, err := cutMember(append(appendMember(nil, &got), rest...))
			if err != nil || again != got && got.Pid >= 0 {
				t.Errorf("%x: %+v, then %+v, %v", p, got, again, err)
			}
		}
		if sel, first, gap, _, err := cutSelector(p); err == nil {
			var m Message
			if err := m.to(sel, first, gap); err != nil || first > MaxLimit || gap > MaxLimit || first < 0 || gap < 0 {
				t.Errorf("%x: %q, %v, %v: %v", p, sel, first, gap, err)
			}
		}
		if a, err := readAnswer(&Reply{Format: FormatBytes, Payload: p}, "ns", "t"); err == nil && (a.Kind > AnswerFailed || a.Chosen < 0 || a.Kind == AnswerFailed && a.Err == nil) {
			t.Errorf("%x: %+v", p, a)
		}
	})
}
