package workertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
	"github.com/heddle-go/heddle/worker"
)

// UUID is what Launch tells a worker.
const UUID = "5b7c9d10-3f5c-4b0e-9c58-0a6f1c2d3e4f"

// ErrNotOnline reports an Open on an engine whose worker is gone.
var ErrNotOnline = errors.New("workertest: worker is not online")

// Options configure an Engine; the zero value is a Heddle engine of one loop.
type Options struct {
	Plain   bool           // a Cocaine runtime: no offer, no welcome, no extensions
	Dialect heddle.Dialect // of a plain one

	Channels int // endpoints in the welcome; default 1
	Window   int // bytes of credit in the welcome; default session.DefaultWindow
	Sessions int // open per side, in the welcome; default session.DefaultMaxSessions

	Suspended bool // the worker starts without work, by its launch and by the welcome
	Standby   bool // its launch has index -1

	NoWelcome bool // leaves handshakes unanswered
	KeepOpen  bool // does not close a channel when the worker has half-closed it

	// Accept gets the sessions that the worker opens; nil refuses them.
	Accept func(s *session.Session) error

	Logger *slog.Logger // nil: nothing is logged
}

// A Handshake is what a worker said first on one channel.
type Handshake struct {
	UUID     string
	Offered  bool // with an offer
	Features []string
	Version  string
	Channel  int // as offered
	Frame    int // bytes
	PID      int
}

// A Terminate is a terminate message.
type Terminate struct {
	Code   int64
	Reason string
}

// Seen is what an engine has seen of its worker so far.
type Seen struct {
	Handshakes []Handshake
	Beats      []int // heartbeats, by channel
	Online     int   // online messages
	Leaving    []string
	Broken     []string
	Terminates []Terminate
	HalfClosed int     // channels that the worker has half-closed
	Closed     []error // channels that have ended, and why
}

// An Engine plays the engine for one worker.
type Engine struct {
	// Immutable after New.
	options Options
	online  chan struct{} // closed when the worker is online
	gone    chan struct{} // closed when every channel it had has ended

	mu       sync.Mutex
	dir      string // of the sockets; "" in memory
	loop     *loop.Loop
	ran      chan struct{} // closed when the loop's goroutine has ended
	channels []*channel
	ends     []*sessiontest.End // in memory: both ends of each
	mute     bool
	up       bool
	next     int // channel of the next Open
	seen     Seen
}

// New returns an Engine in memory: have the worker use its Dial and Launch.
func New(o Options) *Engine {
	if o.Channels <= 0 {
		o.Channels = 1
	}
	if o.Window <= 0 {
		o.Window = session.DefaultWindow
	}
	if o.Sessions <= 0 {
		o.Sessions = session.DefaultMaxSessions
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !o.Plain {
		o.Dialect = heddle.V1
	}
	return &Engine{options: o, online: make(chan struct{}), gone: make(chan struct{}), seen: Seen{Beats: make([]int, o.Channels)}}
}

// Listen makes the engine wait on unix sockets in dir instead.
func (e *Engine) Listen(dir string) error {
	l, err := loop.New(loop.Options{Logger: e.options.Logger})
	if err != nil {
		return err
	}
	ran := make(chan struct{})
	go func() { // ends with Close
		defer close(ran)
		_ = l.Run()
	}()
	e.mu.Lock()
	e.dir, e.loop, e.ran = dir, l, ran
	e.mu.Unlock()
	for i := range e.options.Channels {
		_, err := l.Listen("unix", filepath.Join(dir, strconv.Itoa(i)), func(c *loop.Conn) loop.Handler { return e.attach(i, c) }, loop.ListenOptions{})
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return nil
}

// Launch is what this engine tells a worker that it starts.
func (e *Engine) Launch() *worker.Launch {
	return &worker.Launch{
		Heddle: !e.options.Plain, Dialect: e.options.Dialect, Endpoint: e.endpoint(0), UUID: UUID, App: "test",
		Index: e.index(), Suspended: e.options.Suspended,
	}
}

// Environ is Launch as the variables of a child process.
func (e *Engine) Environ() []string {
	env := []string{
		worker.EnvProtocol + "=1", worker.EnvEndpoint + "=" + e.endpoint(0), worker.EnvUUID + "=" + UUID, worker.EnvApp + "=test",
		worker.EnvIndex + "=" + strconv.Itoa(e.index()),
	}
	if e.options.Suspended {
		env = append(env, worker.EnvSuspended+"=1")
	}
	return env
}

func (e *Engine) index() int {
	if e.options.Standby {
		return -1
	}
	return 0
}

// Args is Launch as the flags that a Cocaine runtime gives a child process.
func (e *Engine) Args() []string {
	args := []string{"--app", "test", "--endpoint", e.path(0), "--locator", "127.0.0.1:10053"}
	if e.options.Dialect == heddle.V1 {
		args = append(args, "--protocol", "1")
	}
	return append(args, "--uuid", UUID)
}

// endpoint names the engine's loop i.
func (e *Engine) endpoint(i int) string { return "unix:" + e.path(i) }

func (e *Engine) path(i int) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dir == "" {
		return "@workertest-" + strconv.Itoa(i)
	}
	return filepath.Join(e.dir, strconv.Itoa(i))
}

// Dial is for worker.Options.Dial: it connects the worker in memory.
func (e *Engine) Dial(endpoint string, h func(session.Link) loop.Handler) error {
	for i := range e.options.Channels {
		if endpoint == e.endpoint(i) {
			ours, theirs := sessiontest.New()
			e.mu.Lock()
			e.ends = append(e.ends, ours, theirs)
			e.mu.Unlock()
			ours.Start(e.attach(i, ours))
			theirs.Start(h(theirs))
			return nil
		}
	}
	return fmt.Errorf("workertest: nobody listens on %q", endpoint)
}

// attach makes the channel of a new link.
func (e *Engine) attach(index int, link session.Link) loop.Handler {
	c := &channel{e: e, index: index}
	c.mux = session.NewMux(link, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: e.options.Dialect, Detect: true},
		Accept:         e.options.Accept,
		Control:        c,
		MaxSessions:    e.options.Sessions,
		TraceHeaders:   e.options.Plain,
		Logger:         e.options.Logger,
	})
	e.mu.Lock()
	e.channels = append(e.channels, c)
	e.mu.Unlock()
	return c.mux
}

// Online is closed when the worker is: all its channels are there.
func (e *Engine) Online() <-chan struct{} { return e.online }

// Gone is closed when every channel of the worker has ended.
func (e *Engine) Gone() <-chan struct{} { return e.gone }

// Seen is what has happened so far.
func (e *Engine) Seen() Seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.seen
	s.Handshakes, s.Beats, s.Closed = slices.Clone(s.Handshakes), slices.Clone(s.Beats), slices.Clone(s.Closed)
	s.Leaving, s.Broken, s.Terminates = slices.Clone(s.Leaving), slices.Clone(s.Broken), slices.Clone(s.Terminates)
	return s
}

// Mux is the channel to the worker on the engine's loop i, for whatever this
// package has no method for; nil if there is none.
func (e *Engine) Mux(i int) *session.Mux {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.channels {
		if c.index == i {
			return c.mux
		}
	}
	return nil
}

// Open opens a session on the worker, on its channels in turn, once the worker
// is online. ErrNotOnline: it is gone.
func (e *Engine) Open(ctx context.Context, o session.OpenOptions) (*session.Session, error) {
	select {
	case <-e.online:
	case <-e.gone:
		return nil, ErrNotOnline
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	e.mu.Lock()
	m := e.channels[e.next%len(e.channels)].mux
	e.next++
	e.mu.Unlock()
	if o.Handler == nil {
		return m.Open(o)
	}
	type opened struct {
		s   *session.Session
		err error
	}
	c := make(chan opened, 1)
	if err := m.Link().Do(func() {
		s, err := m.Open(o)
		c <- opened{s, err}
	}); err != nil {
		return nil, err
	}
	select {
	case r := <-c:
		return r.s, r.err
	case <-e.gone:
		return nil, ErrNotOnline
	}
}

// Mute stops, or begins again, answering heartbeats.
func (e *Engine) Mute(on bool) {
	e.mu.Lock()
	e.mute = on
	e.mu.Unlock()
}

// Drain sends no new sessions any more and says so on every channel; 0 names
// no deadline.
func (e *Engine) Drain(deadline time.Duration) {
	for _, c := range e.all() {
		e.DrainChannel(c.index, deadline)
	}
}

// DrainChannel is Drain on one channel.
func (e *Engine) DrainChannel(i int, deadline time.Duration) {
	if m := e.Mux(i); m != nil {
		_ = m.Drain(codec.AppendDrain(nil, uint64(deadline.Milliseconds()))) // fails when the channel has ended
	}
}

// Suspend and Resume tell the worker, on every channel.
func (e *Engine) Suspend() { e.control(codec.AppendControl(nil, heddle.CtlSuspend)) }

// Resume is the end of Suspend.
func (e *Engine) Resume() { e.control(codec.AppendResume(nil, -1)) }

// Promote is Resume of a standby, which has this index from then on.
func (e *Engine) Promote(index int) { e.control(codec.AppendResume(nil, int64(index))) }

// Terminate ends the worker, on its first channel.
func (e *Engine) Terminate(code int64, reason string) {
	_ = e.Send(0, codec.AppendTerminate(nil, e.options.Dialect, code, reason)) // fails when the channel has ended
}

// Send sends any bytes on a channel, as they are.
func (e *Engine) Send(i int, p []byte) error {
	m := e.Mux(i)
	if m == nil {
		return ErrNotOnline
	}
	_, err := m.Link().Send(p, nil)
	return err
}

func (e *Engine) control(frame []byte) {
	for _, c := range e.all() {
		_ = c.mux.SendControl(frame) // fails when the channel has ended
	}
}

func (e *Engine) all() []*channel {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.channels)
}

// Close closes every channel once all is sent that was written, and ends what
// the engine has started. In memory it waits for the worker to close too.
func (e *Engine) Close() error { return e.shut(func(m *session.Mux) { m.Close(nil) }) }

// Kill ends every channel at once, as the death of an engine does.
func (e *Engine) Kill() error { return e.shut(func(m *session.Mux) { m.Abort(nil) }) }

func (e *Engine) shut(end func(m *session.Mux)) error {
	for _, c := range e.all() {
		end(c.mux)
	}
	e.mu.Lock()
	ends, l, ran := e.ends, e.loop, e.ran
	met := len(e.channels) > 0
	e.mu.Unlock()
	if met && l != nil {
		<-e.gone
	}
	for _, end := range ends {
		end.Wait()
	}
	if l == nil {
		return nil
	}
	err := l.Close()
	<-ran
	return err
}
