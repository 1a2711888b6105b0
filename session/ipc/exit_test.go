package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A handler that ends its goroutine, as testing.T.FailNow does, fails alone: the messages
// behind it are handled, in order, and nothing of it stays.
func TestHandlerExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{MaxRequests: 2})
		sa, _ := join(t, here, there)
		exit := func() { runtime.Goexit() }
		var notes notebook
		there.Default().Handle("note", notes.handler)
		there.Default().Handle("exit", func(context.Context, *Received) error { exit(); return nil })
		there.Default().HandleRequest("exit", func(context.Context, *Question) error { exit(); return nil })
		wants := func(what string, err error) {
			var e *RemoteError
			if !errors.As(err, &e) || e.Msg != "the handler called runtime.Goexit" {
				t.Errorf("%s: got %v", what, err)
			}
		}
		var acks []*Ack
		for i := range 3 {
			post(t, sa.peer, say("exit", ""))
			acks = append(acks, send(t, sa.peer, say("exit", "")))
			post(t, sa.peer, say("note", fmt.Sprint(i)))
		}
		for _, a := range acks {
			_, err := a.Wait(t.Context())
			wants("message", err)
		}
		for range 3 { // more than MaxRequests
			_, err := sa.peer.Call(t.Context(), Query{Topic: "exit"})
			wants("request", err)
		}
		synctest.Wait()
		notes.want(t, "0", "1", "2")
		if n := there.running.Load(); n != 1 || there.requests.Load() != 0 {
			t.Errorf("%d handlers run, %d requests", n, there.requests.Load())
		}
		if err := there.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Who asks with more than the peer takes now can still stop asking.
func TestRequestCancelledWhileSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
		sa, _ := join(t, here, there)
		sa.end.Stall(true)
		defer sa.end.Stall(false)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("lunch"))
		defer cancel()
		begun := time.Now()
		_, err := sa.peer.Call(ctx, Query{Topic: "t", Body: Bytes(bytes.Repeat([]byte("x"), 2<<20)), First: -1})
		if err == nil || !strings.Contains(err.Error(), "lunch") || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

// Announcements of one namespace may come while messages of another leave: for -race.
func TestReadyWhileSending(t *testing.T) {
	here, there := NewHub(HubOptions{}), NewHub(HubOptions{})
	p := newPeer(t, here, PeerInfo{Waits: true})
	plug(t, p, newPeer(t, there, PeerInfo{}))
	if err := p.SetReady(DefaultNamespace); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(over)
		for range 20_000 {
			if err := p.SetReady("other"); err != nil {
				t.Error(err)
			}
		}
	})
	defer wg.Wait()
	for {
		select {
		case <-over:
			return
		default:
			post(t, p, say("t", "x"))
			time.Sleep(time.Microsecond) // the next one finds an empty queue
		}
	}
}
