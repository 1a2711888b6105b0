package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// C8, C9: a handler answers by a value, by nothing, or later; on both sides.
func TestAckReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, sb := join(t, here, there)
		for _, h := range []*Hub{here, there} {
			d := h.Default()
			d.Handle("value", func(_ context.Context, r *Received) error {
				return r.Reply(Bytes(append([]byte("got "), r.Payload...)))
			})
			d.Handle("nothing", func(context.Context, *Received) error { return nil })
			d.Handle("later", func(_ context.Context, r *Received) error {
				a := r.Later()
				time.AfterFunc(5*time.Second, func() {
					if err := errors.Join(a.Reply(JSON(map[string]int{"n": 1})), r.Peer.Err()); err != nil {
						t.Error(err)
					}
					if err := a.Fail(errors.New("x")); err != ErrAcked {
						t.Errorf("second acknowledgement: got %v, want %v", err, ErrAcked)
					}
				})
				return nil
			})
		}
		for _, p := range []*Peer{sa.peer, sb.peer} {
			later := send(t, p, say("later", ""))
			synctest.Wait()
			select {
			case <-later.Done():
				t.Error("it is done before it was acknowledged")
			default:
			}
			if r, err := p.Ask(t.Context(), say("value", "x")); err != nil || string(r.Payload) != "got x" || r.Format != FormatBytes {
				t.Errorf("value: got %q, %v", r.Payload, err)
			}
			if r, err := p.Ask(t.Context(), say("nothing", "x")); err != nil || r.Payload != nil || r.Format != FormatNone {
				t.Errorf("nothing: got %q, %v", r.Payload, err)
			}
			<-later.Done()
			r, err := later.Wait(t.Context())
			var v struct{ N int }
			if err := errors.Join(err, r.Decode(&v)); err != nil || v.N != 1 {
				t.Errorf("later: got %+v, %v", v, err)
			}
		}
	})
}

// C14, C15, S19: an error's text is kept, and its category and code; a panic with
// whatever value is an error too, and the server lives. Of whom no sender is told,
// the hub is, with the peer, and the log.
func TestHandlerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c chronicle
		var log bytes.Buffer // written by one handler after the other
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{OnEvent: c.on, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		sa, sb := join(t, here, there)
		d := there.Default()
		d.Handle("plain", func(context.Context, *Received) error { return errors.New("no such shelf") })
		d.Handle("coded", func(context.Context, *Received) error {
			return fmt.Errorf("x: %w", &session.Error{Category: heddle.CategorySystem, Code: 2, Msg: "ENOENT"})
		})
		d.Handle("panic", func(context.Context, *Received) error { panic(42) })
		d.Handle("fail", func(_ context.Context, r *Received) error { return r.Fail(errors.New("by hand")) })
		for _, tt := range []struct {
			topic, text    string
			category, code int64
		}{
			{"plain", "no such shelf", heddle.CategoryUser, codeFailed},
			{"coded", "ENOENT", heddle.CategorySystem, 2},
			{"panic", "the handler panicked: 42", heddle.CategoryFramework, heddle.CodeException},
			{"fail", "by hand", heddle.CategoryUser, codeFailed},
		} {
			_, err := sa.peer.Ask(t.Context(), say(tt.topic, ""))
			var e *RemoteError
			if !errors.As(err, &e) || e.Msg != tt.text || e.Category != tt.category || e.Code != tt.code || e.Topic != tt.topic {
				t.Errorf("%s: got %v", tt.topic, err)
			}
			post(t, sa.peer, say(tt.topic, "one way")) // hurts nobody either
			synctest.Wait()
			time.Sleep(time.Second) // the log has ten lines a second at most
			troubles := c.troubles()
			if len(troubles) == 0 || !strings.Contains(troubles[len(troubles)-1].Error(), tt.text) || !strings.Contains(troubles[len(troubles)-1].Error(), strconv.Quote(tt.topic)) {
				t.Errorf("%s: troubles %v", tt.topic, troubles)
			}
			if !strings.Contains(log.String(), tt.text) || !strings.Contains(log.String(), sb.peer.ID()) {
				t.Errorf("%s: logged %q", tt.topic, log.String())
			}
			log.Reset()
		}
		if n := there.Counters().Troubles; n != 5 { // the failures of which no sender is told, and both panics
			t.Errorf("%d troubles, want 5", n)
		}
		for _, e := range c.events {
			if e.Kind == Trouble && e.Peer != sb.peer {
				t.Errorf("a trouble of %v", e.Peer)
			}
		}
	})
}

// C10, C11, C12: the time-out is the call's or the hub's, and its error says whose.
func TestAckTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{AckTimeout: 3 * time.Second}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		space(t, there, "lib").Handle("slow", func(context.Context, *Received) error { time.Sleep(time.Minute); return nil })
		for _, tt := range []struct{ set, want time.Duration }{{0, 3 * time.Second}, {700 * time.Millisecond, 700 * time.Millisecond}, {20 * time.Second, 20 * time.Second}} {
			begun := time.Now()
			a := send(t, sa.peer, Message{Namespace: "lib", Topic: "slow", Timeout: tt.set})
			_, err := a.Wait(t.Context())
			if took := time.Since(begun); took != tt.want {
				t.Errorf("limit %v: took %v, want %v", tt.set, took, tt.want)
			}
			var e *TimeoutError
			if !errors.As(err, &e) || !errors.Is(err, os.ErrDeadlineExceeded) || !e.Timeout() {
				t.Fatalf("got %v", err)
			}
			for _, part := range []string{`"slow"`, fmt.Sprintf("sequence %d", a.Seq()), sa.peer.ID(), `"lib"`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not name %s", err, part)
				}
			}
		}
		if d := NewHub(HubOptions{}).o.AckTimeout; d != 10*time.Second {
			t.Errorf("default: got %v", d)
		}
		time.Sleep(5 * time.Minute) // for the handlers
		if n := here.Counters().LateAcks; n != 3 {
			t.Errorf("got %d late acknowledgements, want 3 (C20)", n)
		}
	})
}

// C19: the time-out takes out of the queue what has not left.
func TestTimeoutRemovesQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		var book notebook
		there.Default().Handle("t", book.handler)
		a, b := newPeer(t, here, PeerInfo{Waits: true}), newPeer(t, there, PeerInfo{})
		post(t, a, say("t", "1"))
		second := send(t, a, Message{Topic: "t", Body: Bytes([]byte("2")), Timeout: time.Second})
		post(t, a, say("t", "3"))
		fourth := send(t, a, say("t", "4"))
		fifth := send(t, a, Message{Topic: "t", Body: Bytes([]byte("5")), Timeout: time.Second})
		for _, ack := range []*Ack{second, fifth} {
			if _, err := ack.Wait(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		plug(t, a, b)
		if err := a.SetReady(); err != nil {
			t.Fatal(err)
		}
		if _, err := fourth.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		book.want(t, "1", "3", "4")
	})
}

// C1: messages wait for the peer to be ready, and keep their order across that.
func TestQueueOrderAcrossReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{Announce: true})
		var book notebook
		there.Default().Handle("t", book.handler)
		a, b := newPeer(t, here, PeerInfo{Waits: true}), newPeer(t, there, PeerInfo{})
		var want []string
		say1 := func(i int) {
			want = append(want, fmt.Sprint(i))
			post(t, a, say("t", fmt.Sprint(i)))
		}
		for i := range 100 {
			say1(i)
		}
		plug(t, a, b)
		synctest.Wait()
		book.want(t)
		for i := range 100 {
			say1(100 + i)
		}
		there.Default().Ready()
		for i := range 300 { // some before, some after the announcement has come
			say1(200 + i)
		}
		synctest.Wait()
		book.want(t, want...)
	})
}

// C2: ready is per namespace.
func TestReadyPerNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{QueueAge: time.Hour}), NewHub(HubOptions{Announce: true})
		var book notebook
		a, b := newPeer(t, here, PeerInfo{Waits: true}), newPeer(t, there, PeerInfo{})
		plug(t, a, b)
		for _, ns := range []string{"one", "two"} {
			space(t, there, ns).Handle("t", func(_ context.Context, r *Received) error {
				book.note("%s", r.Namespace)
				return nil
			})
			post(t, a, Message{Namespace: ns, Topic: "t"})
		}
		space(t, there, "two").Ready()
		synctest.Wait()
		book.want(t, "two")
		if a.Ready("one") || !a.Ready("two") {
			t.Error("the peer's word of what is ready is not kept")
		}
		there.Ready() // all
		synctest.Wait()
		book.want(t, "two", "one")
		// Once all are ready, one that is not there is unknown.
		if _, err := a.Ask(t.Context(), Message{Namespace: "three", Topic: "t"}); !errors.Is(err, ErrUnknownNamespace) {
			t.Errorf("got %v", err)
		}
	})
}

// The queue is bounded by count, by bytes and by age.
func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c chronicle
		h := NewHub(HubOptions{QueueMessages: 10, QueueBytes: 1000, QueueAge: 5 * time.Second, OnEvent: c.on})
		p := newPeer(t, h, PeerInfo{Waits: true})
		defer p.End(nil)
		for range 10 {
			post(t, p, say("t", ""))
		}
		full := Message{Topic: "t", NoWait: true}
		if err := p.Post(t.Context(), full); err != ErrQueueFull {
			t.Errorf("eleventh: got %v", err)
		}
		full.Namespace, full.Body = "big", Bytes(make([]byte, 2000)) // more than the queue's bytes: alone
		if err := p.Post(t.Context(), full); err != nil {
			t.Error(err)
		}
		if err := p.Post(t.Context(), full); err != ErrQueueFull {
			t.Errorf("second big one: got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := p.Post(ctx, say("t", "")); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("a Post under a context: %v after %v", err, time.Since(begun))
		}
		if _, err := p.Send(t.Context(), Message{Topic: "t", Timeout: time.Second}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a Send whose time passes while it waits for room: %v", err)
		}
		// One that waits gets its room when the old ones have become too old.
		if err := p.Post(t.Context(), say("t", "late")); err != nil || time.Since(begun) < 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		synctest.Wait()
		events := c.troubles()
		if n := h.Counters().Expired; n != 11 || len(events) != 2 || !errors.Is(events[0], ErrExpired) {
			t.Errorf("%d expired, events %v", n, events)
		}
		a := send(t, p, say("t", ""))
		if _, err := a.Wait(t.Context()); !errors.Is(err, ErrExpired) {
			t.Errorf("got %v", err)
		}
	})
}

// C3, C13: a dead peer refuses at once; what waits for it fails when it dies,
// whether it was sent or not.
func TestPeerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, sb := join(t, here, there)
		stop := make(chan struct{})
		there.Default().Handle("hang", func(ctx context.Context, _ *Received) error {
			select {
			case <-ctx.Done():
			case <-stop:
			}
			return nil
		})
		var acks []*Ack
		for range 5 {
			acks = append(acks, send(t, sa.peer, say("hang", "")))
		}
		synctest.Wait()
		sa.end.Stall(true)
		for range 5 {
			acks = append(acks, send(t, sa.peer, say("hang", string(make([]byte, 30_000)))))
		}
		waits := newPeer(t, here, PeerInfo{Waits: true})
		acks = append(acks, send(t, waits, say("hang", "")))
		died := time.Now()
		sb.end.Abort(nil)
		synctest.Wait()
		waits.End(errors.New("exit status 1"))
		for i, a := range acks {
			if _, err := a.Wait(t.Context()); !errors.Is(err, ErrPeerDied) || time.Since(died) != 0 {
				t.Errorf("%d: got %v after %v", i, err, time.Since(died))
			}
		}
		if _, err := acks[10].Wait(t.Context()); !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("the cause is lost: %v", err)
		}
		<-sa.peer.Done()
		if err := sa.peer.Post(t.Context(), say("hang", "")); !errors.Is(err, ErrPeerDied) {
			t.Errorf("got %v", err)
		}
		if _, err := sa.peer.Call(t.Context(), Query{Topic: "hang"}); !errors.Is(err, ErrPeerDied) {
			t.Errorf("got %v", err)
		}
		if n := len(here.Peers()); n != 0 {
			t.Errorf("%d peers left", n)
		}
		close(stop)
	})
}

// C16: a second acknowledgement is refused, the first one holds.
func TestDoubleAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		there.Default().Handle("t", func(_ context.Context, r *Received) error {
			if err := r.Reply(Bytes([]byte("first"))); err != nil {
				t.Error(err)
			}
			if err := r.Reply(Bytes([]byte("second"))); err != ErrAcked {
				t.Errorf("got %v, want %v", err, ErrAcked)
			}
			return errors.New("third") // is told as trouble, and not to the sender
		})
		if r, err := sa.peer.Ask(t.Context(), say("t", "")); err != nil || string(r.Payload) != "first" {
			t.Errorf("got %q, %v", r.Payload, err)
		}
		if n := there.Counters().Troubles; n != 1 {
			t.Errorf("%d troubles", n)
		}
		if n := here.Counters().LateAcks; n != 0 {
			t.Errorf("%d acknowledgements too many were sent", n)
		}
	})
}

// A reply that cannot be sent acknowledges nothing: another one may.
func TestAckerTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		there.Default().Handle("t", func(_ context.Context, r *Received) error {
			a := r.Later()
			if err := a.Reply(JSON(func() {})); err == nil || err == ErrAcked {
				t.Errorf("a func as JSON: %v", err)
			}
			return a.Fail(errors.New("in words"))
		})
		var e *RemoteError
		if _, err := sa.peer.Ask(t.Context(), say("t", "")); !errors.As(err, &e) || e.Msg != "in words" {
			t.Errorf("got %v", err)
		}
	})
}

// C17: an unknown namespace and an unknown topic are two errors.
func TestUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		space(t, there, "empty")
		for _, tt := range []struct {
			ns        string
			want, not error
		}{{"empty", ErrUnknownTopic, ErrUnknownNamespace}, {"nowhere", ErrUnknownNamespace, ErrUnknownTopic}} {
			_, err := sa.peer.Ask(t.Context(), Message{Namespace: tt.ns, Topic: "t"})
			if !errors.Is(err, tt.want) || errors.Is(err, tt.not) {
				t.Errorf("message to %s: got %v", tt.ns, err)
			}
			_, err = sa.peer.Call(t.Context(), Query{Namespace: tt.ns, Topic: "t"})
			if !errors.Is(err, tt.want) || errors.Is(err, tt.not) {
				t.Errorf("request to %s: got %v", tt.ns, err)
			}
		}
		// The stream that was refused is no more; the next one is another.
		var book notebook
		space(t, there, "nowhere").Handle("t", book.handler)
		if _, err := sa.peer.Ask(t.Context(), Message{Namespace: "nowhere", Topic: "t", Body: Bytes([]byte("x"))}); err != nil {
			t.Error(err)
		}
		book.want(t, "x")
	})
}

// C18: namespaces are apart, their names checked, and one name is one object.
func TestNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		var one, two, def notebook
		space(t, there, "one").Handle("t", one.handler)
		space(t, there, "two").Handle("t", two.handler)
		there.Default().Handle("t", def.handler)
		for _, ns := range []string{"one", "two", "", "two"} {
			post(t, sa.peer, Message{Namespace: ns, Topic: "t", Body: Bytes([]byte("for " + ns))})
		}
		synctest.Wait()
		one.want(t, "for one")
		two.want(t, "for two", "for two")
		def.want(t, "for ")
		if there.Default() != space(t, there, "_") {
			t.Error("one name, two namespaces")
		}
		for _, bad := range []string{"", "heddle", "a\x00b", strings.Repeat("x", 256)} {
			if _, err := there.Namespace(bad); !errors.Is(err, ErrName) {
				t.Errorf("%.20q: got %v", bad, err)
			}
			if bad != "" {
				if err := sa.peer.Post(t.Context(), Message{Namespace: bad}); !errors.Is(err, ErrName) {
					t.Errorf("a message to %.20q: got %v", bad, err)
				}
			}
		}
	})
}

// S2, S3, S4: the generic handler first, then the topic's; an empty topic is
// "none"; a message may carry nothing, or null.
func TestGenericFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		var book notebook
		d := there.Default()
		note := func(who string) MessageHandler {
			return func(_ context.Context, r *Received) error {
				book.note("%s %s %d %q", who, r.Topic, r.Format, r.Payload)
				return nil
			}
		}
		d.Handle("", note("any"))
		d.Handle("news", note("news"))
		d.Handle("none", note("none"))
		post(t, sa.peer, say("news", "x"))
		post(t, sa.peer, Message{})
		post(t, sa.peer, Message{Topic: "other", Body: JSON(nil)})
		synctest.Wait()
		book.want(t, `any news 1 "x"`, `news news 1 "x"`, `any none 0 ""`, `none none 0 ""`, `any other 2 "null"`)
		d.Handle("", nil)
		if _, err := sa.peer.Ask(t.Context(), say("other", "")); !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("a handler taken back: got %v", err)
		}
	})
}
