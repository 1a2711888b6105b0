package engine

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/heddle-go/heddle/session"
)

// Requests that are as large as they may be, many at once and all for one worker,
// wait for one another rather than fill its channel's outbox.
func TestForeignLarge(t *testing.T) {
	eachDialect(t, func(t *testing.T, d Dialect) {
		e := newForeign(t, d, "", Options{})
		start(t, e)
		body := bytes.Repeat([]byte("large "), 14<<20/6)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := e.Open(context.Background(), session.OpenOptions{Event: "size", First: body, Last: true})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Discard()
				if got, err := answer(s); got != strconv.Itoa(len(body)) || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := e.stats.unexpected.Load(); n != 0 {
			t.Errorf("%d workers died", n)
		}
	})
}
