package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// Options configure a Worker; the zero value works.
type Options struct {
	// Launch says who the worker is and where its engine listens; nil means
	// what Launched returns.
	Launch *Launch

	Logger *slog.Logger // nil: slog.Default()

	HeartbeatInterval time.Duration // between heartbeats on a channel; default 5 s
	DisownTimeout     time.Duration // without an answer on some channel; default 30 s
	ConnectTimeout    time.Duration // from Connect until the engine's welcome; default 10 s
	ShutdownTimeout   time.Duration // from SIGTERM or the end of Run's context until the worker leaves anyway; default 30 s
	TerminateTimeout  time.Duration // from the engine's terminate until the worker leaves anyway; default 4 s, less than the 5 s of a v0 runtime

	MaxHandlers   int           // handlers that run at once, further sessions wait; 0: no limit but the channels' own
	ParkedLimit   int           // idle goroutines that are kept; default 256
	ParkedTimeout time.Duration // a goroutine not needed for this long ends; default 10 s

	Limits      codec.Limits    // of one frame from the engine
	Buffer      int             // bytes a stream may queue toward a plain engine; default session.DefaultBuffer
	MaxSessions int             // open per channel; default session.DefaultMaxSessions
	Context     context.Context // values of every session's context; never waited for

	// Version names the program in the handshake, for the engine's status.
	Version string

	// ManualOnline has the worker wait for ReportOnline before it tells the
	// engine that it is online. It serves what comes before then, which is
	// nothing of the app's. The engine's start time-out goes on.
	ManualOnline bool

	// NoSignals makes Run leave SIGINT and SIGTERM alone.
	NoSignals bool

	// Dial replaces the worker's own loop, for tests and for workers in the
	// engine's process: it connects to endpoint, and drives the handler that
	// h makes of the new link.
	Dial func(endpoint string, h func(session.Link) loop.Handler) error

	// Events, each called once per occurrence, one after the other, never on
	// the loop. nil ones are skipped.
	OnConnect   func()                          // online: the engine may send sessions
	OnError     func(err error)                 // connecting failed, or a channel broke
	OnTerminate func(code int64, reason string) // the engine ends this worker
	OnDisown    func()                          // the engine is not heard of any more
	OnDrain     func(deadline time.Duration)    // the engine sends no new sessions; 0: it named no deadline
}

// withDefaults fills what is zero.
func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&o.HeartbeatInterval, 5 * time.Second},
		{&o.DisownTimeout, 30 * time.Second},
		{&o.ConnectTimeout, 10 * time.Second},
		{&o.ShutdownTimeout, 30 * time.Second},
		{&o.TerminateTimeout, 4 * time.Second},
		{&o.ParkedTimeout, 10 * time.Second},
	} {
		if *d.v < 0 {
			return o, errors.New("worker: negative duration in Options")
		}
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.MaxHandlers < 0 || o.ParkedLimit < 0 {
		return o, errors.New("worker: negative limit in Options")
	}
	if o.ParkedLimit == 0 {
		o.ParkedLimit = 256
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
