package logs

import (
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

// Options configure an Output; the zero value works and has no files.
type Options struct {
	App string // whose workers these are

	Ring    int64       // bytes of lines that are kept in memory; default 4 MiB
	Waiting int64       // bytes that may wait for each file; default 4 MiB
	Stdout  FileOptions // of workers' standard output; no Path: none
	Stderr  FileOptions // may be the same file

	Logger *slog.Logger     // nil: discards
	Now    func() time.Time // default time.Now
}

// An Output takes what one app's workers write. Its methods may be called from any
// goroutine.
type Output struct {
	o     Options
	ring  *Ring
	sinks []*Sink
	to    [3]*Sink // by engine.Stream; nil: none
	lines [3]atomic.Int64
	bytes [3]atomic.Int64
}

// Stats are an Output's counters. Only what Ring says of now, and Waiting, fall.
type Stats struct {
	Stdout StreamStats `json:"stdout"`
	Stderr StreamStats `json:"stderr"`
	Ring   RingStats   `json:"memory"`
	Files  []SinkStats `json:"files"`
}

// StreamStats count what came from one of the workers' two outputs.
type StreamStats struct {
	Lines int64 `json:"lines"`
	Bytes int64 `json:"bytes"` // of their text
}

// New returns an Output, whose files are opened when there is something to write.
func New(o Options) *Output {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Output{o: o, ring: newRing(o.Ring)}
	if o.Stdout.Path != "" {
		w.to[engine.Stdout] = w.sink(engine.Stdout.String(), o.Stdout)
	}
	switch {
	case o.Stderr.Path == "":
	case o.Stdout.Path != "" && absolute(o.Stderr.Path) == absolute(o.Stdout.Path):
		w.to[engine.Stderr] = w.to[engine.Stdout]
	default:
		w.to[engine.Stderr] = w.sink(engine.Stderr.String(), o.Stderr)
	}
	return w
}

func (w *Output) sink(name string, f FileOptions) *Sink {
	if f.Now == nil {
		f.Now = w.o.Now
	}
	f.Logger = w.o.Logger
	s := newSink(newFile(f), layoutFile, SinkOptions{Name: name, Where: f.Path, Waiting: w.o.Waiting, Logger: w.o.Logger})
	w.sinks = append(w.sinks, s)
	return s
}

// absolute is path from the root on, if that can be found out.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Add takes a line. It is an engine's Options.Output, and never waits.
func (w *Output) Add(l engine.Line) {
	x := w.ring.add(l, w.o.Now)
	i := l.Stream & 3
	if i > engine.Stderr {
		return // there is no such stream
	}
	w.lines[i].Add(1)
	w.bytes[i].Add(int64(len(l.Text)))
	s := w.to[i]
	if s == nil {
		return
	}
	if sh := s.begin(0, len(l.Text)); sh != nil {
		n := len(sh.buf)
		sh.buf = append(sh.stamp.append(sh.buf, x.nanos, true), ' ')
		sh.buf = AppendPrefix(sh.buf, "", l.Index, l.Release)
		sh.buf = append(append(sh.buf, l.Text...), '\n')
		s.end(sh, len(sh.buf)-n)
	}
}

// Reopen opens the files anew, for whoever has moved them away. It does not wait.
func (w *Output) Reopen() {
	for _, s := range w.sinks {
		s.Reopen()
	}
}

// Stats counts.
func (w *Output) Stats() Stats {
	stream := func(s engine.Stream) StreamStats { return StreamStats{w.lines[s].Load(), w.bytes[s].Load()} }
	st := Stats{Stdout: stream(engine.Stdout), Stderr: stream(engine.Stderr), Ring: w.ring.stats()}
	st.Files = []SinkStats{}
	for _, s := range w.sinks {
		st.Files = append(st.Files, s.Stats())
	}
	return st
}

// closeWait is how long Close waits for each file.
const closeWait = 2 * time.Second

// End lets those that follow come to their end: no line will come any more.
func (w *Output) End() { w.ring.close() }

// Close is End, and writes what waits for the files, for two seconds at most.
func (w *Output) Close() {
	w.End()
	for _, s := range w.sinks {
		s.Close(closeWait)
	}
}
