package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// mostLines is how many a Log keeps; those after are counted only.
const mostLines = 500_000

// A Log is what a daemon wrote to standard error.
type Log struct {
	mu    sync.Mutex
	part  []byte // of the line that has not ended
	lines []string
	more  int           // lines that were not kept
	grew  chan struct{} // closed, and made anew, with each line
}

func newLog() *Log { return &Log{grew: make(chan struct{})} }

// Write takes what the daemon writes.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if len(l.lines) < mostLines {
			l.lines = append(l.lines, string(line))
		} else {
			l.more++
		}
		l.part = append(l.part[:0], rest...)
		close(l.grew)
		l.grew = make(chan struct{})
	}
}

// Lines are those so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[:len(l.lines):len(l.lines)]
}

// Tail are the last n lines.
func (l *Log) Tail(n int) []string {
	lines := l.Lines()
	return lines[max(0, len(lines)-n):]
}

// await waits for a line that begins with prefix, and returns its rest.
func (l *Log) await(ctx context.Context, exited <-chan struct{}, prefix string) (string, error) {
	for seen, gone := 0, false; ; {
		l.mu.Lock()
		lines, grew := l.lines, l.grew
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if rest, ok := strings.CutPrefix(lines[seen], prefix); ok {
				return rest, nil
			}
		}
		if gone {
			return "", errors.New("left before it served")
		}
		select {
		case <-grew:
		case <-exited:
			gone = true // look at what it wrote last
		case <-ctx.Done():
			return "", fmt.Errorf("does not serve: %w", context.Cause(ctx))
		}
	}
}

// Lost is what a log says of requests that died with their workers.
type Lost struct {
	Deaths   int                 // unexpected ends of workers
	Requests map[string][]string // the log's lines by request id
}

var (
	deathLine = regexp.MustCompile(`msg="engine: worker (?:died|left)"`)
	inSession = regexp.MustCompile(` request=(\S+) session=\d+ loop=\d+\)`)
	brokenOff = regexp.MustCompile(`msg="(?:front|httpcompat): (?:answer broke off|no session for a request)" request=(\S+)`)
)

// ReadLost finds the requests that are named: those a dead worker had and had not
// answered, with its death, and those whose answer broke off, each by itself.
func ReadLost(lines []string) Lost {
	lost := Lost{Requests: make(map[string][]string)}
	for _, line := range lines {
		switch {
		case deathLine.MatchString(line):
			if strings.Contains(line, "worker died") {
				lost.Deaths++
			}
			for _, m := range inSession.FindAllStringSubmatch(line, -1) {
				lost.Requests[m[1]] = append(lost.Requests[m[1]], line)
			}
		default:
			if m := brokenOff.FindStringSubmatch(line); m != nil {
				lost.Requests[m[1]] = append(lost.Requests[m[1]], line)
			}
		}
	}
	return lost
}
