package engine

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// A Program is what the workers of one release run.
type Program struct {
	Path    string   // the executable
	Args    []string // its arguments, without its name
	Environ []string // "KEY=value": what Env is added to; nil: the environment of the engine's process, as User.Environ has it
	Env     []string // "KEY=value", over Environ
	Dir     string   // working directory; default the current one, by the name it had when the engine was made, looked up at each start
	Release string   // name of the release
	User    *User    // whom its workers run as; nil: this process's

	HTTP *PlainHTTP // its workers are plain: they serve HTTP; nil: they serve sessions
}

// A generation is the workers of one release that were started together, and
// whoever takes their places. It stands by until activate gives it the work.
type generation struct {
	// Immutable after newGeneration.
	e       *Engine
	program Program
	gate    *gate // where its workers dial; nil: at the lanes themselves
	origin  *Origin
	active  chan struct{} // closed by activate: its workers may serve
	starts  chan struct{} // a place for each worker that may be starting
	turn    chan struct{} // of the one slot whose worker is being recycled

	running sync.WaitGroup // children, for gone

	mu        sync.Mutex // before any slot's, child's or lane's mu, and the engine's
	slots     []*slot    // by index
	standbys  []*slot
	warm      []*child // standbys that may be promoted, oldest first
	suspended bool     // its workers are held
	failure   *Death   // of the first worker that ended before activate
}

func (e *Engine) newGeneration(p Program, at *gate, suspended bool) *generation {
	return &generation{
		e: e, program: p, gate: at, suspended: suspended, origin: &Origin{App: e.opt.Name, Release: p.Release},
		active: make(chan struct{}), starts: make(chan struct{}, runtime.NumCPU()), turn: make(chan struct{}, 1),
	}
}

// endpoint is where its workers dial a lane.
func (g *generation) endpoint(lane int) string {
	if g.gate != nil {
		return g.gate.endpoints[lane]
	}
	return g.e.lanes[lane].endpoint
}

// start adds the slots and waits until the first worker of each is ready. Its
// error names the first that ended before; what it has started goes on.
func (g *generation) start(ctx context.Context, workers, standbys int) error {
	g.mu.Lock()
	var list []*slot
	for i := range workers {
		list = append(list, newSlot(g, i))
	}
	g.slots = slices.Clone(list)
	for range standbys {
		s := newSlot(g, standbyIndex)
		g.standbys = append(g.standbys, s)
		list = append(list, s)
	}
	g.mu.Unlock()
	if !g.e.run(list) {
		return ErrClosed
	}
	return g.await(ctx, list)
}

// await waits for what comes of the first workers of these slots.
func (g *generation) await(ctx context.Context, list []*slot) error {
	results := make(chan result, len(list))
	for _, s := range list {
		go func() { // ends with the first child, or the slot
			select {
			case d := <-s.begun:
				results <- result{s, d}
			case <-s.over:
				select {
				case d := <-s.begun:
					results <- result{s, d}
				default:
				}
			}
		}()
	}
	for range list {
		select {
		case r := <-results:
			if r.death != nil {
				return g.startError(r.slot.index, *r.death)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.e.stopping:
			return ErrClosed
		}
	}
	return nil
}

// startError says that a worker ended before it was ready.
func (g *generation) startError(index int, d Death) *StartError {
	return &StartError{Index: index, Death: d, path: g.program.Path, Plain: g.program.HTTP != nil, Dialect: g.e.opt.Dialect}
}

// A result is what came of a slot's first child; a nil death: it is ready.
type result struct {
	slot  *slot
	death *Death
}

// activate gives the generation's workers the work, or has them stand
// suspended, unless one of them has ended meanwhile, or is about to.
func (g *generation) activate() error {
	g.mu.Lock()
	if d := g.failure; d != nil {
		g.mu.Unlock()
		return g.startError(d.Index, *d)
	}
	for _, s := range slices.Concat(g.slots, g.standbys) {
		if c := s.current(); c.isOut() {
			g.mu.Unlock()
			<-c.dead
			return g.startError(c.death.Index, c.death)
		}
	}
	close(g.active)
	slots := slices.Clone(g.slots)
	g.mu.Unlock()
	for _, s := range slots {
		if c := s.current(); c != nil {
			g.install(s, c)
		}
	}
	for _, s := range slots {
		if c := s.current(); c != nil {
			c.settle(s.quit)
		}
	}
	return nil
}

// fail notes the death of a worker that was ready, while the generation stands by.
func (g *generation) fail(d *Death) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !isClosed(g.active) && g.failure == nil {
		g.failure = d
	}
}

// install gives c, which is ready, what its slot's worker does: serve, be held,
// or stand by.
func (g *generation) install(s *slot, c *child) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.index == standbyIndex {
		g.warm = append(slices.DeleteFunc(g.warm, (*child).isOut), c)
		return
	}
	g.placeLocked(c)
}

func (g *generation) placeLocked(c *child) {
	want := wantServe
	if g.suspended {
		want = wantHold
	}
	c.tell(func(f *facts) { f.want = want })
}

// promote gives the slot a standby that is ready; nil if there is none.
func (g *generation) promote(s *slot) *child {
	count := s.nextCount()
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.warm) > 0 && !isClosed(s.quit) {
		c := g.warm[0]
		g.warm = slices.Delete(g.warm, 0, 1)
		if c.isOut() || isClosed(c.broken) || isClosed(c.tired) {
			continue // its own slot sees to it
		}
		c.promote(s, count)
		g.e.stats.promoted.Add(1)
		g.placeLocked(c)
		s.mu.Lock()
		s.child = c
		s.mu.Unlock()
		return c
	}
	s.mu.Lock()
	s.count-- // nobody came
	s.mu.Unlock()
	return nil
}

// retract takes a standby out of those that may be promoted. False: it was
// promoted.
func (g *generation) retract(c *child) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.warm = slices.DeleteFunc(g.warm, func(x *child) bool { return x == c })
	return !isClosed(c.promoted)
}

// launchSuspended says whether the slot's next process is to be started
// suspended.
func (g *generation) launchSuspended(s *slot) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.suspended || s.index == standbyIndex
}

// hold has every worker suspended, or resumes them, and returns those that
// were told.
func (g *generation) hold(suspended bool) (told []*child) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suspended = suspended
	for _, c := range g.e.living() {
		if c.g == g && c.place() != standbyIndex {
			g.placeLocked(c)
			told = append(told, c)
		}
	}
	return told
}

// isSuspended says whether the workers are held.
func (g *generation) isSuspended() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.suspended
}

// all are the slots, workers' first.
func (g *generation) all() []*slot {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Concat(g.slots, g.standbys)
}

// workers are the slots that have an index.
func (g *generation) workers() []*slot {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.slots)
}

// retire ends the generation in order: its workers finish what they have. Gone
// is closed when none of them is left.
// When retire returns they are given no more.
func (g *generation) retire() (gone <-chan struct{}) {
	children := g.e.end(g.all())
	for _, c := range children {
		c.tell(func(f *facts) { f.drain = true })
	}
	for _, c := range children {
		<-c.out
	}
	done := make(chan struct{})
	go func() { // ends with the last worker, which escalation ends
		for _, s := range g.all() {
			<-s.over
		}
		g.running.Wait()
		g.e.drop(g)
		close(done)
	}()
	return done
}

// acquire waits for a place among the workers that are starting. False: quit
// came first.
func (g *generation) acquire(quit <-chan struct{}) bool {
	select {
	case g.starts <- struct{}{}:
		return true
	case <-quit:
		return false
	}
}

func (g *generation) release() { <-g.starts }

func (g *generation) endTurn() { <-g.turn }

func (g *generation) left() { g.running.Done() }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
