package ipc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wantBack checks that nothing of the allowances is taken.
func wantBack(t testing.TB, p *Peer) {
	t.Helper()
	m, b, f, h := p.messages.used.Load(), p.bytes.used.Load(), p.files.used.Load(), p.hub.files.used.Load()
	if m != 0 || b != 0 || f != 0 || h != 0 {
		t.Errorf("not given back: %d messages, %d bytes, %d descriptors, %d of the hub", m, b, f, h)
	}
}

// What waits for a peer is bounded over all its namespaces, in messages and bytes, and
// so are these; all of it is given back.
func TestPeerBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(HubOptions{QueueMessages: 10, QueueBytes: 1000, PeerMessages: 25, PeerBytes: 2500, PeerSpaces: 8, QueueAge: time.Second})
		count := func(m Message) (n int) {
			p := newPeer(t, h, PeerInfo{Waits: true})
			defer func() {
				p.End(nil)
				wantBack(t, p)
			}()
			m.Topic, m.NoWait = "t", true
			for i := range 100 {
				m.Namespace = fmt.Sprint("n", i%8)
				switch err := p.Post(t.Context(), m); {
				case err == nil:
					n++
				case !errors.Is(err, ErrQueueFull):
					t.Fatal(err)
				}
			}
			m.Namespace = "n8"
			if err := p.Post(t.Context(), m); !errors.Is(err, ErrQueueFull) {
				t.Errorf("a namespace too many: %v", err)
			}
			time.Sleep(2 * time.Second)
			wantBack(t, p) // they are too old
			if err := p.Post(t.Context(), m); err != nil {
				t.Errorf("once the others are empty: %v", err)
			}
			return n
		}
		if n := count(Message{}); n != 25 {
			t.Errorf("%d messages wait, 25 may", n)
		}
		if n := count(Message{Body: Bytes(make([]byte, 400))}); n < 3 || n > 6 {
			t.Errorf("%d messages of 400 bytes wait, 2500 bytes may", n)
		}
		if h.Counters().Full == 0 {
			t.Error("nothing was counted")
		}
	})
}

// Whoever waits for room in the peer's total gets it when another namespace makes
// some, however little.
func TestPeerBoundsWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(HubOptions{PeerMessages: 3, QueueAge: time.Hour})
		p := newPeer(t, h, PeerInfo{Waits: true})
		defer p.End(nil)
		for i := range 2 {
			post(t, p, Message{Namespace: fmt.Sprint("n", i)})
		}
		send(t, p, Message{Namespace: "n2", Timeout: time.Minute})
		begun := time.Now()
		if err := p.Post(t.Context(), Message{Namespace: "n3"}); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		// One that waits when the peer goes learns of it.
		time.AfterFunc(time.Second, func() { p.End(nil) })
		if err := p.Post(t.Context(), Message{Namespace: "n4"}); !errors.Is(err, ErrPeerDied) {
			t.Errorf("got %v", err)
		}
		synctest.Wait() // until End has returned: who waited may know before
		wantBack(t, p)
	})
}

// Many senders in many namespaces share little, and all come through.
func TestPeerBoundsCrowd(t *testing.T) {
	here, there := NewHub(HubOptions{PeerMessages: 2, PeerBytes: 200}), NewHub(HubOptions{})
	sa, _ := join(t, here, there)
	const spaces, each = 16, 200
	var wg sync.WaitGroup
	for i := range spaces {
		name := fmt.Sprint("n", i)
		space(t, there, name).Handle("t", func(context.Context, *Received) error { return nil })
		wg.Go(func() {
			for j := range each {
				m := Message{Namespace: name, Topic: "t", Body: Bytes(make([]byte, j))}
				var err error
				if j == each-1 {
					_, err = sa.peer.Ask(t.Context(), m)
				} else {
					err = sa.peer.Post(t.Context(), m)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantBack(t, sa.peer)
}
