package session_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/heddle-go/heddle/session"
)

// TestClaim has many writers look for room at once: no more find it than the outbox
// is to hold, and one chunk over.
func TestClaim(t *testing.T) {
	m, _ := rawPair(t, session.Options{ChannelOptions: channels["v1"]})
	const n = session.MaxChunk
	var found atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if m.Claim(n) {
				found.Add(1)
			}
		})
	}
	wg.Wait()
	if got := found.Load(); got != session.HighWater/n {
		t.Errorf("%d of 1000 found room, want %d", got, session.HighWater/n)
	}
	for range found.Load() {
		m.Unclaim(n)
	}
	if !m.Claim(n) {
		t.Error("no room in an empty outbox")
	}
}
