package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// outletLimit is how many bytes may wait for standard error.
const outletLimit = 4 << 20

// outletWait is how long standard error may take for the last lines.
const outletWait = 2 * time.Second

// An outlet brings lines to standard error and never makes who writes wait: a
// terminal that was stopped, or a pipe that nobody reads, would else stall the
// loops, and with them every request. What does not fit is dropped, counted,
// and the number written once there is room again.
type outlet struct {
	// Immutable after newOutlet.
	w     io.Writer
	limit int           // bytes that may wait
	wake  chan struct{} // capacity 1
	done  chan struct{} // closed when the writing goroutine has ended

	mu      sync.Mutex
	buf     []byte // waits to be written
	dropped int    // lines, since the number was last written
	total   int    // lines, ever
	status  string // the terminal's last line, kept below all others; "" for none
	fresh   bool   // status has changed
	closed  bool
}

func newOutlet(w io.Writer, limit int) *outlet {
	o := &outlet{w: w, limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go o.write() // ends with Close
	return o
}

// Write takes whole lines, all or none. It never fails and never waits.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	switch {
	case o.closed:
	case len(o.buf)+len(p) > o.limit:
		o.dropped++
		o.total++
	default:
		o.buf = append(o.buf, p...)
	}
	o.mu.Unlock()
	o.poke()
	return len(p), nil
}

// append is Write for one line of at most n bytes that put appends.
func (o *outlet) append(n int, put func([]byte) []byte) {
	o.mu.Lock()
	switch {
	case o.closed:
	case len(o.buf)+n > o.limit:
		o.dropped++
		o.total++
	default:
		o.buf = put(o.buf)
	}
	o.mu.Unlock()
	o.poke()
}

// Printf writes one line.
func (o *outlet) Printf(format string, args ...any) { fmt.Fprintf(o, format+"\n", args...) }

// SetStatus keeps s on the terminal's last line until another takes its place.
// Only for terminals.
func (o *outlet) SetStatus(s string) {
	o.mu.Lock()
	o.fresh = o.fresh || s != o.status
	o.status = s
	o.mu.Unlock()
	o.poke()
}

// Dropped is how many lines were dropped until now.
func (o *outlet) Dropped() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// Close writes what waits, for at most d, and refuses more.
func (o *outlet) Close(d time.Duration) {
	o.mu.Lock()
	o.closed = true
	o.fresh = o.fresh || o.status != ""
	o.status = ""
	o.mu.Unlock()
	o.poke()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-o.done:
	case <-t.C: // the goroutine stays in write(2), until the process ends
	}
}

func (o *outlet) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// clearLine goes to the line's begin and clears it (ECMA-48 EL).
const clearLine = "\r\x1b[K"

// write is the goroutine that alone writes; it stops at Close.
func (o *outlet) write() {
	defer close(o.done)
	var out []byte
	shown := false // a status stands on the terminal's last line
	for range o.wake {
		for {
			o.mu.Lock()
			out = out[:0]
			more := len(o.buf) > 0 || o.dropped > 0
			if shown && (more || o.fresh) {
				out = append(out, clearLine...)
				shown = false
			}
			out = append(out, o.buf...)
			if o.buf = o.buf[:0]; cap(o.buf) > 64<<10 {
				o.buf = nil
			}
			if o.dropped > 0 {
				out = fmt.Appendf(out, "heddle: %d lines dropped: standard error was not read in time\n", o.dropped)
				o.dropped = 0
			}
			if o.status != "" && !shown && (more || o.fresh) {
				out = append(out, o.status...)
				shown = true
			}
			o.fresh = false
			closed := o.closed
			o.mu.Unlock()
			if len(out) == 0 {
				if closed {
					return
				}
				break
			}
			if _, err := o.w.Write(out); err != nil {
				o.lose(out)
			}
		}
	}
}

// lose counts what could not be written, on a pipe whose reader is gone.
func (o *outlet) lose(out []byte) {
	n := 0
	for _, c := range out {
		if c == '\n' {
			n++
		}
	}
	o.mu.Lock()
	o.total += n
	o.mu.Unlock()
}
