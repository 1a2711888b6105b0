package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

// A Query says which lines somebody wants to read; it travels as JSON.
type Query struct {
	Last     int       `json:"last"`               // so many, at most, of those that are there; negative: all
	Since    time.Time `json:"since,omitzero"`     // none from before
	Follow   bool      `json:"follow,omitempty"`   // and then whatever comes
	Selector string    `json:"selector,omitempty"` // of which workers; "": of all
}

const (
	replyBytes = 64 << 10 // one more line ends a reply
	chunkLines = 512      // looked at under one lock
)

// Stream gives reply the lines that q wants: objects of JSON, one a line, whole
// lines at a time, of 64 KiB and at most one line's length more. What is lost
// because reply was slower than the workers is told where it is missing:
// {"skipped":N}, of all workers' lines. reply may fail with os.ErrDeadlineExceeded
// if it has done nothing, and is then called again.
//
// It returns at the end of what there is, or, when following, when the Output has
// ended; with the context's cause; or with reply's error.
func (w *Output) Stream(ctx context.Context, q Query, reply func([]byte) error) error {
	sel, err := engine.ParseSelector(q.Selector)
	if err != nil {
		return err
	}
	since := nanosOf(q.Since)
	wants := func(l *Line) bool { return l.nanos >= since && l.Match(sel) }
	chunk := make([]Line, chunkLines)
	end := w.ring.stats().Next
	next := w.ring.find(q.Last, wants, chunk)
	var out []byte
	for {
		n, gone := w.ring.copy(chunk, next)
		if gone > 0 {
			out = fmt.Appendf(out, "{\"skipped\":%d}\n", gone)
			next += gone
		}
		for i := range chunk[:n] {
			l := &chunk[i]
			if !q.Follow && l.Seq >= end {
				n = 0 // came later
				break
			}
			next = l.Seq + 1
			if !wants(l) {
				continue
			}
			if out = l.appendJSON(out, w.o.App); len(out) >= replyBytes {
				if err := say(ctx, out, reply); err != nil {
					return err
				}
				out = out[:0]
			}
		}
		clear(chunk)
		if n == len(chunk) {
			continue // there may be more
		}
		if err := say(ctx, out, reply); err != nil {
			return err
		}
		out = out[:0]
		if !q.Follow {
			return nil
		}
		come, ended := w.ring.wait(next)
		if ended {
			return nil
		}
		select {
		case <-come:
			pause(ctx, gatherTime) // so that a reply has many
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// nanosOf is t as lines have it, at the nearest where that has no number.
func nanosOf(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < 0: // the zero time, too
		return 0
	case s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// say replies, and waits for who is slow: the ring does not.
func say(ctx context.Context, p []byte, reply func([]byte) error) error {
	for len(p) > 0 {
		err := reply(p)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// find is where the last n lines that are wanted begin; negative: all. chunk is
// for its use.
func (r *Ring) find(n int, wants func(*Line) bool, chunk []Line) uint64 {
	st := r.stats()
	if n < 0 {
		return st.First
	}
	at := st.Next
	for at > st.First && n > 0 {
		from := max(st.First, at-min(at, uint64(len(chunk))))
		part := chunk[:at-from]
		k, gone := r.copy(part, from)
		if gone > 0 { // overtaken by the oldest: k lines from behind them
			from += gone
		}
		for i := min(k, int(at-min(at, from))); i > 0 && n > 0; i-- {
			if l := &part[i-1]; wants(l) {
				if n--; n == 0 {
					return l.Seq
				}
			}
		}
		if gone > 0 {
			return from
		}
		at = from
	}
	return at
}

// A Record is a line as Stream tells it, or, if Skipped is not 0, lines that are
// missing.
type Record struct {
	Skipped uint64 `json:"skipped,omitempty"`

	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	App     string    `json:"app"`
	Worker  int       `json:"worker"` // index; -1: a standby
	ID      string    `json:"id"`
	Release string    `json:"release"`
	Pid     int       `json:"pid"`
	Stream  string    `json:"stream"`
	Text    string    `json:"text"`           // U+FFFD for what was not UTF-8
	More    bool      `json:"more,omitempty"` // the line goes on in the worker's next one
}

// Records reads what Stream has given to reply. Raw is the line of JSON.
func Records(p []byte, each func(raw []byte, r Record) error) error {
	for raw := range bytes.Lines(p) {
		var r Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("logs: a line that is not the JSON of one: %w", err)
		}
		if err := each(raw, r); err != nil {
			return err
		}
	}
	return nil
}

// Print writes a Record as people read it.
func (r *Record) Print(w io.Writer) error {
	b := r.Time.Local().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00 ")
	b = AppendPrefix(b, "", r.Worker, r.Release)
	_, err := w.Write(append(append(b, r.Text...), '\n'))
	return err
}
