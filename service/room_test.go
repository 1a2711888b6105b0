package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// TestRoomBounds has many enter at once, queue what they have, and drain now and
// then, as the loop does: what is queued never goes over the mark by more than one
// message, and everybody comes in.
func TestRoomBounds(t *testing.T) {
	const size, callers = 100_000, 500
	var queued atomic.Int64
	r := room{queued: func() int { return int(queued.Load()) }, gone: make(chan struct{}), most: 1 << 24}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := r.enter(t.Context(), 0, size, nil); err != nil {
				t.Error(err)
				return
			}
			if n := queued.Add(size); n > session.HighWater+size {
				t.Errorf("%d bytes are queued", n)
			}
			r.leave(size)
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	for drained := false; !drained; {
		select {
		case <-done:
			drained = true
		default:
			if queued.Load() >= session.HighWater {
				queued.Store(0)
				r.wake()
			}
			time.Sleep(time.Microsecond)
		}
	}
	if r.waiting.Load() != 0 || r.entered.Load()%claimed != 0 || r.waiters.Len() != 0 {
		t.Errorf("left behind: %d waiting, %d bytes entered", r.waiting.Load(), r.entered.Load()%claimed)
	}
}

// TestRoomLeft is who waits in vain, and that those behind are not held up by it.
func TestRoomLeft(t *testing.T) {
	gone := make(chan struct{})
	r := room{queued: func() int { return session.HighWater }, gone: gone, most: 1000}
	if err := r.enter(t.Context(), 0, 1001, nil); !errors.Is(err, codec.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := r.enter(t.Context(), time.Millisecond, 10, nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
	cause := errors.New("no more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := r.enter(ctx, 0, 10, nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if r.waiting.Load() != 0 || r.entered.Load() != 0 {
		t.Errorf("left behind: %d waiting, %d bytes entered", r.waiting.Load(), r.entered.Load())
	}
	close(gone)
	if err := r.enter(t.Context(), 0, 10, nil); err != nil {
		t.Errorf("got %v", err)
	}
	r.leave(10)
	if r.waiting.Load() != 0 || r.entered.Load() != 0 {
		t.Errorf("left behind: %d waiting, %d bytes entered", r.waiting.Load(), r.entered.Load())
	}
}
