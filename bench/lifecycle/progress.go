package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// A progress is the last line of a terminal, and nothing elsewhere.
type progress struct {
	w    io.Writer // nil: no terminal
	done chan struct{}
	over chan struct{} // closed when nothing is written any more

	mu   sync.Mutex
	text string
	t    *traffic.Traffic
}

func newProgress(w io.Writer) *progress {
	p := &progress{done: make(chan struct{}), over: make(chan struct{})}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			p.w = w
		}
	}
	go p.show() // ends with end
	return p
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
}

// follow has the line show what t counts.
func (p *progress) follow(t *traffic.Traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t = t
}

func (p *progress) show() {
	defer close(p.over)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if p.w == nil {
				continue
			}
			p.mu.Lock()
			line := p.text
			if p.t != nil {
				c := p.t.Total()
				line += fmt.Sprintf("; %d sent, %d lost, %d refused, %d stale", c.Sent, c.Lost, c.Refused, c.Stale)
			}
			p.mu.Unlock()
			fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		case <-p.done:
			if p.w != nil {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		}
	}
}

func (p *progress) end() {
	close(p.done)
	<-p.over
}
