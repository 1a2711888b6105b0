package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/logs"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/httpcompat/upstream"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/worker/engine"
)

// An app is one program that a daemon runs: its releases, its workers, and what
// changes them.
type app struct {
	// Immutable after newApp.
	d        *daemon
	name     string
	o        *appOptions
	home     string // directory of the sockets that workers dial
	releases string // and of releases
	users    string // and of what other users' workers have to reach; not there before it is needed
	log      *slog.Logger
	life     *lifecycle
	deaths   *deaths
	output   *logs.Output // what workers write

	mu      sync.Mutex
	engine  *engine.Engine  // nil until it starts
	limited front.AppLimits // of an app of several
	plain   *upstream.Proxy // nil before one is asked for
}

// newApp returns an app without workers. Its files are under home and release,
// which exist.
func newApp(d *daemon, name string, o *appOptions, home, release, users string) *app {
	log := d.log
	if o.name != "" {
		log = log.With("app", o.name)
	}
	a := &app{d: d, name: name, o: o, home: home, releases: release, users: users, log: log, life: newLifecycle(name, release, log), deaths: newDeaths(filepath.Join(home, "deaths"), log)}
	a.life.notify = a.notify
	a.life.surround(a.surroundings(o))
	a.limited = o.limits
	a.life.kind = kind{o.plain.options(), engine.Dialect(o.foreign.dialect)}
	f := &o.logs
	a.output = logs.New(logs.Options{App: name, Ring: int64(f.ring), Stdout: f.file(f.stdout), Stderr: f.file(f.stderr), Logger: log})
	return a
}

// start makes the first release of t and starts its workers on the loops.
func (a *app) start(sig signals, t target, loops []*loop.Loop) error {
	if t.pkg != "" {
		a.d.progress("building %s", t.given)
		a.d.herald.says("building " + t.given)
	}
	a.o.warnRoot(a.log)
	if err := a.open(a.o.user); err != nil {
		return err
	}
	r, err := a.life.first(sig.ctx, t, a.o.args, a.d.out)
	if err != nil {
		return err
	}
	if err := a.startEngine(sig, r, loops); err != nil {
		return err
	}
	if err := a.life.releases.serve(r.Name); err != nil {
		return err
	}
	a.life.serves(a.engine)
	return nil
}

// proxy forwards requests that net/http has taken to the app's workers.
func (a *app) proxy() http.Handler {
	late := max(a.limits().ResponseHeaderTimeout, 0)
	if a.o.plain.http {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.plain == nil || a.plain.HeadTimeout != late { // another one keeps what it has of workers as long as they live
			a.plain = plainProxy(a.engine, a.log, late)
		}
		return a.plain
	}
	p := &httpcompat.Proxy{Opener: a.engine, Logger: a.log, HeadTimeout: late}
	if a.o.foreign.is() {
		p.Plain, p.Event, p.Bodies = true, a.o.foreign.event, &a.d.bodies
	}
	return p
}

// limits are those of the app's requests. One alone has the front's.
func (a *app) limits() front.AppLimits {
	if l := &a.d.o.front.limits; len(a.d.o.apps) == 0 {
		return front.AppLimits{WriteTimeout: l.WriteTimeout, ResponseHeaderTimeout: l.ResponseHeaderTimeout, MaxBody: l.MaxBody}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limited
}

// limit changes them, from the next set of routes on.
func (a *app) limit(l front.AppLimits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limited = l
}

// opener is what the front's loops ask for the app's sessions; nil if it has none,
// and net/http answers by way of proxy.
func (a *app) opener() front.Opener {
	switch {
	case a.o.plain.http:
		return nil
	case a.o.foreign.is():
		return foreignOpener{a.engine, a.o.foreign.event}
	}
	return a.engine
}

// surroundings are what o says of where and as whom workers run.
func (a *app) surroundings(o *appOptions) surroundings {
	return surroundings{dir: o.dir, environ: o.environ, user: o.user, users: a.users}
}

// open makes the way to the app's directory for other users, if u is one.
func (a *app) open(u *engine.User) error {
	if !u.Foreign() {
		return nil
	}
	if err := a.d.place.openUsers(); err != nil {
		return err
	}
	return engine.MakeUserDir(a.users)
}

// startFailure is why the app did not start, with its name where there are
// several.
func (a *app) startFailure(err error) error { return a.o.named(err) }

// status is the app's part of the daemon's.
func (a *app) status() AppStatus {
	rel := a.life.releases.serving()
	if all := a.life.releases.all(); rel.Name == "" && len(all) > 0 {
		rel = all[0] // still starting
	}
	st := AppStatus{Release: rel.Name, SHA256: rel.SHA256, Operation: a.life.turns.status(), Changed: rel.changed(), Output: a.output.Stats(), Workers: []engine.WorkerStatus{}}
	if e := a.supervised(); e != nil {
		es := e.Status()
		st.Suspended, st.Wanted, st.Standbys = es.Suspended, es.Wanted, es.Standbys
		st.Workers = append(st.Workers, es.Workers...)
		engine.Measure(st.Workers)
	}
	return st
}

// supervised is the app's engine, nil before it starts.
func (a *app) supervised() *engine.Engine {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.engine
}

// end ends the workers at once, if they have not left.
func (a *app) end() {
	if e := a.supervised(); e != nil {
		_ = e.Close() // ended already unless start failed
	}
}

// close waits for what concerns them. They have ended.
func (a *app) close() {
	a.life.close()
	a.deaths.close() // the engine tells of no more
}

// startEngine starts the workers and waits until all are online.
func (a *app) startEngine(sig signals, r *release, loops []*loop.Loop) error {
	o := a.o
	p := a.life.program(r)
	e, err := engine.New(engine.Options{
		Path:             p.Path,
		Args:             p.Args,
		Environ:          p.Environ,
		Dir:              p.Dir,
		HTTP:             p.HTTP,
		Dialect:          a.life.kind.dialect,
		Locator:          a.d.toldLocator(o),
		Name:             a.name,
		Release:          r.Name,
		Workers:          o.workers,
		Standbys:         o.standbys,
		Suspended:        o.suspended,
		Recycle:          engine.RecycleOptions{Requests: o.recycleRequests, Age: o.recycleAge, Memory: int64(o.recycleMemory)},
		On:               loops,
		Concurrency:      o.concurrency,
		Queue:            engine.QueueOptions{Len: o.queue, Age: o.queueAge},
		StartTimeout:     o.startTimeout,
		HeartbeatTimeout: o.heartbeatTimeout,
		DrainTimeout:     o.drainTimeout,
		ShutdownTimeout:  o.shutdownTimeout,
		KillDelay:        o.killDelay,
		User:             p.User,
		UserDir:          a.users,
		RuntimeDir:       a.home,
		Output:           a.workerLine,
		OnDeath:          a.died,
		Logger:           a.log,
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.engine = e
	a.mu.Unlock()
	a.d.herald.says("starting workers")
	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { a.watchStart(e, started) }) // ends when started is closed
	err = e.Start(sig.ctx)
	close(started)
	wg.Wait()
	if err == nil {
		return nil
	}
	if sig.ctx.Err() != nil {
		return interrupted(sig.ctx)
	}
	var se *engine.StartError
	if !errors.As(err, &se) {
		return &failure{code: exitError, err: fmt.Errorf("workers did not start: %w", err), fine: "nothing is left running."}
	}
	return startFailure(se, r, exitError, "the other workers were stopped; nothing is left running.")
}

// died keeps the record of a worker's end.
func (a *app) died(death engine.Death) {
	a.life.died(death)
	a.deaths.add(death)
	a.notifyDeath(death)
}

// watchStart shows on a terminal how many workers are online.
func (a *app) watchStart(e *engine.Engine, started <-chan struct{}) {
	if !a.d.term {
		<-started
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		online := 0
		for _, w := range e.Status().Workers {
			if w.Ready || w.State == "online" || w.State == "suspended" {
				online++
			}
		}
		a.d.progress("starting workers %d/%d", online, a.o.workers+a.o.standbys)
		select {
		case <-tick.C:
		case <-started:
			a.d.out.SetStatus("")
			return
		}
	}
}

// workerLine logs a line of a worker's and writes it with its prefix, coloured by
// index on a terminal.
func (a *app) workerLine(l engine.Line) {
	a.output.Add(l)
	a.d.out.append(len(l.Text)+len(a.o.name)+32, func(b []byte) []byte {
		name := a.o.name
		if name != "" {
			name += " "
		}
		if a.d.colour {
			// SGR 31 to 36, ECMA-48.
			b = fmt.Appendf(b, "\x1b[%dm[%s%s %s]\x1b[0m ", 31+(l.Index+1)%6, name, indexOf(l.Index), l.Release)
		} else {
			b = logs.AppendPrefix(b, name, l.Index, l.Release)
		}
		return append(append(b, l.Text...), '\n')
	})
}
