package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// A lane is one loop's part of the engine: the endpoint that workers dial
// there, and the channels that may be given sessions.
type lane struct {
	// Immutable once the engine has started.
	e        *Engine
	index    int
	endpoint string     // "unix:/path"
	close    func()     // ends the loop and its listener; nil in tests without sockets
	loop     *loop.Loop // nil in tests without sockets

	// Replaced whole under mu, read without.
	serving atomic.Pointer[[]*channel]

	turn atomic.Uint64 // of requests that are bound to this lane

	mu sync.Mutex
}

// catchUpTurns is how many turns of its loop it takes until a connection that was
// made before has been accepted: one that may have begun already, and one that
// reports it, before or after our function.
const catchUpTurns = 3

// catchUp waits until connections made before it was called have been accepted.
// False: stop came first.
func (l *lane) catchUp(stop <-chan time.Time) bool {
	for range catchUpTurns {
		done := make(chan struct{})
		if l.loop == nil || l.loop.Do(func() { close(done) }) != nil { // an error: the loop has ended
			return true
		}
		select {
		case <-done:
		case <-stop:
			return false
		}
	}
	return true
}

// join adds a channel to those that serve.
func (l *lane) join(ch *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*channel
	if old := l.serving.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, ch)
	l.serving.Store(&list)
}

// leave takes a channel out again.
func (l *lane) leave(ch *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.serving.Load()
	if old == nil {
		return
	}
	list := make([]*channel, 0, len(*old))
	for _, other := range *old {
		if other != ch {
			list = append(list, other)
		}
	}
	l.serving.Store(&list)
}

// least returns the channel with the fewest sessions of those that may take
// one more and are not in tried, or nil. Equals take turns by way of first.
func (l *lane) least(tried []*channel, first uint) *channel {
	p := l.serving.Load()
	if p == nil || len(*p) == 0 {
		return nil
	}
	var best *channel
	var load int
	list := *p
	for i := range list {
		ch := list[(first+uint(i))%uint(len(list))]
		if n, ok := ch.room(); ok && (best == nil || n < load) && !contains(tried, ch) {
			best, load = ch, n
			if n == 0 {
				break
			}
		}
	}
	return best
}

func contains(list []*channel, ch *channel) bool {
	for _, other := range list {
		if other == ch {
			return true
		}
	}
	return false
}
