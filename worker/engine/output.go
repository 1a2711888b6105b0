package engine

import (
	"bufio"
	"io"
	"sync"
)

// maxLine is how many bytes of a line are kept together.
const maxLine = 64 << 10

// readLines calls line for each line of r, without its end, until r ends. A
// line over maxLine comes in pieces, all but the last marked with more. What
// stands behind the last line end is a line too.
func readLines(r io.Reader, line func(text string, more bool)) {
	br := bufio.NewReaderSize(r, maxLine)
	split := false // the last piece was marked
	for {
		p, err := br.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			line(string(p), true)
			split = true
			continue
		case err != nil:
			if len(p) > 0 || split {
				line(string(p), false)
			}
			return
		}
		p = p[:len(p)-1]
		if n := len(p); n > 0 && p[n-1] == '\r' {
			p = p[:n-1]
		}
		line(string(p), false)
		split = false
	}
}

// A tail keeps the last lines that were added, and those of a dump.
type tail struct {
	mu    sync.Mutex
	lines []string // a ring once it is full
	next  int
	size  int

	dumping bool
	dumps   []string
	room    int // bytes that dumps may still have
}

const (
	tailBytes = 4 << 10 // of a line are kept
	dumpBytes = 1 << 20 // of a dump
)

func (t *tail) add(line string) {
	if len(line) > tailBytes {
		line = line[:tailBytes] + " ..."
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.dumping:
		if t.room -= len(line) + 1; t.room >= 0 {
			t.dumps = append(t.dumps, line)
		}
	case len(t.lines) < t.size:
		t.lines = append(t.lines, line)
	default:
		t.lines[t.next] = line
		t.next = (t.next + 1) % t.size
	}
}

// dump has the lines that are added from now on kept apart.
func (t *tail) dump() {
	t.mu.Lock()
	t.dumping, t.room = true, dumpBytes
	t.mu.Unlock()
}

// dumped returns those.
func (t *tail) dumped() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.dumps...)
}

// all returns the other lines, oldest first.
func (t *tail) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(append([]string(nil), t.lines[t.next:]...), t.lines[:t.next]...)
}
