package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/heddle-go/heddle/service/host"
)

// mostStarted is how many apps clients may have started at once.
const mostStarted = 64

// A node is the daemon's service node: clients take its apps out of the cloud and
// put them in again, and, if that is allowed, start others.
//
// An app of the daemon's that is paused serves HTTP as ever; only the cloud does
// not have it any more. One that was started is ended.
type node struct {
	d   *daemon
	dir string // whose programs may be started; "": none

	cut     chan struct{} // closed once a drain has had its time
	cutOnce sync.Once

	turn sync.Mutex // held while an app goes into the cloud or out of it; before mu

	mu      sync.Mutex
	paused  map[string]bool // apps of the daemon's
	started map[string]*app // nil: on its way
	shut    bool
	ways    sync.WaitGroup // calls that start or end one
	lost    int            // calls that apps had not finished when they were ended
}

func newNode(d *daemon, dir string) *node {
	return &node{d: d, dir: dir, cut: make(chan struct{}), paused: make(map[string]bool), started: make(map[string]*app)}
}

// knownProfile says whether an app may be started with it: there is but one.
func knownProfile(name string) bool { return name == "" || name == "default" }

// StartApp puts an app of the daemon's into the cloud again, or starts a program.
func (n *node) StartApp(name, profile string) error {
	if !knownProfile(profile) {
		return fmt.Errorf("%w: profile %.64q", host.ErrNoApp, profile)
	}
	if own, err := n.again(name); own {
		return err
	}
	path, err := n.program(name)
	if err != nil {
		return err
	}
	n.mu.Lock()
	_, there := n.started[name]
	switch {
	case n.shut:
		err = host.ErrNoApp
	case there:
		err = host.ErrRunning
	case len(n.started) >= mostStarted:
		err = fmt.Errorf("%d apps were started, which is as many as may be", len(n.started))
	default:
		n.started[name] = nil
		n.ways.Add(1)
	}
	n.mu.Unlock()
	if err != nil {
		return err
	}
	defer n.ways.Done()
	a, err := n.start(name, path)
	n.mu.Lock()
	if n.started[name] = a; err != nil {
		delete(n.started, name)
	}
	n.mu.Unlock()
	return err
}

// again puts an app of the daemon's into the cloud again, if own: it is one.
func (n *node) again(name string) (own bool, err error) {
	n.turn.Lock()
	defer n.turn.Unlock()
	a := n.own(name)
	switch {
	case a == nil:
		return false, nil
	case !n.isPaused(name):
		return true, host.ErrRunning
	}
	return true, whyOf(n.d.enlistLocked(a))
}

// pause takes an app of the daemon's out of the cloud, if own: it is one.
func (n *node) pause(name string) (own bool, err error) {
	n.turn.Lock()
	defer n.turn.Unlock()
	switch {
	case n.own(name) == nil:
		return false, nil
	case n.isPaused(name):
		return true, host.ErrNotRunning
	}
	n.d.log.Info("node: a client takes an app out of the cloud", "app", name)
	n.mu.Lock()
	n.paused[name] = true
	n.mu.Unlock()
	n.d.cloud.RemoveApp(name)
	return true, nil
}

// delist takes an app that is no more out of the cloud.
func (n *node) delist(name string) {
	n.turn.Lock()
	defer n.turn.Unlock()
	n.d.cloud.RemoveApp(name)
	n.forget(name)
}

// program is the one of that name that may be started.
func (n *node) program(name string) (path string, err error) {
	if n.dir == "" || checkName(name) != nil {
		return "", host.ErrNoApp
	}
	root, err := os.OpenRoot(n.dir)
	if err != nil {
		n.d.log.Warn("node: no program can be started", "err", err)
		return "", host.ErrNoApp
	}
	defer root.Close()
	fi, err := root.Lstat(name)
	if err != nil || !fi.Mode().IsRegular() || fi.Mode().Perm()&0o111 == 0 { // a link could lead elsewhere
		return "", host.ErrNoApp
	}
	return filepath.Join(n.dir, name), nil
}

// start starts a program's workers and has the cloud serve them.
func (n *node) start(name, path string) (*app, error) {
	d := n.d
	o := d.o.appOptions // the command line's, as far as they concern no program
	o.name, o.target, o.args, o.dir, o.environ, o.suspended, o.tabled = name, path, nil, "", nil, false, false
	o.plain.http, o.logs.stdout, o.logs.stderr = false, "", ""
	if len(d.o.apps) > 0 {
		o.foreign.dialect = ""
	}
	if err := (&o).findUser(); err != nil {
		return nil, whyOf(err)
	}
	d.log.Info("node: a client has an app started", "app", name, "program", path)
	a, err := d.makeApp(&o, "+"+name) // which no app of the daemon's can be called, nor a release
	if err != nil {
		return nil, whyOf(err)
	}
	t, err := findTarget(d.sig.ctx, "run", path)
	if err == nil {
		err = a.start(d.sig, t, d.loops.list)
	}
	if err == nil {
		err = d.enlist(a)
	}
	if err != nil {
		a.remove()
		d.log.Warn("node: the app did not start", "app", name, "err", whyOf(err))
		return nil, whyOf(err)
	}
	return a, nil
}

// PauseApp takes an app of the daemon's out of the cloud, or ends one that was
// started.
func (n *node) PauseApp(name string) error {
	if own, err := n.pause(name); own {
		return err
	}
	n.mu.Lock()
	a := n.started[name]
	if a == nil || n.shut {
		n.mu.Unlock()
		return host.ErrNotRunning
	}
	n.started[name] = nil // nobody else ends it, nor starts another
	n.ways.Add(1)
	n.mu.Unlock()
	defer n.ways.Done()
	n.d.log.Info("node: a client ends an app", "app", name)
	n.d.finish(a)
	n.mu.Lock()
	delete(n.started, name)
	n.mu.Unlock()
	return nil
}

// List are the apps that the cloud has.
func (n *node) List() ([]string, error) {
	names := []string{}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.d.running() {
		if !n.paused[a.name] && !a.o.plain.http {
			names = append(names, a.name)
		}
	}
	for name, a := range n.started {
		if a != nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// Info is what the app's own service says.
func (n *node) Info(name string, _ int64) (any, error) {
	n.mu.Lock()
	a, paused := n.started[name], n.paused[name]
	n.mu.Unlock()
	if own := n.own(name); own != nil && !paused {
		a = own
	}
	if a == nil {
		return nil, host.ErrNotRunning
	}
	return a.cloudInfo()
}

// own is the daemon's app of that name that a cloud can have; nil: none.
func (n *node) own(name string) *app {
	for _, a := range n.d.running() {
		if a.name == name && !a.o.plain.http {
			return a
		}
	}
	return nil
}

// running are the apps that were started, in order.
func (n *node) running() (all []*app) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(n.started)) {
		if a := n.started[name]; a != nil {
			all = append(all, a)
		}
	}
	return all
}

func (n *node) isPaused(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused[name]
}

// forget is told that an app of the daemon's is in the cloud, or no more.
func (n *node) forget(name string) {
	n.mu.Lock()
	delete(n.paused, name)
	n.mu.Unlock()
}

// stop starts and ends no app any more, and waits for those that are on their way; when
// ctx ends, no longer than it takes to kill them. Loops run on.
func (n *node) stop(ctx context.Context) {
	n.mu.Lock()
	n.shut = true
	n.mu.Unlock()
	defer context.AfterFunc(ctx, func() { n.cutOnce.Do(func() { close(n.cut) }) })()
	n.ways.Wait()
}

// unfinished is how many calls apps had not finished when they were ended.
func (n *node) unfinished() int {
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// finish lets an app's workers finish what they have, until the daemon's drain has had
// its time, or a second signal comes, and removes it with all that it had.
func (d *daemon) finish(a *app) {
	a.life.stop()
	ctx, cancel := context.WithTimeout(context.Background(), a.o.drainTimeout+farewell)
	defer cancel()
	finished := make(chan struct{})
	var cut chan struct{} // nil: never
	if d.node != nil {
		cut = d.node.cut
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends when finished is closed, at the latest
		select {
		case <-d.sig.hard:
			cancel()
		case <-cut:
			cancel()
		case <-finished:
		}
	})
	before := a.engine.Stats().Lost
	err := a.engine.Shutdown(ctx)
	close(finished)
	wg.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Warn("an app that is gone did not finish in time", "app", a.name, "err", err)
	}
	if d.cloud != nil {
		if n := d.node; err != nil {
			n.mu.Lock()
			n.lost += int(a.engine.Stats().Lost - before)
			n.mu.Unlock()
		}
		d.node.delist(a.name)
	}
	a.remove()
}
