package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

// Why a deploy ends before it has switched, beside errStopping and
// *supersededError.
var (
	errGone      = errors.New("withdrawn: its command has gone")
	errWithdrawn = errors.New("withdrawn, as asked")
	errLate      = errors.New("not ready within its --timeout")
)

// A deployment is one release on its way to serving.
type deployment struct {
	lc   *lifecycle
	a    *asker
	verb string
	op   *operation
	r    *release
	res  *result

	ctx    context.Context // ends the deploy while it has not switched
	unbind func() bool     // lets it go on when its command goes
	late   <-chan struct{} // closed at the order's time-out; nil without
	stop   func()          // gives the context and its timer back
}

// deploy answers the topic deploy.
func (lc *lifecycle) deploy(ctx context.Context, a *asker) (*result, error) {
	o := &a.order
	switch {
	case len(a.files) != 1:
		return nil, fmt.Errorf("deploy: %d files came along, want the program", len(a.files))
	case o.Program == "" || o.Program == "." || o.Program == ".." || strings.ContainsAny(o.Program, "/\x00") || len(o.Program) > 255: // NAME_MAX
		return nil, fmt.Errorf("deploy: %.64q cannot be a program's name", o.Program)
	}
	r := &release{Target: o.Target, Source: o.Source, Args: o.Args, Pid: o.Pid}
	if lc.kind.stays() && !o.Built {
		if !filepath.IsAbs(o.Source) {
			return nil, fmt.Errorf("deploy: %.64q is no absolute path", o.Source)
		}
		return lc.carryOut(ctx, a, topicDeploy, r, lc.kind.inPlace(r, o.Source, a.files[0]))
	}
	return lc.carryOut(ctx, a, topicDeploy, r, func(ctx context.Context, path string) error {
		return copyFailure(o.Target, path, copyProgram(ctx, path, a.files[0]))
	})
}

// rollback answers the topic rollback: an earlier release's program and
// arguments, as a new release.
func (lc *lifecycle) rollback(ctx context.Context, a *asker) (*result, error) {
	o := &a.order
	from := lc.releases.before()
	if o.Release != "" {
		var known bool
		if from, known = lc.releases.get(o.Release); !known || !from.has() || from.State == releaseDeploying {
			return nil, lc.noRelease(o.Release, from)
		}
	}
	if from.Name == "" {
		return nil, &failure{code: exitRefused, err: errors.New("no release served before this one"), fine: lc.still(), try: "try: heddle releases"}
	}
	f, err := lc.releases.open(from.Name)
	if err != nil && from.InPlace {
		if _, changed := lc.again(from, new(release), nil); changed != nil {
			return nil, changed
		}
		return nil, &failure{code: exitError, err: fmt.Errorf("%s cannot be read: %w", from.Program, cause(err)), fine: lc.still(), try: "try: ls -l " + from.Program}
	}
	if err != nil {
		return nil, lc.noRelease(from.Name, from)
	}
	a.files = append(a.files, f) // closed with the answer
	o.Program = filepath.Base(from.Program)
	r := &release{From: from.Name, Target: from.Target, Source: from.Source, Args: from.Args, Pid: o.Pid}
	if r.Args == nil {
		r.Args = []string{}
	}
	if from.InPlace {
		put, err := lc.again(from, r, f)
		if err != nil {
			return nil, err
		}
		return lc.carryOut(ctx, a, topicRollback, r, put)
	}
	return lc.carryOut(ctx, a, topicRollback, r, func(ctx context.Context, path string) error {
		err := copyProgram(ctx, path, f)
		if err == nil {
			var sum string
			if sum, _, err = hashFile(path); err == nil && sum != from.SHA256 {
				err = errNothingNew
			}
		}
		return copyFailure(from.Name+"'s program", path, err)
	})
}

// noRelease says which releases there are instead.
func (lc *lifecycle) noRelease(name string, r release) error {
	why := "there is no release " + name
	switch r.State {
	case releaseFailed:
		why = fmt.Sprintf("%s never served: %s", name, r.Reason)
	case releaseRetired:
		why = fmt.Sprintf("%s is retired: of its program nothing is left", name)
	case releaseDeploying:
		why = name + " does not serve yet"
	}
	var there []string
	for _, r := range lc.releases.all() {
		if r.State == releaseServing || r.State == releaseKept {
			there = append(there, r.Name)
		}
	}
	return &failure{
		code: exitRefused,
		err:  errors.New(why),
		fine: fmt.Sprintf("%s there are: %s.", lc.still(), strings.Join(there, ", ")),
		try:  "try: heddle releases, and heddle rollback with one of them",
	}
}

// carryOut makes r a release and gives it the work.
func (lc *lifecycle) carryOut(ctx context.Context, a *asker, verb string, r *release, put func(ctx context.Context, path string) error) (*result, error) {
	if _, err := lc.supervisor(); err != nil {
		return nil, err
	}
	lc.settle(r)
	p := &deployment{lc: lc, a: a, verb: verb, r: r, res: &result{From: r.From, State: stateRefused}}
	p.bind(ctx)
	defer func() {
		if p.stop != nil {
			p.stop()
		}
	}()
	if err := p.begin(); err != nil {
		return p.res, err
	}
	if err := p.copy(put); err != nil {
		return p.res, err
	}
	if a.order.NoWait {
		p.unbind()
		stop := p.stop
		p.stop = nil
		p.res.State = stateAccepted
		res := *p.res // what follows is for the log only, since the command's order has been answered
		p.a = &asker{order: a.order, gone: true}
		lc.works.Go(func() { // ends with the deploy, which lc.close cancels
			defer stop()
			_, _ = p.switchOver()
		})
		return &res, nil
	}
	before := lc.lostOf(p.res.Previous)
	drained, err := p.switchOver()
	if err != nil {
		return p.res, err
	}
	p.awaitDrained(ctx, drained)
	p.res.Lost = lc.lostOf(p.res.Previous) - before
	return p.res, nil
}

// bind makes the deployment's context.
func (p *deployment) bind(parent context.Context) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	p.ctx = ctx
	p.unbind = context.AfterFunc(parent, func() { cancel(errGone) })
	unbase := context.AfterFunc(p.lc.base, func() { cancel(errStopping) })
	var t *time.Timer
	if d := p.a.order.Timeout; d > 0 {
		late := make(chan struct{})
		p.late = late
		t = time.AfterFunc(d-p.a.order.Spent, func() {
			close(late)
			cancel(errLate)
		})
	}
	p.stop = func() {
		if t != nil {
			t.Stop()
		}
		p.unbind()
		unbase()
		cancel(nil)
	}
	p.op = &operation{
		verb: p.verb, pid: p.a.order.Pid, cancel: cancel,
		reserve: func() (name, doing string) {
			name = p.lc.releases.reserve()
			if p.r.From != "" {
				return name, fmt.Sprintf("a rollback to %s as %s", p.r.From, name)
			}
			return name, "a deploy of " + name
		},
	}
}

// begin waits for the deployment's turn.
func (p *deployment) begin() error {
	lc := p.lc
	err := lc.turns.begin(p.ctx, p.op, p.a.order.Supersede, func(doing string) {
		p.a.say(event{Event: eventWaiting, Release: p.op.release, Text: doing})
	})
	p.r.Name, p.res.Release = p.op.release, p.op.release
	p.res.Previous = lc.releases.serving().Name
	if err != nil {
		lc.log.Warn(p.verb+" refused", "release", p.r.Name, "pid", p.a.order.Pid, "err", err)
		return p.failed(err)
	}
	lc.log.Info(p.verb+" begins", "release", p.r.Name, "from", p.r.From, "target", p.r.Target, "pid", p.a.order.Pid, "suspended", p.a.order.Suspended)
	lc.notify(noticeBegan, "%s", p.op.doing)
	p.a.say(event{Event: eventAccepted, Release: p.r.Name})
	return nil
}

// copy makes the release.
func (p *deployment) copy(put func(ctx context.Context, path string) error) error {
	lc := p.lc
	if p.r.Args == nil {
		p.r.Args = lc.releases.serving().Args
	}
	lc.turns.report(p.op, "copying")
	err := lc.releases.add(p.ctx, p.r, p.a.order.Program, put)
	if err != nil {
		var f *failure
		if !errors.As(err, &f) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
			err = copyFailure(p.r.Target, p.r.Program, err) // the disk was full just behind the copy
		}
		lc.log.Warn(p.verb+" failed", "release", p.r.Name, "err", err)
		lc.notify(noticeFailed, "%s: %v", p.op.doing, err)
		lc.turns.end(p.op)
		return p.failed(err)
	}
	p.res.SHA256 = p.r.SHA256
	what := ": program copied"
	if p.r.InPlace {
		what = ": program found"
	}
	lc.log.Info(p.verb+what, "release", p.r.Name, "bytes", p.r.Size, "sha256", p.r.SHA256)
	p.a.say(event{Event: eventCopied, Release: p.r.Name})
	return nil
}

// switchOver starts the release's workers and gives them the work.
func (p *deployment) switchOver() (drained <-chan struct{}, err error) {
	lc := p.lc
	e, err := lc.supervisor()
	if err != nil {
		lc.turns.end(p.op)
		return nil, err // never: carryOut has asked
	}
	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { p.watch(e, started) }) // ends when started is closed
	drained, err = e.Deploy(p.ctx, lc.program(p.r), engine.DeployOptions{Suspended: p.a.order.Suspended})
	if err == nil {
		if err := lc.releases.serve(p.r.Name); err != nil {
			lc.log.Warn("a release's record cannot be written; it serves all the same", "release", p.r.Name, "err", err)
		}
		p.res.State = releaseServing
		if p.a.order.Suspended {
			p.res.State = stateSuspended
		}
		p.counted()
		lc.log.Info(p.verb+": switched", "release", p.r.Name, "previous", p.res.Previous, "state", p.res.State)
		lc.notify(noticeSwitched, "%s is %s, in place of %s", p.r.Name, p.res.State, p.res.Previous)
	} else {
		lc.log.Warn(p.verb+" failed; nothing has changed", "release", p.r.Name, "previous", p.res.Previous, "err", reasonOf(err))
		lc.notify(noticeFailed, "%s: %s", p.op.doing, reasonOf(err))
		lc.releases.fail(p.r.Name, reasonOf(err))
	}
	lc.turns.end(p.op)
	close(started)
	wg.Wait()
	if err != nil {
		return nil, p.failed(err)
	}
	lc.works.Go(func() { // ends with the old workers, at the latest with the engine
		select {
		case <-drained:
			lc.log.Info("the old release's workers have left", "release", p.res.Previous)
			lc.notify(noticeLeft, "the workers of %s have left", p.res.Previous)
		case <-lc.base.Done():
			return
		}
		lc.prune()
	})
	lc.prune()
	p.a.say(event{Event: eventSwitched, Release: p.r.Name})
	return drained, nil
}

// watch tells how many of the release's workers are ready.
func (p *deployment) watch(e supervisor, started <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	last := -1
	for {
		st := e.Status()
		of, ready := st.Wanted+st.Standbys, 0
		for _, w := range st.Workers {
			if w.Release == p.r.Name && (w.Ready || w.State == "online" || w.State == "suspended") {
				ready++
			}
		}
		if ready != last {
			last = ready
			p.lc.turns.report(p.op, "starting %d/%d", ready, of)
			p.a.say(event{Event: eventStarting, Release: p.r.Name, Done: ready, Of: of})
		}
		select {
		case <-tick.C:
		case <-started:
			return
		}
	}
}

// awaitDrained waits until the old workers have left, the command has gone or
// the order's time is over.
func (p *deployment) awaitDrained(ctx context.Context, drained <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	last := -1
	for waiting := true; waiting; {
		left := 0
		if e, err := p.lc.supervisor(); err == nil {
			for _, w := range e.Status().Workers {
				if w.Release == p.res.Previous && w.State != "dead" {
					left++
				}
			}
		}
		if left != last {
			last = left
			p.a.say(event{Event: eventDraining, Release: p.r.Name, Done: left})
		}
		p.res.Draining = left
		select {
		case <-drained:
			p.res.Drained, p.res.Draining = true, 0
			return
		case <-tick.C:
		case <-p.late:
			waiting = false
		case <-ctx.Done():
			waiting = false
		case <-p.lc.base.Done():
			waiting = false
		}
	}
}

// failed is what a person reads of err, and sets the result's state.
func (p *deployment) failed(err error) error {
	defer p.counted()
	var (
		superseded *supersededError
		start      *engine.StartError
		f          *failure
	)
	lc := p.lc
	still := lc.still()
	what := p.r.Name
	if what == "" {
		what = "the " + p.verb
	}
	switch {
	case errors.As(err, &superseded):
		p.res.State = stateSuperseded
		return &failure{code: exitRefused, err: fmt.Errorf("%s was superseded by %s", what, superseded.by), fine: still, try: "try: heddle releases, to see what became of " + superseded.by}
	case errors.Is(err, errLate):
		p.res.State = stateWithdrawn
		return &failure{code: exitTimeout, err: fmt.Errorf("%s was not ready within %v and was withdrawn%s", what, p.a.order.Timeout, slow(err)), fine: still, try: "try: heddle " + p.verb + " with a longer --timeout"}
	case errors.Is(err, errWithdrawn), errors.Is(err, errGone):
		p.res.State = stateWithdrawn
		return &failure{code: exitError, err: fmt.Errorf("%s was withdrawn before it served", what), fine: still}
	case errors.As(err, &start):
		p.res.State = releaseFailed
		return startFailure(start, p.r, exitRefused, still)
	case errors.As(err, &f): // of the copy
		p.res.State = releaseFailed
		f.fine = strings.TrimSpace(f.fine + " " + still)
		return f
	}
	if refused := lc.refusal(p.verb, err); refused != err {
		return refused
	}
	p.res.State = releaseFailed
	return &failure{code: exitRefused, err: fmt.Errorf("%s did not get ready: %w", what, err), fine: still, try: "try: heddle status"}
}

// withdraw ends the deploy of a release that has not switched; it counts those
// that it ended.
func (lc *lifecycle) withdraw(o order) int {
	if !lc.turns.withdraw(o.Release, errWithdrawn) {
		return 0
	}
	lc.log.Info("deploy withdrawn", "release", o.Release, "pid", o.Pid)
	return 1
}
