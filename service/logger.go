package service

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

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
	// "caller": the file and line that has logged; "source" is the service's own.
	AddTime, AddSource bool

	DialTimeout time.Duration // as in Options
	Loop        *loop.Loop    // likewise
	Logger      *slog.Logger  // is told of the connection; nil: none. It must not end here
}

// A Logger sends entries to the logging service, as source "app/" and its prefix.
// It connects by itself, and again after pauses from 100 ms to 10 s. On each
// connection it asks for the service's verbosity first, and sends nothing above it.
//
// Logging never waits for the service. What cannot be sent yet is kept, in order
// and bounded (LoggerOptions.Pending); how many entries were dropped is said in one
// entry, first on the next connection, or when no more wait. What was on its way when a connection
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
	fresh      bool   // nothing was sent on the connection yet
	flushes    []flush
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
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
