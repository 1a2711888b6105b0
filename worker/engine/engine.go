package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/internal/histogram"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/ipc"
	"golang.org/x/time/rate"
)

// errOutlived ends the channel of a dead worker whose socket somebody else
// holds open.
var errOutlived = errors.New("engine: the worker is dead and its channel is held open by another process")

// An Engine runs the workers of one app.
type Engine struct {
	// Immutable after Start.
	opt     Options
	log     *slog.Logger
	world   world
	base    time.Time // what now counts from
	lanes   []*lane
	budgets []session.Budget // by lane
	queue   queue
	leases  leases  // of plain workers
	ownDir  bool    // RuntimeDir is a temporary one of ours
	dir     string  // the current directory's name in the beginning; "" if it has none
	origin  *Origin // of what no release is asked for

	setup      sync.Mutex // held while lanes and the first generation are made, and while they are torn down; before mu
	begun      bool       // Start was called
	stopReaper func()

	stopping chan struct{}  // closed: no child is started any more
	done     chan struct{}  // closed: nothing is left
	running  sync.WaitGroup // slots and children

	refusing    atomic.Bool // Open takes no new work
	turn        atomic.Uint64
	pending     atomic.Int64 // connections that have not greeted
	strangers   atomic.Int64 // of those, from processes that are no workers'
	lastRefused atomic.Int64 // when one was logged
	stats       counters
	tuned       atomic.Pointer[Tuning]
	waits       histogram.Histogram // of requests in the queue, whatever came of it
	seats       atomic.Uint64       // given to foreign standbys
	doorCount   atomic.Uint64       // plain processes that were given addresses
	oftenBusy   rate.Sometimes

	hub          *ipc.Hub   // immutable after New
	deaths       sync.Mutex // one OnDeath at a time
	workerEvents sync.Mutex // and one OnWorker

	gates struct {
		mu     sync.Mutex       // before every other but setup
		all    map[[2]int]*gate // by user and group
		own    string           // the temporary directory for them; "" without
		closed bool
	}

	mu       sync.Mutex
	stopped  bool              // stopping is closed
	ended    bool              // somebody tears down
	children map[string]*child // by uuid, the living

	doing       string        // the operation that is under way
	current     *generation   // that serves; nil before Start has made it
	generations []*generation // all that have workers, oldest first
	workers     int           // that each is to have
	standbys    int
}

type counters struct {
	opened, queued, full, aged, retried, lost        atomic.Uint64
	spawned, expected, unexpected, early, signalled  atomic.Uint64
	untouched, promoted, recycled                    atomic.Uint64
	strangers, reaped, ignored, overrun, refusedOpen atomic.Uint64
	messages, unsent, requests, unanswered           atomic.Uint64
}

// New checks the options and returns an engine that is not started. On other
// systems than Linux it fails with ErrUnsupported.
func New(o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "linux" && o.world == nil {
		return nil, ErrUnsupported
	}
	e := &Engine{
		opt: o, log: o.Logger, oftenBusy: rate.Sometimes{Interval: time.Second}, world: o.world, base: time.Now(),
		budgets:  make([]session.Budget, o.Loops),
		stopping: make(chan struct{}),
		done:     make(chan struct{}),
		children: make(map[string]*child),
		origin:   &Origin{App: o.Name},
		workers:  o.Workers,
		standbys: o.Standbys,
	}
	e.dir, _ = os.Getwd() // by $PWD, if that is it: the links in it may lead elsewhere one day
	e.tuned.Store(&Tuning{Queue: o.Queue, StartTimeout: o.StartTimeout, HeartbeatTimeout: o.HeartbeatTimeout, DrainTimeout: o.DrainTimeout, ShutdownTimeout: o.ShutdownTimeout, KillDelay: o.KillDelay, Recycle: o.Recycle})
	if e.hub = o.Hub; e.hub == nil {
		e.hub = e.newHub()
	}
	e.hub.SetRouter(e.Router())
	e.queue.options, e.queue.try = func() QueueOptions { return e.tuning().Queue }, e.try
	e.refusing.Store(true)
	return e, nil
}

// Start runs the workers and returns when all of them are online, and the
// standbys ready. Otherwise it leaves nothing behind and fails: with a
// *StartError for the first that ended before it was, with ctx's cause, or with
// what was wrong with the runtime directory or its sockets. An engine is started
// once.
func (e *Engine) Start(ctx context.Context) error {
	g, err := e.open()
	if err != nil {
		_ = e.Close()
		return err
	}
	e.refusing.Store(false)
	if err = g.start(ctx, e.opt.Workers, e.opt.Standbys); err == nil {
		err = g.activate()
	}
	var failed *StartError
	switch {
	case err == nil:
		e.mu.Lock()
		e.doing = ""
		e.mu.Unlock()
		return nil
	case e.isStopping(): // Shutdown or Close was called and sees to the end
		<-e.done
		return ErrClosed
	case errors.As(err, &failed):
		failed.first = true
	default:
		err = fmt.Errorf("engine: start: %w", err)
	}
	_ = e.Close()
	return err
}

// open makes the loops with their sockets, and the first generation.
func (e *Engine) open() (*generation, error) {
	e.setup.Lock()
	defer e.setup.Unlock()
	if e.begun || e.isStopping() {
		return nil, ErrClosed
	}
	e.begun = true
	if e.world == nil {
		e.world = newWorld()
	}
	loops := e.opt.Loops
	if e.opt.HTTP != nil {
		loops = 1 // for those programs that attach
	}
	for i := range loops {
		l := &lane{e: e, index: i}
		if err := e.world.listen(e, l); err != nil {
			return nil, err
		}
		e.lanes = append(e.lanes, l)
	}
	e.queue.bind(e.lanes)
	if e.opt.Reap || os.Getpid() == 1 {
		e.stopReaper = startReaper(e)
	}
	at, err := e.gateOf(e.opt.User)
	if err != nil {
		return nil, err
	}
	g := e.newGeneration(e.opt.program(), at, e.opt.Suspended)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil, ErrClosed
	}
	e.current, e.doing = g, "the start"
	e.generations = append(e.generations, g)
	return g, nil
}

// run starts slots; each ends when it is told to. False: the engine stops.
func (e *Engine) run(list []*slot) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range list {
		if e.stopped {
			close(s.over)
			continue
		}
		e.running.Add(1)
		go s.run() // ends with the slot
	}
	return !e.stopped
}

// end has no further child started in these slots, and returns those that live
// there.
func (e *Engine) end(list []*slot) (children []*child) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range list {
		if !s.ended {
			s.ended = true
			close(s.quit)
		}
	}
	for _, c := range e.children {
		if slices.Contains(list, c.home()) {
			children = append(children, c)
		}
	}
	return children
}

// Shutdown ends the engine in order: Open refuses, requests in the queue are
// still served, workers finish the sessions they have and leave. It returns
// nil when nothing is left. When ctx ends first, what is left is killed and
// ctx's cause returned.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.refusing.Store(true)
	select {
	case <-e.queue.close(ErrClosed): // in time, because nobody waits for longer than Queue.Age
	case <-ctx.Done():
	case <-e.stopping:
	}
	for _, c := range e.stop() {
		c.tell(func(f *facts) { f.drain = true })
	}
	go e.finish() // ends with the last worker
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	_ = e.Close()
	return fmt.Errorf("engine: shutdown: workers were killed: %w", context.Cause(ctx))
}

// Close ends the engine at once: workers are killed, with their process
// groups, and their sessions lost. It returns when nothing is left. Calling it
// again, or before Start, does no harm.
func (e *Engine) Close() error {
	e.refusing.Store(true)
	for _, c := range e.stop() {
		c.tell(func(f *facts) { f.kill = true })
	}
	e.queue.fail(ErrClosed)
	e.finish()
	return nil
}

// stop has no further child started, and returns those that live.
func (e *Engine) stop() []*child {
	e.mu.Lock()
	if !e.stopped {
		e.stopped = true
		close(e.stopping)
	}
	all := slices.Clone(e.generations)
	e.mu.Unlock()
	for _, g := range all {
		e.end(g.all())
	}
	return e.living()
}

// finish waits for the last worker and takes everything down; whoever calls it
// later waits for the same.
func (e *Engine) finish() {
	e.mu.Lock()
	first := !e.ended
	e.ended = true
	e.mu.Unlock()
	if !first {
		<-e.done
		return
	}
	e.setup.Lock() // a Start that is on its way has seen that we stop, or its slots will
	defer e.setup.Unlock()
	e.running.Wait()
	e.queue.fail(ErrClosed)
	e.closeHub()
	e.closeGates()
	for _, l := range e.lanes {
		l.close()
	}
	if e.stopReaper != nil {
		e.stopReaper()
	}
	if e.ownDir {
		_ = os.RemoveAll(e.opt.RuntimeDir)
	}
	if e.world != nil {
		e.world.close()
	}
	close(e.done)
}

// Done is closed when nothing of the engine is left.
func (e *Engine) Done() <-chan struct{} { return e.done }

func (e *Engine) isStopping() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}

// adopt makes c one of the living, which handshakes may name. False: the
// slot has ended.
func (e *Engine) adopt(c *child) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || c.home().ended {
		return false
	}
	e.running.Add(1)
	c.g.running.Add(1)
	e.children[c.id] = c
	if !c.foreign { // Cocaine's workers know no messages
		c.meet()
	}
	return true
}

// forget takes c out of the living.
func (e *Engine) forget(c *child) {
	e.mu.Lock()
	delete(e.children, c.id)
	e.mu.Unlock()
}

// find returns the living child with this id, or nil.
func (e *Engine) find(id string) *child {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.children[id]
}

func (e *Engine) living() []*child {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*child, 0, len(e.children))
	for _, c := range e.children {
		list = append(list, c)
	}
	return list
}

// member returns the living child in whose process group pid is, or nil.
func (e *Engine) member(pid int) *child {
	group, err := e.world.group(pid)
	if err != nil {
		return nil
	}
	for _, c := range e.living() {
		if c.pid() == group {
			return c
		}
	}
	return nil
}

// starting says whether there is a child whose process number is not known yet:
// a process may be faster than the return of the call that started it. For each,
// known is called once it is.
func (e *Engine) starting(known func()) (some bool) {
	for _, c := range e.living() {
		if !c.started(known) {
			some = true
		}
	}
	return some
}

// hint gives text to the living child in whose process group pid is. A process
// may be faster than the return of the call that started it; its child is then
// known once that has returned.
func (e *Engine) hint(pid int, text string) {
	group, err := e.world.group(pid)
	if err != nil {
		return
	}
	for _, c := range e.living() {
		claim := func() {
			if c.pid() == group {
				c.hint(text)
			}
		}
		if c.started(claim) {
			claim()
		}
	}
}

// now is the engine's clock, monotonic, in nanoseconds.
func (e *Engine) now() int64 { return int64(time.Since(e.base)) }

// died counts and tells a death, once.
func (e *Engine) died(d Death) {
	if d.Expected {
		e.stats.expected.Add(1)
		e.log.Info("engine: worker left", "worker", d.Index, "id", d.ID, "pid", d.Pid, "reason", d.Reason, "uptime", d.Uptime, "lost", d.Had())
	} else {
		e.stats.unexpected.Add(1)
		e.log.Warn("engine: worker died", "death", d)
	}
	if e.opt.OnDeath != nil {
		e.deaths.Lock()
		defer e.deaths.Unlock()
		e.opt.OnDeath(d)
	}
}
