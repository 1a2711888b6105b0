//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Descriptors on their way are bounded for a peer and for all, also those of messages
// and requests that were given up while the channel stands still.
func TestFilesBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, there := NewHub(HubOptions{PeerFiles: 20, HubFiles: 30}), NewHub(HubOptions{Announce: true})
		there.Default().Handle("t", func(context.Context, *Received) error { return nil })
		there.Default().HandleRequest("t", func(context.Context, *Question) error { return nil })
		null := func() []any {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() }) // fails if it was sent
			return []any{f}
		}
		fill := func(p *Peer) (n int) {
			for i := range 40 {
				m := Message{Namespace: fmt.Sprint("n", i%7), Topic: "t", Files: null(), QueueFiles: true, NoWait: true}
				switch _, err := p.Send(t.Context(), m); {
				case err == nil:
					n++
				case err != ErrQueueFull:
					t.Fatal(err)
				}
			}
			return n
		}
		one, two := newPeer(t, h, PeerInfo{Waits: true, Files: true}), newPeer(t, h, PeerInfo{Waits: true, Files: true})
		if n := fill(one); n != 20 {
			t.Errorf("%d descriptors wait for a peer, 20 may", n)
		}
		if n := fill(two); n != 10 {
			t.Errorf("%d descriptors wait for the second, 10 may", n)
		}
		// One that waits gets its turn.
		time.AfterFunc(time.Second, func() { one.End(nil) })
		begun := time.Now()
		a, err := two.Send(t.Context(), Message{Topic: "t", Files: null(), QueueFiles: true})
		if err != nil || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if _, err := two.Send(t.Context(), Message{Topic: "t", Files: null(), NoWait: true}); err != ErrNotReady {
			t.Errorf("not ready: %v", err)
		}
		sa, _ := plug(t, two, newPeer(t, there, PeerInfo{Files: true}))
		there.Ready()
		if _, err := a.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		wantBack(t, two) // the peer has refused the other namespaces

		sa.end.Stall(true)
		for range 30 {
			_, err := two.Call(t.Context(), Query{Topic: "t", Files: null(), First: time.Second})
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a request that nobody reads: %v", err)
			}
		}
		if n := two.files.used.Load(); n != 20 {
			t.Errorf("%d descriptors are with a channel that stands still, 20 may", n)
		}
		sa.end.Stall(false)
		time.Sleep(time.Second)
		wantBack(t, two)
		if _, err := two.Call(t.Context(), Query{Topic: "t", Files: null()}); err != nil {
			t.Error(err)
		}
		two.End(nil)
	})
}
