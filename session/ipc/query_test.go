package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// gather ranges over the replies.
func gather(t testing.TB, p *Peer, q Query) (got []string, err error) {
	t.Helper()
	for r, e := range p.Request(t.Context(), q) {
		if e != nil {
			return got, e
		}
		got = append(got, string(r.Payload))
	}
	return got, nil
}

func TestRequestReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, sb := join(t, here, there)
		for _, h := range []*Hub{here, there} {
			d := h.Default()
			d.HandleRequest("", func(_ context.Context, q *Question) error {
				if q.Topic == "generic" {
					return q.Reply(Bytes([]byte("generic")))
				}
				return nil
			})
			d.HandleRequest("count", func(_ context.Context, q *Question) error {
				for i := range 3 {
					if err := q.Reply(Bytes(fmt.Appendf(nil, "%s%d", q.Payload, i))); err != nil {
						return err
					}
				}
				return nil
			})
			d.HandleRequest("midway", func(_ context.Context, q *Question) error {
				return errors.Join(q.Reply(Bytes([]byte("some"))), errors.New("no more"))
			})
			d.HandleRequest("panic", func(_ context.Context, q *Question) error { panic("x") })
			d.HandleRequest("none", func(_ context.Context, q *Question) error { return nil })
		}
		for _, p := range []*Peer{sa.peer, sb.peer} {
			if got, err := gather(t, p, Query{Topic: "count", Body: Bytes([]byte("n"))}); err != nil || strings.Join(got, " ") != "n0 n1 n2" {
				t.Errorf("got %q, %v", got, err)
			}
			if got, err := gather(t, p, Query{Topic: "generic"}); err != nil || strings.Join(got, " ") != "generic" {
				t.Errorf("generic: got %q, %v", got, err)
			}
			var e *RemoteError
			if got, err := gather(t, p, Query{Topic: "midway"}); strings.Join(got, " ") != "some" || !errors.As(err, &e) || e.Msg != "no more" {
				t.Errorf("midway: got %q, %v", got, err)
			}
			if _, err := gather(t, p, Query{Topic: "panic"}); !errors.As(err, &e) || e.Code != heddle.CodeException {
				t.Errorf("panic: got %v", err)
			}
			if r, err := p.Call(t.Context(), Query{}); err != nil || r.Payload != nil {
				t.Errorf("no topic, no reply: got %v, %v", r, err)
			}
			if _, err := p.Call(t.Context(), Query{Topic: "count"}); !errors.Is(err, ErrReplies) {
				t.Errorf("Call of a stream: got %v", err)
			}
			// What is large travels in pieces, both ways.
			big := strings.Repeat("b", 3<<20)
			if got, err := gather(t, p, Query{Topic: "count", Body: Bytes([]byte(big))}); err != nil || len(got) != 3 || got[2] != big+"2" {
				t.Errorf("large: %d replies, %v", len(got), err)
			}
		}
	})
}

// A burst of 1,000 replies in one write arrives whole and in order, from a peer
// that knows no more of us than docs/ipc.md.
func TestBurstOfReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, oneChunk := range []bool{false, true} {
			a, b := sessiontest.Pipe(t)
			p := newPeer(t, NewHub(HubOptions{}), PeerInfo{})
			sa := newSide(a, false, p)
			if err := p.Attach(sa.mux); err != nil {
				t.Fatal(err)
			}
			a.Start(sa.mux)
			b.Start(&rawPeer{link: b, onInvoke: func(id uint64) []byte {
				var out, replies []byte
				for i := range 1000 {
					replies = appendReply(replies, FormatBytes, fmt.Append(nil, i))
					if !oneChunk && i%2 == 1 { // each by itself would be more than the window
						out = codec.AppendChunk(out, heddle.V1, id, replies)
						replies = nil
					}
				}
				if oneChunk {
					out = codec.AppendChunk(nil, heddle.V1, id, replies)
				}
				return codec.AppendChoke(out, heddle.V1, id)
			}})
			got, err := gather(t, p, Query{Topic: "burst"})
			if err != nil || len(got) != 1000 {
				t.Fatalf("got %d replies, %v", len(got), err)
			}
			for i, s := range got {
				if s != fmt.Sprint(i) {
					t.Fatalf("reply %d is %q", i, s)
				}
			}
		}
	})
}

// A rawPeer answers each session that is opened with bytes of its own, in one write.
type rawPeer struct {
	link     session.Link
	onInvoke func(id uint64) []byte
	seen     map[uint64]bool
}

func (r *rawPeer) OnOpen() {}
func (r *rawPeer) OnBytes(p []byte) (int, error) {
	d := codec.NewDecoder(heddle.V1, codec.Limits{})
	all := 0
	for len(p) > 0 {
		f, n, err := d.Next(p)
		if err != nil {
			return all, nil
		}
		if r.seen == nil {
			r.seen = make(map[uint64]bool)
		}
		if !r.seen[f.Session] {
			r.seen[f.Session] = true
			_, _ = r.link.Send(r.onInvoke(f.Session), nil)
		}
		p, all = p[n:], all+n
	}
	return all, nil
}
func (r *rawPeer) OnEOF()        { r.link.Close(nil) }
func (r *rawPeer) OnDrain()      {}
func (r *rawPeer) OnClose(error) {}

func TestRequestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		there.Default().HandleRequest("slow", func(ctx context.Context, q *Question) error {
			var first, gap time.Duration
			fmt.Sscan(string(q.Payload), (*int64)(&first), (*int64)(&gap))
			time.Sleep(first)
			_ = q.Reply(Bytes([]byte("1")))
			time.Sleep(gap)
			return q.Reply(Bytes([]byte("2")))
		})
		for _, tt := range []struct {
			first, gap time.Duration // the handler's
			q          Query
			replies    int
			want       time.Duration
		}{
			{40 * time.Second, 0, Query{}, 0, 30 * time.Second},
			{29 * time.Second, 11 * time.Second, Query{}, 1, 39 * time.Second},
			{time.Second, 0, Query{First: 100 * time.Millisecond}, 0, 100 * time.Millisecond},
			{time.Second, time.Second, Query{Gap: 100 * time.Millisecond}, 1, 1100 * time.Millisecond},
		} {
			begun := time.Now()
			tt.q.Topic, tt.q.Body = "slow", Bytes(fmt.Append(nil, int64(tt.first), int64(tt.gap)))
			got, err := gather(t, sa.peer, tt.q)
			var e *TimeoutError
			if !errors.As(err, &e) || len(got) != tt.replies || time.Since(begun) != tt.want || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v, %v: %d replies, %v after %v", tt.first, tt.gap, len(got), err, time.Since(begun))
			}
		}
		got, err := gather(t, sa.peer, Query{Topic: "slow", First: -1, Gap: -1, Body: Bytes(fmt.Append(nil, int64(time.Hour), int64(time.Hour)))})
		if err != nil || len(got) != 2 {
			t.Errorf("without limits: %q, %v", got, err)
		}
	})
}

// Whoever stops asking has the handler's context cancelled.
func TestRequestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		why := make(chan error, 1)
		there.Default().HandleRequest("endless", func(ctx context.Context, q *Question) error {
			for {
				if err := q.Reply(Bytes([]byte("x"))); err != nil {
					<-ctx.Done()
					why <- context.Cause(ctx)
					return err
				}
				time.Sleep(time.Second)
			}
		})
		n := 0
		for _, err := range sa.peer.Request(t.Context(), Query{Topic: "endless"}) {
			if n++; n == 3 || err != nil {
				break
			}
		}
		if err := <-why; !errors.Is(err, context.Canceled) {
			t.Errorf("left the range: the handler's cause is %v", err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errors.New("lunch"))
		defer cancel()
		var last error
		for _, err := range sa.peer.Request(ctx, Query{Topic: "endless"}) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "lunch") {
			t.Errorf("got %v", last)
		}
		<-why
	})
}

// A peer that dies fails its requests at once, after what had come.
func TestRequestPeerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, sb := join(t, here, there)
		there.Default().HandleRequest("die", func(ctx context.Context, q *Question) error {
			_ = q.Reply(Bytes([]byte("1")))
			time.AfterFunc(time.Second, func() { sb.end.Abort(nil) })
			<-ctx.Done()
			return nil
		})
		begun := time.Now()
		got, err := gather(t, sa.peer, Query{Topic: "die"})
		if len(got) != 1 || !errors.Is(err, ErrPeerDied) || time.Since(begun) != time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
		if got, err := gather(t, sa.peer, Query{Topic: "die"}); len(got) != 0 || !errors.Is(err, ErrPeerDied) {
			t.Errorf("and then: %q, %v", got, err)
		}
	})
}

// A request waits for its namespace to be ready, as long as for a first reply.
func TestRequestWaitsForReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{Announce: true})
		a, b := newPeer(t, here, PeerInfo{Waits: true}), newPeer(t, there, PeerInfo{})
		there.Default().HandleRequest("t", func(_ context.Context, q *Question) error { return q.Reply(Bytes([]byte("x"))) })
		if _, err := gather(t, a, Query{Topic: "t", First: time.Second}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.AfterFunc(time.Second, func() { plug(t, a, b) })
		time.AfterFunc(2*time.Second, there.Default().Ready)
		begun := time.Now()
		if got, err := gather(t, a, Query{Topic: "t"}); err != nil || len(got) != 1 || time.Since(begun) != 2*time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
	})
}

// More requests than MaxRequests are refused, one by one.
func TestRequestsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{MaxRequests: 3})
		sa, _ := join(t, here, there)
		there.Default().HandleRequest("wait", func(context.Context, *Question) error { time.Sleep(time.Second); return nil })
		for range 3 { // again and again: nothing of those before is left
			errs := make(chan error)
			for range 5 {
				go func() { _, err := sa.peer.Call(t.Context(), Query{Topic: "wait"}); errs <- err }()
			}
			refused := 0
			for range 5 {
				var e *RemoteError
				if err := <-errs; errors.As(err, &e) && e.Category == heddle.CategoryOverseer && e.Code == heddle.CodePoolFull {
					refused++
				} else if err != nil {
					t.Error(err)
				}
			}
			if refused != 2 {
				t.Errorf("%d refused, want 2", refused)
			}
			synctest.Wait()
		}
		if _, err := sa.peer.Call(t.Context(), Query{Topic: "wait"}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// S21: bytes, JSON and values; what cannot be encoded is an error before a byte is sent.
func TestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := Values{
			Append: func(dst []byte, v any) ([]byte, error) {
				n, ok := v.(int)
				if !ok {
					return nil, fmt.Errorf("no encoding for %T", v)
				}
				return append(dst, byte(n)), nil
			},
			Decode: func(p []byte, v any) error { *v.(*int) = int(p[0]); return nil },
		}
		here, there := NewHub(HubOptions{Values: values}), NewHub(HubOptions{Values: values})
		sa, _ := join(t, here, there)
		there.Default().Handle("double", func(_ context.Context, r *Received) error {
			switch r.Format {
			case FormatJSON, FormatValue:
				var n int
				if err := r.Decode(&n); err != nil {
					return err
				}
				if r.Format == FormatJSON {
					return r.Reply(JSON(2 * n))
				}
				return r.Reply(Value(2 * n))
			}
			var p []byte
			if err := r.Decode(&p); err != nil {
				return err
			}
			return r.Reply(Bytes(append(p, p...)))
		})
		for _, b := range []Body{JSON(21), RawJSON([]byte("21")), Value(21)} {
			r, err := sa.peer.Ask(t.Context(), Message{Topic: "double", Body: b})
			var n int
			if err := errors.Join(err, r.Decode(&n)); err != nil || n != 42 || r.Format != b.format {
				t.Errorf("%v: got %d, %v", b, n, err)
			}
		}
		if r, err := sa.peer.Ask(t.Context(), say("double", "ab")); err != nil || string(r.Payload) != "abab" {
			t.Errorf("got %q, %v", r.Payload, err)
		}
		for _, b := range []Body{JSON(make(chan int)), Value("x"), RawJSON([]byte("{")), Bytes(make([]byte, 5<<20))} {
			if _, err := sa.peer.Send(t.Context(), Message{Topic: "double", Body: b}); err == nil {
				t.Errorf("%v was sent", b.value)
			}
			if _, err := sa.peer.Call(t.Context(), Query{Topic: "double", Body: b}); err == nil {
				t.Errorf("%v was asked", b.value)
			}
		}
		_, err := sa.peer.Send(t.Context(), Message{Body: Value(uint8(1))})
		if err == nil || !strings.Contains(err.Error(), "uint8") {
			t.Errorf("the type is not named: %v", err)
		}
	})
}
