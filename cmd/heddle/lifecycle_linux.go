package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/admin"
	"github.com/heddle-go/heddle/worker/engine"
)

// A supervisor is what the lifecycle asks of an engine.
type supervisor interface {
	Deploy(ctx context.Context, p engine.Program, o engine.DeployOptions) (drained <-chan struct{}, err error)
	Scale(ctx context.Context, workers, standbys int) error
	Restart(ctx context.Context, sel engine.Selector, progress func(done, of int)) error
	Suspend(ctx context.Context) error
	Resume(ctx context.Context) error
	Status() engine.Status
	DumpRequests(w io.Writer)
}

// A lifecycle is what changes a daemon's releases and workers, as the verbs ask.
type lifecycle struct {
	// Immutable after newLifecycle.
	name     string // the daemon's
	log      *slog.Logger
	releases *store
	kind     kind
	base     context.Context // ends with the daemon
	end      context.CancelCauseFunc
	notify   func(kind, format string, args ...any) // tells whoever listens

	turns turns
	works sync.WaitGroup // what goes on without its command

	outcomes admin.Outcomes // of deploys

	mu     sync.Mutex
	around surroundings
	engine supervisor     // nil until the first release serves
	lost   map[string]int // by release: requests that its workers had when they ended
}

// surroundings are what workers find themselves in, beside their program.
type surroundings struct {
	dir     string                       // where they run; "": where the daemon was started
	environ func(base []string) []string // what they get of the daemon's environment, and more; nil: all
	user    *engine.User                 // whom they run as; nil: the daemon's
	users   string                       // where other users' workers find programs
}

func newLifecycle(name, dir string, log *slog.Logger) *lifecycle {
	lc := &lifecycle{name: name, log: log, releases: newStore(dir), lost: make(map[string]int), notify: func(string, string, ...any) {}}
	lc.base, lc.end = context.WithCancelCause(context.Background())
	return lc
}

// topics are who answers what.
func (lc *lifecycle) topics() map[string]func(ctx context.Context, a *asker) (*result, error) {
	return map[string]func(ctx context.Context, a *asker) (*result, error){
		topicDeploy:   lc.deploy,
		topicRollback: lc.rollback,
		topicScale:    lc.scale,
		topicRestart:  lc.restart,
		topicSuspend:  lc.suspend,
		topicResume:   lc.resume,
	}
}

// surround says what workers find themselves in from the next release on; it
// returns what undoes that.
func (lc *lifecycle) surround(s surroundings) (undo func()) {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	before := lc.around
	lc.around = s
	return func() { lc.surround(before) }
}

// settle notes in a new release whom its workers will run as.
func (lc *lifecycle) settle(r *release) {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	if r.user = lc.around.user; r.user != nil {
		r.User = r.user.String()
	}
	if r.user.Foreign() {
		r.open = lc.around.users
	}
}

// program is what a release's workers run.
func (lc *lifecycle) program(r *release) engine.Program {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	p := engine.Program{Path: r.Program, Args: r.Args, Dir: lc.around.dir, Release: r.Name, HTTP: lc.kind.plain, User: r.user}
	if lc.around.environ != nil {
		p.Environ = lc.around.environ(r.user.Environ(os.Environ()))
	}
	return p
}

// serves begins to take orders for e.
func (lc *lifecycle) serves(e supervisor) {
	lc.mu.Lock()
	lc.engine = e
	lc.mu.Unlock()
}

// stop refuses further orders and ends what is under way, without waiting for
// it.
func (lc *lifecycle) stop() {
	lc.turns.close()
	lc.end(errStopping)
}

// close waits for what still goes on. The engine has ended.
func (lc *lifecycle) close() {
	lc.stop()
	lc.works.Wait()
}

// died counts what a worker had when it ended.
func (lc *lifecycle) died(d engine.Death) {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	for _, l := range d.Lost {
		if !l.Untouched {
			lc.lost[d.Release]++
		}
	}
}

// forget drops the counts of releases that have neither a record nor workers.
func (lc *lifecycle) forget(inUse map[string]bool) {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	for name := range lc.lost {
		if _, known := lc.releases.get(name); !known && !inUse[name] {
			delete(lc.lost, name)
		}
	}
}

// lostOf is how many requests a release's workers had when they ended.
func (lc *lifecycle) lostOf(release string) int {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	return lc.lost[release]
}

// supervisor is the engine, or why there is none to be asked.
func (lc *lifecycle) supervisor() (supervisor, error) {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	if lc.engine == nil {
		return nil, &failure{code: exitRefused, err: errors.New("the daemon is still starting its first release"), fine: "nothing was changed.", try: "try: again when heddle status says serving"}
	}
	return lc.engine, nil
}

// An asker is a command that waits for events.
type asker struct {
	order order
	files []*os.File // closed when it has been answered

	mu    sync.Mutex
	reply func([]byte) error
	gone  bool // it takes no more events
}

// read reads the order. What it does not know it refuses: half an order could
// be the opposite of what was meant.
func (a *asker) read(payload []byte) error {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a.order); err != nil {
		return &failure{code: exitError, err: fmt.Errorf("the daemon does not understand what it was asked: %w", err), fine: "nothing was changed.", try: "try: heddle version; the daemon may be of another one"}
	}
	return nil
}

// say tells the command. One that has gone, or does not read, is told no more;
// whether the order goes on is its context's matter.
func (a *asker) say(e event) {
	p, err := json.Marshal(e)
	if err != nil {
		return // never: an event has nothing that cannot be JSON
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.gone {
		a.gone = a.reply(p) != nil
	}
}

// answer carries out one order and tells how it ended.
func (lc *lifecycle) answer(ctx context.Context, a *asker, payload []byte, f func(ctx context.Context, a *asker) (*result, error)) error {
	began := time.Now()
	var res *result
	err := a.read(payload)
	if err == nil {
		res, err = f(ctx, a)
	}
	if res == nil {
		res = &result{State: stateRefused}
	}
	res.Name, res.Seconds = lc.name, time.Since(began).Seconds()
	if e, _ := lc.supervisor(); e != nil {
		st := e.Status()
		res.Workers, res.Standbys = st.Wanted, st.Standbys
	}
	a.end(res, err)
	return nil
}

// end tells the command how it ended, and closes what it has sent.
func (a *asker) end(res *result, err error) {
	for _, file := range a.files {
		file.Close()
	}
	if err == nil {
		a.say(event{Event: eventDone, Release: res.Release, Result: res})
		return
	}
	fail := failureOf(err)
	res.Error = fail.Error
	a.say(event{Event: eventFailed, Release: res.Release, Result: res, Failure: fail})
}

// refusal is what a person reads of an order that was not begun, or that ended
// because of others.
func (lc *lifecycle) refusal(verb string, err error) error {
	var (
		busy     *busyError
		conflict *engine.ConflictError
	)
	f := &failure{code: exitRefused, fine: lc.still()}
	switch {
	case errors.As(err, &busy):
		f.err = fmt.Errorf("%s is under way, for %s%s", busy.doing, span(time.Since(busy.since)), by(busy.pid))
		f.fine = "it goes on; nothing else was changed."
		f.try = "try: heddle status, and again when it is done"
		if busy.supersede && (verb == topicDeploy || verb == topicRollback) {
			f.try += fmt.Sprintf("; or heddle %s --supersede, which ends it", verb)
		}
	case errors.As(err, &conflict):
		f.err = fmt.Errorf("%s is under way", conflict.Doing)
		f.fine = "it goes on; nothing else was changed."
		f.try = "try: heddle status, and again when it is done"
	case errors.Is(err, errStopping), errors.Is(err, engine.ErrClosed):
		f.err = errStopping
		f.fine = "requests that have begun are finished."
		f.try = "try: heddle run, when it has ended"
	default:
		return err
	}
	return f
}

func by(pid int) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(", by pid %d", pid)
}

// still says what serves whatever else went wrong.
func (lc *lifecycle) still() string {
	if r := lc.releases.serving(); r.Name != "" {
		return r.Name + " still serves."
	}
	return ""
}

// list is what releases shows.
func (lc *lifecycle) list() releasesReply {
	reply := releasesReply{Name: lc.name, Operation: lc.turns.status(), Releases: []releaseStatus{}}
	workers := lc.inUse()
	for _, r := range lc.releases.all() {
		if r.State == releaseServing {
			reply.Serving = r.Name
		}
		reply.Releases = append(reply.Releases, releaseStatus{r, workers[r.Name]})
	}
	return reply
}

// inUse counts workers by release.
func (lc *lifecycle) inUse() map[string]int {
	n := make(map[string]int)
	if e, _ := lc.supervisor(); e != nil {
		for _, w := range e.Status().Workers {
			n[w.Release]++
		}
	}
	return n
}

// prune removes programs that nothing needs any more.
func (lc *lifecycle) prune() {
	inUse := make(map[string]bool)
	for name := range lc.inUse() {
		inUse[name] = true
	}
	lc.forget(inUse)
	if retired := lc.releases.prune(inUse); len(retired) > 0 {
		lc.log.Info("releases retired: their programs were removed", "releases", retired)
	}
}
