package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/worker/engine"
)

// openCloud serves a locator, and what it knows, if it was asked for. Its loops run.
func (d *daemon) openCloud() error {
	f := &d.o.cloud
	if f.locator == "" {
		return nil
	}
	if f.allowStart != "" {
		if err := directory(f.allowStart); err != nil {
			return &failure{code: exitError, err: fmt.Errorf("--allow-start: %w", err), fine: "nothing was started.", try: "try: ls -ld " + quoted(f.allowStart)}
		}
	}
	storage := f.storage
	if storage == "" {
		storage = storagePath(d.title())
	}
	n := newNode(d, f.allowStart)
	c, err := host.Start(host.Options{
		Locator: f.locator, Loops: d.loops.list, Cluster: true, Peers: f.join, Log: d.log, Verbosity: verbosity, Storage: storage, Node: n, Logger: d.log,
	})
	if err != nil {
		return cloudFailure("run --locator", f.locator, err)
	}
	d.mu.Lock()
	d.cloud, d.node = c, n
	d.mu.Unlock()
	if reachable(c.Addr()) {
		d.log.Warn("other machines may reach the locator; nobody is asked who they are", "locator", c.Addr())
	}
	d.out.Printf("locator %s", c.Addr())
	return nil
}

// toldLocator is what workers of an app are told of locators; "": nothing.
func (d *daemon) toldLocator(o *appOptions) string {
	if o.cloudAt != "" || d.cloud == nil {
		return o.cloudAt
	}
	addr := d.cloud.Addr()
	if strings.HasPrefix(addr, "unix:") {
		if o.foreign.is() { // they know host:port only
			return ""
		}
		return addr
	}
	return nearLocator(addr)
}

// enlist has the cloud, if there is one, serve an app whose workers have started.
func (d *daemon) enlist(a *app) error {
	if d.cloud == nil || a.o.plain.http { // who speaks plain HTTP knows no sessions
		return nil
	}
	d.node.turn.Lock()
	defer d.node.turn.Unlock()
	return d.enlistLocked(a)
}

// enlistLocked is enlist of an app that the cloud can have. On an error it is as it
// was: a paused app stays paused.
func (d *daemon) enlistLocked(a *app) error {
	e := a.supervised()
	c := host.App{Name: a.name, Opener: e, HTTP: httpcompat.DefaultEvent, Info: a.cloudInfo, Control: a.cloudControl}
	if a.o.foreign.is() {
		c.HTTP, c.Serves, c.Free, c.Open = a.o.foreign.event, e.Serves, e.Free, e.Open
	}
	err := d.cloud.AddApp(c)
	if err == nil {
		d.node.forget(a.name)
	}
	if errors.Is(err, host.ErrTaken) {
		err = &failure{code: exitUsage, err: fmt.Errorf("the cloud has a service named %s", a.name), fine: "nothing is left running.", try: "try: another name: --name, or the app's table"}
	}
	return err
}

// cloudInfo is what the app's service says of it.
func (a *app) cloudInfo() (any, error) {
	e := a.supervised()
	if e == nil {
		return nil, host.ErrNotRunning
	}
	st := e.Status()
	online, sessions := 0, 0
	for _, w := range st.Workers {
		if w.State == "online" {
			online++
		}
		sessions += w.Sessions
	}
	state := "running"
	if st.Suspended {
		state = "suspended"
	}
	return map[string]any{
		"name": a.name, "state": state, "release": st.Release, "uptime": int64(time.Since(a.d.started).Seconds()),
		"pool": map[string]any{"capacity": st.Wanted, "active": online}, "sessions": sessions,
	}, nil
}

// cloudControl has the app have so many workers; 0: as many as it began with.
func (a *app) cloudControl(workers int64) error {
	n := int(workers)
	if n == 0 {
		n = a.o.workers
	}
	if n > engine.MaxWorkers {
		return fmt.Errorf("%d workers: want at most %d", n, engine.MaxWorkers)
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.o.startTimeout+farewell)
	defer cancel()
	_, err := a.life.scale(ctx, &asker{gone: true, order: order{Workers: n, Standbys: -1}})
	return whyOf(err)
}

// everyone are the apps of the daemon, and those that clients had it start.
func (d *daemon) everyone() []*app {
	d.mu.Lock()
	all, n := slices.Clone(d.apps), d.node
	d.mu.Unlock()
	if n != nil {
		all = append(all, n.running()...)
	}
	return all
}

// closeCloud ends it. The apps' workers have ended, and their last answers are
// delivered. The loops run.
func (d *daemon) closeCloud() {
	if d.cloud == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cloudWait)
	defer cancel()
	_ = d.cloud.Close(ctx) // once only
}

// cloudStatus is the cloud's part of the daemon's status; nil: it is none.
func (d *daemon) cloudStatus() *cloudStatus {
	d.mu.Lock()
	c, n := d.cloud, d.node
	d.mu.Unlock()
	if c == nil {
		return nil
	}
	st := &cloudStatus{Locator: c.Addr()}
	for _, a := range n.running() {
		st.Started = append(st.Started, a.name)
	}
	return st
}

// serviceName refuses the names of the cloud's own services, if the daemon is one.
func (o *runOptions) serviceName(name string) error {
	if err := config.CheckService(name); o.cloud.locator != "" && err != nil {
		return usage("run", "%s", err)
	}
	return nil
}
