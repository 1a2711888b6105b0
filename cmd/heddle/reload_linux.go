package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/worker/engine"
)

// farewell is how long the workers of an app that is gone may take beyond the
// drain time-out.
const farewell = 20 * time.Second

// answerReload answers the topic reload.
func (d *daemon) answerReload(ctx context.Context, a *asker) (*result, error) {
	began := time.Now()
	done, err := d.reload(ctx, a.order.Pid)
	res := &result{Name: d.title(), State: stateReloaded, Changes: done, Seconds: time.Since(began).Seconds()}
	if err != nil && len(done) == 0 {
		res.State = stateRefused
	}
	return res, err
}

// reload has the daemon do what its file says by now, and returns what was
// changed. A file that is wrong, or asks for what takes a restart, changes
// nothing. What cannot be done for one app, a deploy that fails, is left as it was
// and tried again by the next reload; the other apps get what is theirs.
func (d *daemon) reload(ctx context.Context, pid int) (done []string, err error) {
	d.mu.Lock()
	serving := d.state == stateServing
	d.mu.Unlock()
	if !serving {
		return nil, &failure{code: exitRefused, err: errors.New("the daemon does not serve"), fine: "nothing was changed.", try: "try: again when heddle status says serving"}
	}
	if !d.reloading.TryLock() {
		return nil, &failure{code: exitRefused, err: errors.New("another reload is under way"), fine: "it goes on; nothing else was changed.", try: "try: again when it is done"}
	}
	defer d.reloading.Unlock()
	d.log.Info("reload", "file", d.o.file, "pid", pid)
	old := d.o.config
	if old == nil {
		return nil, &failure{code: exitRefused, err: errors.New("this daemon does not run a configuration"), fine: "nothing was changed.", try: "try: heddle deploy; or heddle run --config FILE"}
	}
	c, err := d.o.reread()
	if err != nil {
		return nil, err
	}
	all := config.Compare(old, c)
	if err := d.refuses(c, all); err != nil {
		f := &failure{code: exitRefused, err: err, fine: "nothing was changed.", try: "try: correct these lines, and heddle reload"}
		if errors.Is(err, errNeedsRestart) {
			f.try = "try: take these changes back; or heddle stop, which ends the service, and heddle run"
		}
		return nil, f
	}
	var failed []error
	var apps []config.App // as they are from now on
	for i := range c.Apps {
		app, changes := &c.Apps[i], all.Of(c.Apps[i].Name)
		if len(changes) == 0 {
			apps = append(apps, *app)
			continue
		}
		now, made, err := d.change(ctx, app, old.App(app.Name), changes)
		for _, x := range made {
			done = append(done, x.String())
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("app %s: %w", app.Name, err))
		}
		if now != nil {
			apps = append(apps, *now)
		}
	}
	c.Apps, err = settle(apps, old.Apps)
	if err != nil {
		failed = append(failed, err)
	}
	gone := d.leaving(c)
	for _, a := range gone {
		if old.App(a.name) != nil {
			done = append(done, "app."+a.name+" is gone")
		}
	}
	d.rewire(c, gone)
	d.o.config = c
	for _, line := range done {
		d.log.Info("reload: changed", "what", line)
	}
	if failed == nil {
		return done, nil
	}
	err = errors.Join(failed...)
	d.log.Warn("reload failed in part", "err", err)
	return done, &failure{code: exitRefused, err: err, fine: "what was there serves on as it was.", try: "try: heddle status; heddle reload, when it is mended"}
}

// settle has no two apps with one route, after some could not be changed.
func settle(apps, old []config.App) (settled []config.App, err error) {
	settled, kept, refused := config.Settle(apps, old)
	var errs []error
	if len(kept) > 0 {
		errs = append(errs, fmt.Errorf("hosts and paths stay as they were (%s): what failed has some of the new ones yet", strings.Join(kept, ", ")))
	}
	for _, name := range refused {
		errs = append(errs, fmt.Errorf("app %s was not started: what failed has its hosts and paths yet", name))
	}
	return settled, errors.Join(errs...)
}

// errNeedsRestart reports a change that only a daemon started anew can have.
var errNeedsRestart = errors.New("needs a restart")

// A restartError says so in its own words.
type restartError struct{ error }

func (restartError) Is(target error) bool { return target == errNeedsRestart }

// refuses says what of the changes takes a restart.
func (d *daemon) refuses(c *config.Config, all config.Changes) error {
	var lines []error
	err := all.Refused()
	if err != nil {
		err = restartError{err}
	}
	asked := make(map[string]bool)
	for _, x := range all {
		switch {
		case x.App != "" && (x.Key == "user" || x.Key == "group" || x.Added()) && !asked[x.App]:
			asked[x.App] = true // once
			if err := refusedUser(c, x.App); err != nil {
				lines = append(lines, err)
			}
		case len(d.o.apps) == 0 && (x.Added() || x.Removed() || x.Key == "hosts" || x.Key == "paths" || ofFront[x.Key] && x.App != ""):
			lines = append(lines, restartError{fmt.Errorf("%s: %s needs a restart of the daemon, which runs one app without routes", x.At, x)})
		}
	}
	return errors.Join(append(lines, err)...)
}

// ofFront are the keys of an app whose requests the front looks at by its routes.
var ofFront = map[string]bool{"response-header-timeout": true, "write-timeout": true, "max-body-bytes": true}

// change does what concerns one app: it is started, or tuned, deployed and scaled.
// It returns what the app is from now on, nil for one that could not be started, and
// what was changed. Where its deploy fails everything of it is as it was.
func (d *daemon) change(ctx context.Context, c, old *config.App, changes config.Changes) (now *config.App, made config.Changes, err error) {
	o := optionsOf(c)
	if err := o.findUser(); err != nil {
		return old, nil, err
	}
	i := slices.IndexFunc(d.running(), func(a *app) bool { return a.name == c.Name || len(d.o.apps) == 0 })
	if i < 0 {
		if err := d.add(o); err != nil {
			return old, nil, err
		}
		return c, changes, nil
	}
	a := d.running()[i]
	e := a.supervised()
	if e == nil {
		return old, nil, errors.New("it has not started")
	}
	// Before the deploy, which may need it.
	if err := e.Tune(o.tuning()); err != nil {
		return old, nil, err
	}
	if len(changes.Need(config.Deploy)) > 0 {
		if err := d.redeploy(ctx, a, o); err != nil {
			return old, nil, errors.Join(err, e.Tune(optionsOf(old).tuning()))
		}
	}
	a.limit(o.limits)
	if slices.ContainsFunc(changes, func(x config.Change) bool { return x.Key == "user" }) {
		o.warnRoot(a.log)
	}
	ofSize := func(x config.Change) bool { return x.Key == "workers" || x.Key == "standbys" }
	if slices.ContainsFunc(changes, ofSize) {
		if err := e.Scale(ctx, o.workers, o.standbys); err != nil {
			but := *c
			but.Workers, but.Standbys = old.Workers, old.Standbys
			return &but, slices.DeleteFunc(slices.Clone(changes), ofSize), err
		}
	}
	return c, changes, nil
}

// tuning is what of the options an engine can be told while it runs.
func (o *appOptions) tuning() engine.Tuning {
	return engine.Tuning{
		Queue: engine.QueueOptions{Len: o.queue, Age: o.queueAge}, StartTimeout: o.startTimeout, HeartbeatTimeout: o.heartbeatTimeout, DrainTimeout: o.drainTimeout,
		ShutdownTimeout: o.shutdownTimeout, KillDelay: o.killDelay,
		Recycle: engine.RecycleOptions{Requests: o.recycleRequests, Age: o.recycleAge, Memory: int64(o.recycleMemory)},
	}
}

// redeploy makes a release of what the options name by now.
func (d *daemon) redeploy(ctx context.Context, a *app, o *appOptions) error {
	t, err := findTarget(ctx, topicReload, o.target)
	if err != nil {
		return whyOf(err)
	}
	path := t.path
	if t.pkg != "" {
		dir, err := os.MkdirTemp(a.home, "build-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		path = dir + "/" + t.name()
		if err := t.build(ctx, path, d.out); err != nil {
			return err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was copied, or is of no use
	if err := a.open(o.user); err != nil {
		return err
	}
	undo := a.life.surround(a.surroundings(o))
	args := o.args
	if args == nil {
		args = []string{}
	}
	silent := &asker{gone: true, files: []*os.File{f}, order: order{Pid: os.Getpid(), Target: t.given, Source: t.source(), Program: t.name(), Built: t.pkg != "", Args: args}}
	_, err = a.life.deploy(ctx, silent)
	if err != nil {
		undo()
	}
	return err
}

// whyOf is a failure without what it says to try, which is for a command line.
func whyOf(err error) error {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.err
	}
	return err
}

// add starts an app that is new.
func (d *daemon) add(o *appOptions) error {
	t, err := findTarget(d.sig.ctx, topicReload, o.target)
	if err != nil {
		return whyOf(err)
	}
	a, err := d.makeApp(o, o.name)
	if err != nil {
		return err
	}
	if err := a.start(d.sig, t, d.loops.list); err != nil {
		a.remove()
		return err
	}
	if err := d.enlist(a); err != nil {
		a.remove()
		return whyOf(err)
	}
	d.mu.Lock()
	d.apps = append(d.apps, a)
	d.mu.Unlock()
	return nil
}

// leaving are the apps that a configuration does not name any more.
func (d *daemon) leaving(c *config.Config) (gone []*app) {
	for _, a := range d.running() {
		if len(d.o.apps) > 0 && c.App(a.name) == nil {
			gone = append(gone, a)
		}
	}
	return gone
}

// rewire routes requests as a configuration says, and lets apps that are gone
// finish what they have.
func (d *daemon) rewire(c *config.Config, gone []*app) {
	if len(d.o.apps) == 0 {
		return
	}
	var apps []*app
	for _, ca := range c.Apps {
		for _, a := range d.running() {
			if a.name == ca.Name {
				apps = append(apps, a)
			}
		}
	}
	d.switches.set(apps, config.NewRoutes(c.Apps))
	d.mu.Lock()
	d.apps = apps
	d.mu.Unlock()
	for _, a := range gone {
		d.finish(a)
	}
}

// remove ends an app of several, if it has not, with all that it had.
func (a *app) remove() {
	a.end()
	a.output.End()
	a.close()
	a.output.Close()
	// The daemon's end tries again.
	err := errors.Join(os.RemoveAll(a.home), os.RemoveAll(a.releases), engine.RemoveUserDir(a.users))
	if err != nil {
		a.log.Warn("reload: of an app that is gone something is left", "app", a.name, "err", err)
	}
}

// reloadAsked is for SIGHUP: what comes of it the log has.
func (d *daemon) reloadAsked() {
	if _, err := d.reload(context.Background(), 0); err != nil {
		d.log.Error("reload failed", "err", err)
	}
}
