package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A fakeWorld has processes that are goroutines and channels that are pipes,
// so that time can be a bubble's.
type fakeWorld struct {
	e        *Engine
	born     func(p *fakeProcess)                         // plays the process; nil: a good worker
	delay    time.Duration                                // that start takes
	fail     func(n int) error                            // what the n-th start (from 1) fails with
	cred     func(p *fakeProcess) (int, int)              // of its connections; nil: its own
	quits    bool                                         // processes obey SIGQUIT
	size     func(pid int) int64                          // bytes resident; nil: 1
	knocks   func(told string, since time.Duration) error // what a plain process's doors say; nil: PORT answers at once
	doored   []*fakeDoors
	foretold string // what is written to a plain process's NOTIFY_SOCKET before it is told of it
	loops    bool   // lanes have loops, though no channel lives there; never in a bubble

	playing sync.WaitGroup

	mu    sync.Mutex
	procs []*fakeProcess
	ends  []*sessiontest.End
}

type fakeProcess struct {
	w     *fakeWorld
	n     int // from 1
	uuid  string
	spec  spec
	began time.Time
	term  chan struct{} // one message for each SIGTERM, dropped when nobody listens

	mu       sync.Mutex
	gone     chan struct{}
	end      exit
	dead     bool
	reaped   bool
	signals  []string
	immortal bool
	worker   *mini
	ends     []*sessiontest.End
}

func (w *fakeWorld) listen(e *Engine, l *lane) error {
	w.e = e
	l.endpoint = "fake:" + string(rune('0'+l.index))
	l.close = func() {}
	if !w.loops {
		return nil
	}
	lp, err := loop.New(loop.Options{})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- lp.Run() }() // ends when the lane is closed
	l.loop = lp
	l.close = func() {
		_ = lp.Close()
		<-done
	}
	return nil
}

// fakeDoors are a plain process's.
type fakeDoors struct {
	*doors
	made time.Time
	tell func(*doors, string)

	mu     sync.Mutex
	closed bool
	tries  map[string]int // by told
}

// heard has the engine hear what a process writes to its NOTIFY_SOCKET.
func (d *fakeDoors) heard(words string) { d.tell(d.doors, words) }

func (w *fakeWorld) gate(*Engine, *User) (*gate, error) { return nil, errors.ErrUnsupported }

func (w *fakeWorld) doors(_ *Engine, n uint64, _ *gate, heard func(*doors, string)) (*doors, error) {
	d := &fakeDoors{made: time.Now(), tell: heard, tries: make(map[string]int)}
	d.doors = &doors{port: fmt.Sprint(n), socket: fmt.Sprintf("/run/%d.s", n), notify: fmt.Sprintf("/run/%d.n", n), ready: make(chan struct{})}
	for _, told := range []string{"LISTEN_FDS", "PORT", "HEDDLE_SOCKET"} {
		d.list = append(d.list, &door{told: told, network: "fake", address: fmt.Sprintf("%s/%d", told, n)})
	}
	d.close = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.closed = true
	}
	w.mu.Lock()
	w.doored = append(w.doored, d)
	w.mu.Unlock()
	if w.foretold != "" {
		d.heard(w.foretold)
	}
	return d.doors, nil
}

func (w *fakeWorld) knock(ctx context.Context, x *door, _ string) error {
	w.mu.Lock()
	var of *fakeDoors
	for _, d := range w.doored {
		if slices.Contains(d.list, x) {
			of = d
		}
	}
	w.mu.Unlock()
	of.mu.Lock()
	of.tries[x.told]++
	of.mu.Unlock()
	if x.told == "LISTEN_FDS" && w.knocks == nil {
		<-ctx.Done() // the kernel accepts, and nobody answers
		return ctx.Err()
	}
	if w.knocks != nil {
		return w.knocks(x.told, time.Since(of.made))
	}
	if x.told == "PORT" {
		return nil
	}
	return syscall.ENOENT
}

func (w *fakeWorld) groupMemory(int) (int64, error) { return w.memory(0) }

const firstPid = 1000

func (w *fakeWorld) group(pid int) (int, error) {
	if pid < firstPid {
		return 0, errors.New("no such process")
	}
	return pid / 10 * 10, nil // a group has ten
}

func (w *fakeWorld) descends(pid, from int) bool { return pid/10*10 == from }

func (w *fakeWorld) close() {}

func (w *fakeWorld) memory(pid int) (int64, error) {
	if w.size == nil {
		return 1, nil
	}
	return w.size(pid), nil
}

func (w *fakeWorld) start(s spec) (process, error) {
	w.mu.Lock()
	p := &fakeProcess{w: w, n: len(w.procs) + 1, spec: s, began: time.Now(), gone: make(chan struct{}), term: make(chan struct{}, 1)}
	w.procs = append(w.procs, p)
	w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(p.n); err != nil {
			return nil, err
		}
	}
	p.uuid = lookup(s.env, envUUID)
	born := w.born
	if born == nil {
		born = func(p *fakeProcess) { p.work("") }
	}
	w.playing.Go(func() { born(p) }) // waited for when the test ends
	time.Sleep(w.delay)
	return p, nil
}

// work is a worker that does bad wrong; it returns at once.
func (p *fakeProcess) work(bad string) *mini {
	return p.workOn(bad, func(code int) { p.die(exit{code: code}) })
}

func (p *fakeProcess) workOn(bad string, end func(code int)) *mini {
	m := &mini{uuid: p.uuid, release: lookup(p.spec.env, envRelease), bad: bad, beat: 5 * time.Second, spawn: func(f func()) { p.w.playing.Go(f) }, exit: end}
	m.dial = func(endpoint string, make func(session.Link) loop.Handler) error {
		p.dial(endpoint, make)
		return nil
	}
	p.mu.Lock()
	p.worker = m
	p.mu.Unlock()
	_ = m.connect(p.w.e.lanes[0].endpoint, 0)
	go func() { // ends with the process
		for {
			select {
			case <-p.term:
				m.leave()
			case <-p.gone:
				return
			}
		}
	}()
	return m
}

// dial connects the process to a lane.
func (p *fakeProcess) dial(endpoint string, make func(session.Link) loop.Handler) {
	l := p.w.e.lanes[endpoint[len(endpoint)-1]-'0']
	a, b := sessiontest.New()
	pid, uid := p.pid(), os.Geteuid()
	if p.w.cred != nil {
		pid, uid = p.w.cred(p)
	}
	p.w.mu.Lock()
	p.w.ends = append(p.w.ends, a, b)
	p.w.mu.Unlock()
	p.mu.Lock()
	p.ends = append(p.ends, b)
	dead := p.dead
	p.mu.Unlock()
	a.Start(newChannel(p.w.e, l, a, os.Geteuid(), func() (int, int, error) { return pid, uid, nil }))
	b.Start(make(b))
	if dead {
		b.Abort(nil)
	}
}

// die ends the process: its descriptors are closed, what it had written stays.
func (p *fakeProcess) die(x exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return
	}
	p.dead, p.end = true, x
	for _, b := range p.ends {
		b.Close(io.ErrClosedPipe)
	}
	close(p.gone)
}

func (p *fakeProcess) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

func (p *fakeProcess) main() int               { return p.pid() }
func (p *fakeProcess) named() <-chan struct{}  { return p.drained() }
func (p *fakeProcess) pid() int                { return firstPid + 10*p.n }
func (p *fakeProcess) exited() <-chan struct{} { return p.gone }

func (p *fakeProcess) terminate() error {
	p.signal("SIGTERM")
	select {
	case p.term <- struct{}{}:
	default:
	}
	return nil
}

func (p *fakeProcess) dump(int) error {
	p.signal("SIGQUIT")
	if p.w.quits {
		p.spec.output(Stderr, "goroutine 1 [running]:", false)
		p.die(exit{code: 2})
	}
	return nil
}

func (p *fakeProcess) kill() error {
	p.signal("SIGKILL")
	p.mu.Lock()
	immortal := p.immortal
	p.mu.Unlock()
	if !immortal {
		p.die(exit{code: -1, signal: "SIGKILL"})
	}
	return nil
}

func (p *fakeProcess) signal(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		panic("a signal to a process that was reaped")
	}
	p.signals = append(p.signals, name+" after "+time.Since(p.began).String())
}

func (p *fakeProcess) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.signals...)
}

func (p *fakeProcess) reap() exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead {
		panic("a process is reaped that lives")
	}
	p.reaped = true
	return p.end
}

func (p *fakeProcess) drained() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// proc waits for the n-th process (from 1).
func (w *fakeWorld) proc(n int) *fakeProcess {
	for {
		w.mu.Lock()
		if len(w.procs) >= n {
			defer w.mu.Unlock()
			return w.procs[n-1]
		}
		w.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
}

// mini is the worker that the process plays.
func (p *fakeProcess) mini() *mini {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.worker
}

func (w *fakeWorld) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.procs)
}

// newFake returns an engine in w. Its end leaves nothing behind.
func newFake(t *testing.T, w *fakeWorld, o Options) *Engine {
	t.Helper()
	o.Path, o.world = "/bin/worker", w
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Loops == 0 {
		o.Loops = 1
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		ends, procs := w.ends, w.procs
		w.mu.Unlock()
		for _, p := range procs {
			p.die(exit{code: -1})
		}
		w.playing.Wait()
		for _, x := range ends {
			x.Abort(nil)
		}
		for _, x := range ends {
			x.Wait()
		}
	})
	return e
}
