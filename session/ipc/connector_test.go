package ipc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeClient is a connection that a test ends.
type fakeClient struct {
	peer *Peer
	done chan struct{}
}

func (f *fakeClient) Peer() *Peer           { return f.peer }
func (f *fakeClient) Done() <-chan struct{} { return f.done }
func (f *fakeClient) Close() error          { f.peer.End(nil); return nil }

// S14, S15, S16, S17: it tries every second until the server is there, again
// between the two bounds when it has gone, and says all of it; what is sent while
// it is down, or after Close, fails at once.
func TestConnector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := NewHub(HubOptions{})
		there := NewHub(HubOptions{})
		var book notebook
		there.Default().Handle("t", book.handler)
		var mu sync.Mutex
		var all []Change
		var times []time.Duration
		history := func() []Change {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		begun := time.Now()
		refused := errors.New("refused")
		var up atomic.Bool
		var cur *fakeClient
		var wire *side
		o := ConnectorOptions{DialOptions: DialOptions{Hub: hub}, ReconnectMin: 100 * time.Millisecond, ReconnectMax: 300 * time.Millisecond, OnChange: func(c Change) {
			mu.Lock()
			all = append(all, c)
			times = append(times, time.Since(begun))
			mu.Unlock()
		}}
		ctx, end := context.WithCancel(t.Context())
		c := &Connector{o: o.withDefaults(), end: end, done: make(chan struct{})}
		go c.run(ctx, func(context.Context) (client, error) {
			if !up.Load() {
				return nil, refused
			}
			cur = &fakeClient{peer: newPeer(t, hub, PeerInfo{}), done: make(chan struct{})}
			wire, _ = plug(t, cur.peer, newPeer(t, there, PeerInfo{}))
			return cur, nil
		})
		synctest.Wait()
		if err := c.Post(t.Context(), say("t", "lost")); err != ErrDown {
			t.Errorf("while down: got %v", err)
		}
		if _, err := c.Send(t.Context(), say("t", "lost")); err != ErrDown {
			t.Errorf("while down: got %v", err)
		}
		for _, err := range c.Request(t.Context(), Query{}) {
			if err != ErrDown {
				t.Errorf("while down: got %v", err)
			}
		}
		time.Sleep(2500 * time.Millisecond)
		up.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := c.Post(t.Context(), say("t", "1")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		var gaps []time.Duration
		for range 20 {
			wire.end.Abort(nil)
			close(cur.done)
			synctest.Wait()
			if err := c.Post(t.Context(), say("t", "lost")); err != ErrDown {
				t.Errorf("while down again: got %v", err)
			}
			changes := history()
			last := changes[len(changes)-1]
			if last.Kind != Disconnected {
				t.Fatalf("got %+v", last)
			}
			gaps = append(gaps, last.Wait)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		a, err := c.Send(t.Context(), say("t", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		if err := c.Post(t.Context(), say("t", "lost")); err != ErrClosed {
			t.Errorf("after Close: got %v", err)
		}
		book.want(t, "1", "2")
		changes := history()
		for i, want := range []ChangeKind{Failed, Failed, Failed, Connected, Disconnected, Reconnected} {
			if changes[i].Kind != want || (want == Failed) != (changes[i].Err == refused) {
				t.Errorf("change %d: got %+v, want kind %d", i, changes[i], want)
			}
			if i < 4 && times[i] != time.Duration(i)*time.Second {
				t.Errorf("change %d after %v", i, times[i])
			}
		}
		if last := changes[len(changes)-1]; last.Kind != Closed {
			t.Errorf("last: got %+v", last)
		}
		lo, hi := slices.Min(gaps), slices.Max(gaps)
		if lo < 100*time.Millisecond || hi > 300*time.Millisecond || lo == hi {
			t.Errorf("waits before the next try are from %v to %v", lo, hi)
		}
	})
}

func TestConnectorDefaults(t *testing.T) {
	for _, tt := range []struct{ o, want ConnectorOptions }{
		{ConnectorOptions{}, ConnectorOptions{Retry: time.Second, ReconnectMin: 100 * time.Millisecond, ReconnectMax: time.Second}},
		{ConnectorOptions{ReconnectMin: time.Second}, ConnectorOptions{Retry: time.Second, ReconnectMin: time.Second, ReconnectMax: time.Second}},
		{ConnectorOptions{ReconnectMax: 5 * time.Second}, ConnectorOptions{Retry: time.Second, ReconnectMin: 100 * time.Millisecond, ReconnectMax: 5 * time.Second}},
	} {
		if got := tt.o.withDefaults(); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("got %v, want %v", got, tt.want)
		}
	}
}
