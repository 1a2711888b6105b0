package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// Defaults of LoggerOptions.
const (
	DefaultLogging          = "logging"
	DefaultPending          = 1024
	DefaultPendingBytes     = 1 << 20
	DefaultVerbosityTimeout = 5 * time.Second
)

// LoggerOptions say what a Logger is. The zero value works with a Client.
type LoggerOptions struct {
	Name string // of the service; default "logging"

	// Endpoints are those of Options, for a Logger without a locator; Dialect is what
	// is spoken there.
	Endpoints []string
	Dialect   Dialect

	// Level is the lowest that is taken until the service has named its verbosity,
	// and for as long as it does not. nil: slog.LevelWarn.
	Level slog.Leveler

	// VerbosityTimeout is how long entries wait for the answer to that question, on
	// each connection; default 5 s.
	VerbosityTimeout time.Duration

	// Pending is how many entries wait to be sent, default 1,024, and PendingBytes
	// how much they are, default 1 MiB. Beyond either the oldest is dropped.
	Pending      int
	PendingBytes int

	// UUID is a worker's: in v1 each entry has it as its attribute "uuid", as those
	// of the Cocaine frameworks do. Empty: none.
	UUID string

	// AddTime adds an attribute "time" to each entry. The service stamps entries
	// when they come, which is later for those that had to wait. AddSource adds
	// "source": the file and line that has logged.
	AddTime, AddSource bool

	DialTimeout time.Duration // as in Options
	Loop        *loop.Loop    // likewise
	Logger      *slog.Logger  // is told about the connection; nil: the Client's. Not one that ends here
}

// A Logger sends entries to the logging service, as source "app/" and its prefix.
// It connects by itself, and again after pauses from 100 ms to 10 s. On each
// connection it asks for the service's verbosity first, and sends nothing above it.
//
// Logging never waits for the service. What cannot be sent yet is kept, in order
// and bounded (LoggerOptions.Pending); how many entries were dropped is said in one
// entry once there is a connection again. What was on its way when a connection
// ended may be lost without being counted.
//
// The arguments of Error and its sisters are slog's: names and values in turn, or
// slog.Attr. In v1 they are the entry's attributes, in v0 text behind the message.
// All methods may be called from any goroutine.
type Logger struct {
	// Immutable.
	o       LoggerOptions
	source  string
	s       *Service
	handler *logHandler
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has ended
	wake    chan struct{} // has one element when run has something to look at

	least atomic.Int64 // the lowest level to take

	// run's.
	unanswered int // v0: entries since the last answer

	mu         sync.Mutex
	over       bool       // nothing is sent any more
	queue      []logEntry // from head on
	head       int
	bytes      int
	last       uint64 // number of the last entry that came
	sent       uint64
	dropped    uint64
	unreported uint64 // of them, not said to the service yet
	flushes    []flush
}

// A logEntry waits to be sent.
type logEntry struct {
	n       uint64 // counts up from 1
	level   slog.Level
	message string
	attrs   attrs
	report  uint64 // it says that so many were dropped
}

// size is what an entry counts for in LoggerOptions.PendingBytes.
func (e *logEntry) size() int { return len(e.message) + len(e.attrs.p) + 64 }

// A flush waits until the service has read all up to an entry.
type flush struct {
	until uint64
	done  chan error // has room for the answer
}

// LoggerCounters are those of a Logger, since it was made.
type LoggerCounters struct {
	Sent    uint64 // entries that were handed to a connection
	Dropped uint64 // entries that never were, though their level was to be sent
	Pending int    // entries that wait
}

// NewLogger returns a Logger for a service with fixed endpoints. Close ends it.
func NewLogger(prefix string, o LoggerOptions) (*Logger, error) { return newLogger(prefix, o, New) }

// Logger returns a Logger that finds its service by name. It ends with the Client,
// or with its own Close.
func (c *Client) Logger(prefix string, o LoggerOptions) (*Logger, error) {
	return newLogger(prefix, o, c.NewService)
}

// The methods of the service, and what the Logger calls them by.
const (
	emit      = "emit"
	emitted   = "emitted" // emit, and wait until the service has read it
	verbosity = "verbosity"
)

// loggingMethods are for fixed endpoints. Version 2 of v1 is the one there is.
var loggingMethods = []*session.Method{
	{ID: 0, Name: emit, Dispatch: session.Mute, Upstream: session.Mute},
	{ID: 1, Name: verbosity, Dispatch: session.Mute, Upstream: session.Primitive},
}

func newLogger(prefix string, o LoggerOptions, newService func(Options) (*Service, error)) (*Logger, error) {
	if o.Name == "" {
		o.Name = DefaultLogging
	}
	if o.Level == nil {
		o.Level = slog.LevelWarn
	}
	if o.VerbosityTimeout <= 0 {
		o.VerbosityTimeout = DefaultVerbosityTimeout
	}
	if o.Pending <= 0 {
		o.Pending = DefaultPending
	}
	if o.PendingBytes <= 0 {
		o.PendingBytes = DefaultPendingBytes
	}
	if prefix == "" {
		prefix = "unknown" // as with the original
	}
	l := &Logger{o: o, source: "app/" + prefix, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	l.handler = &logHandler{l: l}
	l.least.Store(int64(o.Level.Level()))
	var methods []*session.Method
	if len(o.Endpoints) > 0 {
		methods = loggingMethods
	}
	s, err := newService(Options{
		Name: o.Name, Endpoints: o.Endpoints, Dialect: o.Dialect, Methods: methods, DialTimeout: o.DialTimeout, Loop: o.Loop, Logger: o.Logger,
		Reconnect: ReconnectNever, // each connection has to be asked first
		OnClose:   func(error) { l.nudge() },
		Definition: &Definition{Methods: map[string]Method{
			emit:      {Pack: l.pack, Unpack: Nothing},
			emitted:   {Pack: l.pack, Target: emit},
			verbosity: {Unpack: As[*int64](), Timeout: o.VerbosityTimeout}, // nil: void
		}},
	})
	if err != nil {
		return nil, err
	}
	l.s = s
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.run() // ends with Close, or when the Client has ended
	return l, nil
}

// Error logs at slog.LevelError.
func (l *Logger) Error(msg string, args ...any) { l.log(slog.LevelError, msg, args) }

// Warning logs at slog.LevelWarn.
func (l *Logger) Warning(msg string, args ...any) { l.log(slog.LevelWarn, msg, args) }

// Info logs at slog.LevelInfo.
func (l *Logger) Info(msg string, args ...any) { l.log(slog.LevelInfo, msg, args) }

// Debug logs at slog.LevelDebug.
func (l *Logger) Debug(msg string, args ...any) { l.log(slog.LevelDebug, msg, args) }

// Errorf logs at slog.LevelError, formatted as by fmt.Sprintf, and so do its
// sisters at their levels.
func (l *Logger) Errorf(format string, args ...any) { l.logf(slog.LevelError, format, args) }

// Warningf logs at slog.LevelWarn.
func (l *Logger) Warningf(format string, args ...any) { l.logf(slog.LevelWarn, format, args) }

// Infof logs at slog.LevelInfo.
func (l *Logger) Infof(format string, args ...any) { l.logf(slog.LevelInfo, format, args) }

// Debugf logs at slog.LevelDebug.
func (l *Logger) Debugf(format string, args ...any) { l.logf(slog.LevelDebug, format, args) }

// Enabled says whether entries of a level are taken now.
func (l *Logger) Enabled(level slog.Level) bool { return int64(level) >= l.least.Load() }

// Handler returns the Logger as a slog.Handler. Groups become names with dots.
func (l *Logger) Handler() slog.Handler { return l.handler }

func (l *Logger) log(level slog.Level, msg string, args []any) {
	if !l.Enabled(level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, msg, l.caller())
	r.Add(args...)
	l.handler.take(&r)
}

func (l *Logger) logf(level slog.Level, format string, args []any) {
	if !l.Enabled(level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, fmt.Sprintf(format, args...), l.caller())
	l.handler.take(&r)
}

// caller is whoever called the method that called log or logf; 0 if nobody wants
// to know.
func (l *Logger) caller() uintptr {
	if !l.o.AddSource {
		return 0
	}
	var pc [1]uintptr
	runtime.Callers(4, pc[:])
	return pc[0]
}

// Counters are what has become of the entries so far.
func (l *Logger) Counters() LoggerCounters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LoggerCounters{l.sent, l.dropped, len(l.queue) - l.head}
}

// Flush waits until the service has read all that was logged before: it has then
// answered a question that was asked behind it. ErrClosed: the Logger ended
// before. ErrTimeout: there was no answer. ErrDisconnected: the connection ended
// meanwhile, so that something may be lost. While there is no connection Flush waits, as
// long as ctx lasts.
func (l *Logger) Flush(ctx context.Context) error {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return ErrClosed
	}
	f := flush{l.last, make(chan error, 1)}
	l.flushes = append(l.flushes, f)
	l.mu.Unlock()
	l.nudge()
	select {
	case err := <-f.done:
		return err
	case <-ctx.Done():
	}
	l.mu.Lock()
	for i := range l.flushes {
		if l.flushes[i].done == f.done {
			l.flushes = append(l.flushes[:i], l.flushes[i+1:]...)
			break
		}
	}
	l.mu.Unlock()
	return context.Cause(ctx)
}

// Close ends the Logger. What waits to be sent is dropped; Flush first if it must
// not be. It always returns nil.
func (l *Logger) Close() error {
	l.cancel()
	<-l.done
	return nil
}

func (l *Logger) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // run has not looked yet
	}
}

// put queues an entry. It reports whether the Logger still sends.
func (l *Logger) put(e logEntry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		l.dropped++
		return false
	}
	l.last++
	e.n = l.last
	if l.head == len(l.queue) {
		l.nudge() // else it is there already, or run is about to look
	}
	if l.head > l.o.Pending {
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue, l.head = l.queue[:n], 0
	}
	l.queue = append(l.queue, e)
	l.bytes += e.size()
	l.trimLocked()
	return true
}

// trimLocked drops what is too much.
func (l *Logger) trimLocked() {
	for len(l.queue)-l.head > l.o.Pending || l.bytes > l.o.PendingBytes {
		l.popLocked()
		l.dropped++
		l.unreported++
	}
}

func (l *Logger) popLocked() logEntry {
	e := l.queue[l.head]
	l.queue[l.head] = logEntry{}
	l.head++
	l.bytes -= e.size()
	if l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	return e
}

// next is what to send now, or else who waits for the entries before.
func (l *Logger) next() (e logEntry, ok bool, due []flush) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.unreported; n > 0 {
		l.unreported = 0
		e = logEntry{level: slog.LevelWarn, message: fmt.Sprintf("%d entries before this one were dropped", n), report: n}
		e.attrs.add("", slog.Uint64("dropped", n), 0)
		return e, true, nil
	}
	empty := l.head == len(l.queue)
	keep := l.flushes[:0]
	for _, f := range l.flushes {
		if empty || l.queue[l.head].n > f.until {
			due = append(due, f)
		} else {
			keep = append(keep, f)
		}
	}
	l.flushes = keep
	if len(due) > 0 || empty {
		return e, false, due
	}
	return l.popLocked(), true, nil
}

// back returns an entry to the front, since it was not sent. If there is no room
// any more it is dropped, as the oldest.
func (l *Logger) back(e logEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.report > 0 {
		l.unreported += e.report
		return
	}
	if l.head > 0 {
		l.head--
		l.queue[l.head] = e
	} else {
		l.queue = append([]logEntry{e}, l.queue...)
	}
	l.bytes += e.size()
	l.trimLocked()
}

// run connects and sends until the Logger is closed.
func (l *Logger) run() {
	defer close(l.done)
	defer l.end()
	for tries := 0; ; tries++ {
		err := l.s.Connect(l.ctx)
		at := time.Now()
		if err == nil {
			l.serve()
			l.s.Close()
		}
		if l.ctx.Err() != nil || errors.Is(err, ErrClosed) { // the Client's end
			return
		}
		if err == nil && time.Since(at) > longRest {
			tries = 0
		}
		t := time.NewTimer(rest(tries))
		select {
		case <-t.C:
		case <-l.ctx.Done():
			t.Stop()
			return
		}
	}
}

// longRest is the longest pause between two attempts to connect.
const longRest = 10 * time.Second

// rest is the pause before attempt n, from 0: it doubles from 100 ms, and is up to
// half shorter by chance.
func rest(n int) time.Duration {
	d := min(100*time.Millisecond<<min(n, 10), longRest)
	return d - rand.N(d/2)
}

// end is that of run.
func (l *Logger) end() {
	l.cancel()
	l.s.Close()
	l.mu.Lock()
	l.over = true
	l.dropped += uint64(len(l.queue) - l.head)
	l.queue, l.head, l.bytes = nil, 0, 0
	flushes := l.flushes
	l.flushes = nil
	l.mu.Unlock()
	for _, f := range flushes {
		f.done <- ErrClosed
	}
}

// serve sends on one connection, until it is of no use any more.
func (l *Logger) serve() {
	l.unanswered = 0
	_ = l.ask() // without an answer it stays as it was
	for {
		e, ok, due := l.next()
		switch {
		case ok:
			if !l.send(e) {
				return
			}
		case len(due) > 0:
			err := l.ask()
			var said *Error
			if errors.As(err, &said) || errors.Is(err, ErrNoMethod) {
				err = nil // that it does not know the question is an answer, too
			}
			for _, f := range due {
				f.done <- err
			}
		case l.s.State() != StateConnected:
			return
		default:
			select {
			case <-l.wake:
			case <-l.ctx.Done():
				return
			}
		}
	}
}

// ask asks for the verbosity. Whatever is no number is no answer.
func (l *Logger) ask() error {
	n, err := Call[*int64](l.ctx, l.s, verbosity)
	d, ok := l.s.Dialect()
	if err == nil && n != nil && ok {
		l.least.Store(int64(threshold(d, *n)))
	}
	return err
}

// mostUnanswered is how many entries are under way in v0, which answers each one.
const mostUnanswered = 256

// send sends an entry, unless the service does not want it. False: the connection
// is of no use.
func (l *Logger) send(e logEntry) bool {
	d, ok := l.s.Dialect()
	if !ok {
		l.back(e)
		return false
	}
	if !l.Enabled(e.level) {
		return true // the answer has come since it was taken
	}
	if l.unanswered++; d == heddle.V0 && l.unanswered%mostUnanswered == 0 {
		_, err := l.s.Call(l.ctx, emitted, &e)
		var said *Error
		if err != nil && !errors.As(err, &said) {
			return false // it may have come: it is not sent again
		}
		l.count(e)
		return true
	}
	_, err := l.s.Call(l.ctx, emit, &e)
	switch {
	case err == nil:
		l.count(e)
	case errors.Is(err, ErrDisconnected), errors.Is(err, ErrClosed), errors.Is(err, ErrTimeout), errors.Is(err, ErrNoMethod), l.ctx.Err() != nil,
		l.s.State() != StateConnected:
		l.back(e)
		return false
	default: // it is the entry that cannot be sent
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
	}
	return true
}

func (l *Logger) count(e logEntry) {
	if e.report > 0 {
		return
	}
	l.mu.Lock()
	l.sent++
	l.mu.Unlock()
}
