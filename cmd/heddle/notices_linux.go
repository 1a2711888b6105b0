package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

// maxNotices is how many notices wait for one reader; what is more it misses.
const maxNotices = 256

// A noticeBoard tells whoever listens what becomes of the apps. Nobody waits for a
// reader. The zero value works.
type noticeBoard struct {
	mu      sync.Mutex
	readers map[*noticeReader]bool
	ended   bool
}

type noticeReader struct {
	in     chan notice // closed when the board ends
	missed uint64      // guarded by the board's mu
}

// post tells n to all readers.
func (b *noticeBoard) post(n notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.readers {
		n.Missed = r.missed
		select {
		case r.in <- n:
			r.missed = 0
		default:
			r.missed++
		}
	}
}

// open returns a new reader.
func (b *noticeBoard) open() *noticeReader {
	r := &noticeReader{in: make(chan notice, maxNotices)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		close(r.in)
		return r
	}
	if b.readers == nil {
		b.readers = make(map[*noticeReader]bool)
	}
	b.readers[r] = true
	return r
}

func (b *noticeBoard) leave(r *noticeReader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, r)
}

// end lets the readers go, once they have read what there is.
func (b *noticeBoard) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	for r := range b.readers {
		close(r.in)
		delete(b.readers, r)
	}
}

// answerNotices answers the topic notices.
func (d *daemon) answerNotices(ctx context.Context, r *ipc.Request) error {
	reader := d.notices.open()
	defer d.notices.leave(reader)
	n := notice{Time: time.Now(), Kind: noticeListening}
	missed := uint64(0) // by a reader that does not read for a while, as one that was stopped
	for more := true; more; {
		n.Missed += missed
		p, err := json.Marshal(n)
		if err == nil {
			err = r.Reply(p)
		}
		switch {
		case err == nil:
			missed = 0
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil: // nothing of it has left
			missed = n.Missed + 1
		default:
			return err
		}
		select {
		case n, more = <-reader.in:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// notify tells of the app.
func (a *app) notify(kind, format string, args ...any) {
	a.d.notices.post(notice{Time: time.Now(), App: a.o.name, Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// notifyDeath tells of a worker's end that nobody asked for.
func (a *app) notifyDeath(death engine.Death) {
	if death.Expected {
		return
	}
	lost := 0
	for _, l := range death.Lost {
		if !l.Untouched {
			lost++
		}
	}
	who := "worker " + indexOf(death.Index)
	if death.Index < 0 {
		who = "a standby"
	}
	a.notify(noticeDied, "%s of %s, pid %d: %s; it had %s", who, death.Release, death.Pid, death.Reason, noun(lost, "request"))
}
