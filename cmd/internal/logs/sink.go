package logs

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of SinkOptions.
const (
	DefaultWaiting = 4 << 20
	gatherTime     = 20 * time.Millisecond // how long lines are gathered for one write
	gatherBytes    = 256 << 10             // unless there are so many bytes
	retryTime      = time.Second           // until a write that failed is tried again
	reportTime     = time.Minute           // between two reports of the same trouble
	keepRoom       = 1 << 20               // bytes of a buffer that is used again
)

// SinkOptions configure a Sink; the zero value works.
type SinkOptions struct {
	Name    string       // in counters and the daemon's log: "stdout"
	Where   string       // the file's name
	Waiting int64        // bytes that may wait to be written; default 4 MiB
	Shards  int          // who bring lines at the same time, each with a number; default 1
	Logger  *slog.Logger // told of trouble, once a minute; nil: discards

	retry, report time.Duration // for tests
}

func (o SinkOptions) withDefaults() SinkOptions {
	if o.Waiting <= 0 {
		o.Waiting = DefaultWaiting
	}
	o.Shards = max(o.Shards, 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.retry <= 0 {
		o.retry = retryTime
	}
	if o.report <= 0 {
		o.report = reportTime
	}
	return o
}

// A target is where a Sink writes. Its methods are called by one goroutine.
type target interface {
	io.WriteCloser
	Reopen() error
}

// A Sink brings lines to a file and never makes who has one wait. Lines gather
// for a moment, so that one write takes many. When a write fails, they wait, it is
// tried again every second, and what then does not fit is dropped and counted.
type Sink struct {
	// Immutable after newSink.
	o      SinkOptions
	to     target
	shards []shard
	wake   chan struct{} // capacity 1: there are lines
	hurry  chan struct{} // capacity 1: there are many, or something else is to be done
	quit   chan struct{} // closed by Close
	done   chan struct{} // closed when the writing goroutine has ended
	once   sync.Once

	waiting atomic.Int64 // bytes, those that are being written too
	written atomic.Int64 // lines
	dropped atomic.Int64 // lines
	reopen  atomic.Bool

	// The writing goroutine only.
	failing  bool // the last write failed
	told     bool // and that was reported
	reported int64
	last     time.Time // of the last report
}

// A shard is where one of those who bring lines puts them.
type shard struct {
	mu    sync.Mutex
	buf   []byte
	spare []byte // the writing goroutine's, in turn with buf
	stamp stamp
	_     [64]byte // another's are in another cache line
}

// SinkStats are a Sink's counters. Each line that was brought is written, dropped,
// or waits.
type SinkStats struct {
	Name    string `json:"name"`
	Written int64  `json:"written"` // lines
	Dropped int64  `json:"dropped"` // lines
	Waiting int64  `json:"waiting"` // bytes
}

func newSink(to target, layout string, o SinkOptions) *Sink {
	o = o.withDefaults()
	s := &Sink{o: o, to: to, shards: make([]shard, o.Shards), wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	for i := range s.shards {
		s.shards[i].stamp.layout = layout
	}
	go s.write() // ends with Close
	return s
}

// begin locks the shard for one line to be appended to its buffer, which end
// finishes; or counts the line as dropped and returns nil. n is the line's length,
// about.
func (s *Sink) begin(i, n int) *shard {
	if s.waiting.Load()+int64(n) > s.o.Waiting {
		s.dropped.Add(1)
		return nil
	}
	sh := &s.shards[i]
	sh.mu.Lock()
	return sh
}

// end takes what was appended, n bytes.
func (s *Sink) end(sh *shard, n int) {
	many := len(sh.buf) >= gatherBytes && len(sh.buf)-n < gatherBytes
	first := len(sh.buf) == n
	sh.mu.Unlock()
	s.waiting.Add(int64(n))
	switch {
	case many:
		poke(s.hurry)
	case first:
		poke(s.wake)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Reopen has what was brought until now written, and then the file opened anew.
// It does not wait.
func (s *Sink) Reopen() {
	s.reopen.Store(true)
	poke(s.hurry)
}

// Stats counts.
func (s *Sink) Stats() SinkStats {
	return SinkStats{Name: s.o.Name, Written: s.written.Load(), Dropped: s.dropped.Load(), Waiting: s.waiting.Load()}
}

// Close writes what waits, if that works at once and takes no longer than d, and
// counts the rest as dropped. Nobody may bring lines any more.
func (s *Sink) Close(d time.Duration) {
	s.once.Do(func() { close(s.quit) })
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C: // the goroutine stays in write(2), until the process ends
	}
}

// write is the goroutine that alone writes; it stops at Close.
func (s *Sink) write() {
	defer close(s.done)
	gather := time.NewTimer(0)
	<-gather.C
	closing := false
	for !closing {
		select {
		case <-s.wake:
			gather.Reset(gatherTime)
			select {
			case <-gather.C:
			case <-s.hurry:
			case <-s.quit:
				closing = true
			}
			gather.Stop()
		case <-s.hurry:
		case <-s.quit:
			closing = true
		}
		anew := s.reopen.Swap(false)
		for i := range s.shards {
			s.flush(&s.shards[i])
		}
		if anew {
			s.renew()
		}
		s.tellDropped()
	}
	if err := s.to.Close(); err != nil {
		s.o.Logger.Warn("logs: close", "log", s.o.Name, "file", s.o.Where, "err", err)
	}
}

// flush writes what a shard has.
func (s *Sink) flush(sh *shard) {
	sh.mu.Lock()
	p := sh.buf
	sh.buf = sh.spare[:0]
	sh.mu.Unlock()
	size := int64(len(p))
	for rest := p; len(rest) > 0; {
		n, err := s.to.Write(rest)
		n = min(max(n, 0), len(rest))
		s.written.Add(lines(rest[:n]))
		if rest = rest[n:]; err == nil && n > 0 {
			s.recovered()
			continue
		}
		if err == nil {
			err = io.ErrShortWrite
		}
		s.failed(err)
		if !s.again() {
			s.dropped.Add(lines(rest))
			break
		}
	}
	s.waiting.Add(-size)
	if cap(p) > keepRoom {
		p = nil
	}
	sh.spare = p
}

// again waits until a write may be tried once more; false says that it is over.
func (s *Sink) again() bool {
	t := time.NewTimer(s.o.retry)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return true
		case <-s.hurry:
			if s.reopen.Swap(false) {
				s.renew()
				return true
			}
		case <-s.quit:
			return false
		}
	}
}

func (s *Sink) renew() {
	if err := s.to.Reopen(); err != nil {
		s.failed(err)
		return
	}
	s.o.Logger.Info("logs: opened anew", "log", s.o.Name, "file", s.o.Where)
}

// failed reports that lines cannot be written.
func (s *Sink) failed(err error) {
	s.failing = true
	if !s.due() {
		return
	}
	s.told, s.reported = true, s.dropped.Load()
	s.o.Logger.Warn("logs: cannot be written; requests and workers do not wait for it; tried again every "+s.o.retry.String(),
		"log", s.o.Name, "file", s.o.Where, "err", err, "waiting_bytes", s.waiting.Load(), "dropped_lines", s.reported)
}

// recovered reports that they can again.
func (s *Sink) recovered() {
	if !s.failing {
		return
	}
	s.failing = false
	if s.told {
		s.told, s.reported = false, s.dropped.Load()
		s.o.Logger.Info("logs: written again", "log", s.o.Name, "file", s.o.Where, "dropped_lines", s.reported)
	}
}

// tellDropped reports lines for which there was no room.
func (s *Sink) tellDropped() {
	if n := s.dropped.Load(); n > s.reported && !s.failing && s.due() {
		s.reported = n
		s.o.Logger.Warn("logs: lines dropped: more came than could be written", "log", s.o.Name, "file", s.o.Where, "dropped_lines", n)
	}
}

// due says whether the last report is long enough ago for another.
func (s *Sink) due() bool {
	now := time.Now()
	if !s.last.IsZero() && now.Sub(s.last) < s.o.report {
		return false
	}
	s.last = now
	return true
}

func lines(p []byte) int64 { return int64(bytes.Count(p, lineEnd)) }

var lineEnd = []byte{'\n'}
