package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/watch"
)

// edits bring what changes on disk into service: run --watch. One change is
// under way at a time; the next one ends it, unless it has switched.
type edits struct {
	// Immutable after newEdits.
	a       *app
	t       target
	watcher *watch.Watcher
	done    chan struct{} // closed when no change is acted on any more, and none holds requests

	// The change under way only.
	held bool // requests wait because of us
}

// newEdits begins to look after t, the app's; begin begins to act on it.
func newEdits(a *app, t target) (*edits, error) {
	e := &edits{a: a, t: t, done: make(chan struct{})}
	e.t.verb = topicDeploy // as whose failures those of a build are told
	find := func(ctx context.Context) (watch.Sources, error) { return watch.Package(ctx, t.pkg) }
	if t.pkg == "" {
		find = func(context.Context) (watch.Sources, error) { return watch.Files(e.files()...), nil }
	}
	var err error
	if e.watcher, err = watch.New(a.life.base, find, watch.Options{Logger: a.log}); err != nil {
		return nil, &failure{code: exitError, err: fmt.Errorf("%s cannot be watched: %w", t.given, err), fine: "nothing was started.", try: "try: cd " + t.pkg + " && go list -deps .; or heddle run without --watch"}
	}
	return e, nil
}

// files are what an executable target is made of: itself, and of a program that is
// run in place the files that its arguments name, as server.js is one of node's.
func (e *edits) files() []string {
	files := []string{e.t.path}
	if !e.a.life.kind.stays() {
		return files
	}
	args := e.a.o.args
	if r := e.a.life.releases.serving(); r.Name != "" {
		args = r.Args
	}
	for _, arg := range args {
		path := arg
		if !filepath.IsAbs(path) {
			path = filepath.Join(e.a.o.dir, path)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			continue
		}
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			files = append(files, path)
		}
	}
	return files
}

// begin acts on changes, until the lifecycle ends.
func (e *edits) begin() {
	e.a.d.out.Printf("watching %s: %s", e.t.given, noun(e.watcher.Count(), "file"))
	e.a.life.works.Go(func() { e.follow(e.a.life.base) }) // ends with the lifecycle
}

// follow carries out change after change until ctx ends.
func (e *edits) follow(ctx context.Context) {
	defer close(e.done)
	var wg sync.WaitGroup
	cancel := func() {}
	e.watcher.Run(ctx, func(paths []string) {
		cancel() // it has been superseded
		wg.Wait()
		var bringing context.Context
		bringing, cancel = context.WithCancel(ctx)
		wg.Go(func() { e.bring(bringing, paths) }) // ends with the deploy, or cancel
	})
	cancel()
	wg.Wait()
	if sup, err := e.a.life.supervisor(); err == nil && e.held {
		_ = sup.Resume(context.Background()) // who waits is answered before the end; it takes no order any more
	}
}

// bring holds the requests, builds and deploys. A change that is superseded
// leaves them held, for the next one.
func (e *edits) bring(ctx context.Context, paths []string) {
	began := time.Now()
	d := e.a.d
	d.out.Printf("changed: %s", e.names(paths))
	// Somebody may have suspended it, and will resume it himself.
	suspended := !e.held && e.a.suspended()
	if !suspended {
		e.hold(ctx)
	}
	if e.t.pkg != "" {
		d.progress("building %s", e.t.given)
	}
	why, err := e.deploy(ctx, paths, suspended, began)
	d.progress("")
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		why = err.Error()
	}
	if why != "" {
		d.out.Printf("%s", why)
		e.release(ctx)
		d.out.Printf("%s", strings.TrimSpace(e.a.life.still()+" waiting for the next change"))
	}
}

// names are paths as a person knows them, the first few.
func (e *edits) names(paths []string) string {
	const most = 3
	dir := e.t.pkg
	if dir == "" {
		dir = filepath.Dir(e.t.path)
	}
	var names []string
	for i, p := range paths {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(paths)-most))
			break
		}
		if rel, err := filepath.Rel(dir, p); err == nil {
			p = rel
		}
		names = append(names, p)
	}
	return strings.Join(names, ", ")
}

// hold has requests wait. Where something else is under way they do not.
func (e *edits) hold(ctx context.Context) {
	e.held = true
	if _, err := e.a.life.suspend(ctx, e.asker(nil)); err != nil && ctx.Err() == nil {
		e.a.log.Info("requests do not wait for the build", "err", err)
	}
}

// release lets them in to what served before.
func (e *edits) release(ctx context.Context) {
	if !e.held {
		return
	}
	if _, err := e.a.life.resume(ctx, e.asker(nil)); err != nil {
		if ctx.Err() == nil {
			e.a.d.out.Printf("requests still wait: %v", err)
		}
		return
	}
	e.held = false
}

// deploy builds what there is now and brings it into service, by the ways of
// heddle deploy. Why says what has kept it from that without being an error.
func (e *edits) deploy(ctx context.Context, paths []string, suspended bool, began time.Time) (why string, err error) {
	f, err := e.program(ctx)
	if err != nil {
		return "", err
	}
	a := e.asker(func(ev event) {
		if ev.Event == eventSwitched {
			e.held = false
			what := "serves"
			if suspended {
				what = "stands suspended"
			}
			e.a.d.out.Printf("%s %s, %s after the change", ev.Release, what, time.Since(began).Round(10*time.Millisecond))
			return
		}
		if s := deployProgress(ev); s != "" && ev.Event != eventDraining {
			e.a.d.progress("%s", s)
		}
	})
	a.files = []*os.File{f}
	defer f.Close()
	sum, _, err := hashFile(f.Name())
	if only := slices.Equal(paths, []string{e.t.path}); err == nil && sum == e.a.life.releases.serving().SHA256 && (e.t.pkg != "" || only) {
		return "the program is the same as before", nil
	}
	a.order.Target, a.order.Source, a.order.Program, a.order.Built = e.t.given, e.t.source(), e.t.name(), e.t.pkg != ""
	a.order.Suspended, a.order.Supersede = suspended, true
	_, err = e.a.life.deploy(ctx, a)
	return "", err
}

// program builds or opens the target. A build's place is taken by the next one.
func (e *edits) program(ctx context.Context) (*os.File, error) {
	if e.t.pkg == "" {
		f, err := os.Open(e.t.path)
		if err != nil {
			err = &failure{code: exitError, err: fmt.Errorf("%s cannot be read: %w", e.t.given, err), fine: unharmed(topicDeploy)}
		}
		return f, err
	}
	dir := filepath.Join(e.a.life.releases.dir, "build")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	path := filepath.Join(dir, e.t.name())
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := e.t.build(ctx, path, e.a.d.out); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// asker gives orders in the daemon's own name; say may be nil.
func (e *edits) asker(say func(event)) *asker {
	return &asker{order: order{Pid: os.Getpid(), Workers: -1, Standbys: -1}, reply: func(p []byte) error {
		var ev event
		if say != nil && json.Unmarshal(p, &ev) == nil {
			say(ev)
		}
		return nil
	}}
}

// suspended says whether requests wait.
func (a *app) suspended() bool {
	e, err := a.life.supervisor()
	return err == nil && e.Status().Suspended
}
