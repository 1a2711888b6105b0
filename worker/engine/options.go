package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
)

// Options configure an Engine. Only Path is needed; the zero value of every
// other field takes the default said beside it.
type Options struct {
	// What is run.
	Path    string     // the executable; a relative one is taken from the current directory
	Args    []string   // its arguments, without its name
	Environ []string   // "KEY=value": what Env is added to; default this process's environment, as User.Environ has it
	Env     []string   // "KEY=value", over Environ; GOMAXPROCS is each worker's share unless set in either
	Dir     string     // working directory; default the current one, by the name it had when the engine was made, looked up at each start
	Name    string     // of the app; default the base name of Path
	HTTP    *PlainHTTP // the programs serve plain HTTP, and Acquire is for them; nil: sessions, for Open
	Dialect Dialect    // what the workers speak; default Heddle's own
	Locator string     // what workers are told of their locator, "host:port" or several with commas; default none, and with DialectV0 and DialectV1 DefaultLocator
	User    *User      // whom they run as; default this process's, and only root can choose
	Release string     // default "1"

	Standbys    int  // workers beside those that are warm and take the place of one that dies
	Suspended   bool // begin suspended: see Engine.Resume
	Recycle     RecycleOptions
	Workers     int          // default the number of CPUs that this process may use
	Loops       int          // default one per four CPUs, at least one
	On          []*loop.Loop // run the channels, in place of loops of the engine's own; they run until it has ended
	Concurrency int          // sessions a worker has open at once, counted on each loop by itself; 0: no limit
	Queue       QueueOptions
	Window      int // bytes of credit a stream begins with; default session.DefaultWindow

	StartTimeout     time.Duration // from exec until the worker is online; default 60 s
	HandshakeTimeout time.Duration // from connecting until the handshake has come; default 5 s
	HeartbeatTimeout time.Duration // without a heartbeat on some channel a worker counts as hung; default 30 s
	DrainTimeout     time.Duration // a draining worker's sessions may go on this long; default 30 s
	ShutdownTimeout  time.Duration // from the terminate message to SIGTERM; default 10 s
	KillDelay        time.Duration // from SIGTERM to SIGKILL; default 5 s
	Backoff          BackoffOptions

	// RuntimeDir holds the sockets that workers dial, NAME.w0 and so on. It is
	// made with mode 0700 if it does not exist. Engines of different Names may
	// share it, but not with one of HTTP, whose sockets are h1.l and so on.
	// Default: a new temporary directory, removed in the end.
	RuntimeDir string

	// UserDir holds what workers of another User have to reach: below it each
	// such user finds sockets of its own. It is this engine's alone: what it finds
	// there of a user it removes. It is given the mode 0711, and the
	// directories on the way to it must let those users pass. Default: a new
	// temporary directory, removed in the end.
	UserDir string

	// StderrLines is how many of a worker's last lines on standard error are
	// kept for its Death; default 50.
	StderrLines int

	// Reap also waits for orphans that were handed to this process, as PID 1
	// must. It is implied when this process is PID 1.
	Reap bool

	// Output is given each line that a worker wrote, one call at a time per
	// worker and stream. While it blocks, so does a worker that writes.
	// Default: lines are dropped, but for those kept for Death.
	Output func(Line)

	// OnDeath is given the record of each worker that ended, expected or not,
	// one call at a time. It must not wait for the engine.
	OnDeath func(Death)

	// Hub is where messages and requests of workers arrive; the engine is its router,
	// and ends none of its other peers. Default: one of the engine's own.
	Hub *ipc.Hub

	// OnWorker is told of each worker's start, of its being online and of its end, one
	// call at a time and in that order for each. It must not wait for the engine; it
	// may send messages that need not wait.
	OnWorker func(WorkerEvent)

	Logger *slog.Logger // default slog.Default()

	world world // faked by tests; nil: the real one
}

// QueueOptions bound the requests that wait while no worker is free.
type QueueOptions struct {
	Len int           // requests; default 16384
	Age time.Duration // how long one waits at most; default 10 s
}

// BackoffOptions say how long a worker that died before it had served
// ServedEnough waits for its successor: Min after the first such death, twice
// as long after each further one up to Max, less up to half of it by chance.
type BackoffOptions struct {
	Min time.Duration // default 100 ms
	Max time.Duration // default 30 s
}

// ServedEnough is how long a worker must have been online for its death to be
// an accident: its successor starts at once.
const ServedEnough = time.Second

// withDefaults fills in what is missing and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"Workers", int64(o.Workers)}, {"Standbys", int64(o.Standbys)}, {"Recycle.Age", int64(o.Recycle.Age)}, {"Recycle.Memory", o.Recycle.Memory}, {"Loops", int64(o.Loops)}, {"Concurrency", int64(o.Concurrency)}, {"Window", int64(o.Window)},
		{"Queue.Len", int64(o.Queue.Len)}, {"Queue.Age", int64(o.Queue.Age)}, {"StderrLines", int64(o.StderrLines)},
		{"StartTimeout", int64(o.StartTimeout)}, {"HandshakeTimeout", int64(o.HandshakeTimeout)},
		{"HeartbeatTimeout", int64(o.HeartbeatTimeout)}, {"DrainTimeout", int64(o.DrainTimeout)},
		{"ShutdownTimeout", int64(o.ShutdownTimeout)}, {"KillDelay", int64(o.KillDelay)},
		{"Backoff.Min", int64(o.Backoff.Min)}, {"Backoff.Max", int64(o.Backoff.Max)},
	} {
		if n.value < 0 {
			return o, fmt.Errorf("engine: %s is negative", n.name)
		}
	}
	if o.Loops > maxLoops {
		return o, fmt.Errorf("engine: %d loops; %d are the most that a worker can be told of", o.Loops, maxLoops)
	}
	setDefault(&o.Workers, runtime.GOMAXPROCS(0))
	if len(o.On) > 0 {
		o.Loops = len(o.On)
	}
	setDefault(&o.Loops, DefaultLoops())
	setDefault(&o.Queue.Len, 16384)
	setDefault(&o.Queue.Age, 10*time.Second)
	setDefault(&o.Window, session.DefaultWindow)
	setDefault(&o.StartTimeout, 60*time.Second)
	setDefault(&o.HandshakeTimeout, 5*time.Second)
	setDefault(&o.HeartbeatTimeout, 30*time.Second)
	setDefault(&o.DrainTimeout, 30*time.Second)
	setDefault(&o.ShutdownTimeout, 10*time.Second)
	setDefault(&o.KillDelay, 5*time.Second)
	setDefault(&o.Backoff.Min, 100*time.Millisecond)
	setDefault(&o.Backoff.Max, 30*time.Second)
	setDefault(&o.StderrLines, 50)
	setDefault(&o.Release, "1")
	if o.Dialect.foreign() {
		setDefault(&o.Locator, DefaultLocator)
	}
	o.Backoff.Max = max(o.Backoff.Max, o.Backoff.Min)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Path == "" {
		return o, errors.New("engine: no executable given")
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return o, fmt.Errorf("engine: %w", err)
	}
	o.Path = path
	if o.HTTP, err = o.HTTP.withDefaults(); err != nil {
		return o, err
	}
	if err := o.User.Check(); err != nil {
		return o, err
	}
	if err := o.Dialect.Check(); err != nil {
		return o, err
	}
	if o.Dialect.foreign() && o.HTTP != nil {
		return o, errors.New("engine: workers either serve plain HTTP or speak a dialect")
	}
	setDefault(&o.Name, filepath.Base(o.Path))
	if strings.ContainsAny(o.Name, "/\x00") {
		return o, fmt.Errorf("engine: name %q must not contain a slash", o.Name)
	}
	if o.world == nil {
		if err := checkExecutable(o.Path); err != nil {
			return o, err
		}
	}
	return o, nil
}

// program is what the first release runs.
func (o *Options) program() Program {
	return Program{Path: o.Path, Args: o.Args, Environ: o.Environ, Env: o.Env, Dir: o.Dir, Release: o.Release, HTTP: o.HTTP, User: o.User}
}

// DefaultLoops is how many loops an engine has: one per four CPUs, at least one.
// A second loop pays only when the first has no time left, since each makes its own
// batches of what it sends and gets; one carries some 100,000 requests a second.
func DefaultLoops() int { return max(1, runtime.GOMAXPROCS(0)/4) }

// maxLoops is how many endpoints a welcome may list.
const maxLoops = 256

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// checkExecutable says in plain words why path cannot be run. The errors wrap
// fs.ErrNotExist and fs.ErrPermission.
func checkExecutable(path string) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("engine: %s: %w; check the path, or build it first", path, fs.ErrNotExist)
	case err != nil:
		return fmt.Errorf("engine: %w", err)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("engine: %s is not a file that can be run: %w", path, fs.ErrPermission)
	case runtime.GOOS != "windows" && fi.Mode()&0o111 == 0:
		return fmt.Errorf("engine: %s is not executable (mode %v): %w; if it is a program, chmod +x it", path, fi.Mode().Perm(), fs.ErrPermission)
	}
	return nil
}
