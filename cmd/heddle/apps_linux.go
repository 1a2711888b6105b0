package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// defaultName is what a daemon of several apps is called when nobody says
// otherwise.
const defaultName = "heddle"

// longestDrain is how long the daemon's end may take: as long as the most patient
// app.
func (o *runOptions) longestDrain() (d time.Duration) {
	for _, a := range o.wanted() {
		d = max(d, a.drainTimeout)
	}
	return d
}

// findTargets finds every app's target, and the daemon's name.
func (d *daemon) findTargets(sig signals) (targets []target, err error) {
	for _, o := range d.o.wanted() {
		t, err := findTarget(sig.ctx, "run", o.target)
		if err != nil {
			return nil, d.o.misplaced(o, err)
		}
		targets = append(targets, t)
	}
	name := d.o.title
	switch {
	case name != "":
	case len(d.o.apps) > 0:
		name = defaultName
	default:
		name = targets[0].name()
		if err := checkName(name); err != nil {
			return nil, usage("run", "%s; give another with --name", err)
		}
	}
	if len(d.o.apps) == 0 && !d.o.plain.http {
		if err := d.o.serviceName(name); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	d.name = name
	d.mu.Unlock()
	return targets, nil
}

// makeApps makes the apps, without workers. One alone has the daemon's name and
// place; of several each has its own directories below it.
func (d *daemon) makeApps() (apps []*app, err error) {
	if len(d.o.apps) == 0 {
		return []*app{newApp(d, d.title(), &d.o.appOptions, d.place.home, d.place.release, d.place.users())}, nil
	}
	for _, o := range d.o.apps {
		a, err := d.makeApp(o, o.name)
		if err != nil {
			for _, a := range apps {
				a.close()
			}
			return nil, err
		}
		apps = append(apps, a)
	}
	return apps, nil
}

// makeApp makes one whose directories are called dir. Nobody else's are.
func (d *daemon) makeApp(o *appOptions, dir string) (*app, error) {
	if err := o.logs.makeDirs(); err != nil {
		return nil, o.named(err)
	}
	home, release := filepath.Join(d.place.home, dir), filepath.Join(d.place.release, dir)
	for _, dir := range []string{home, release} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, o.named(err)
		}
	}
	return newApp(d, o.name, o, home, release, filepath.Join(d.place.users(), dir)), nil
}

// misplaced is err, of a's target, with the place where the file says it.
func (o *runOptions) misplaced(a *appOptions, err error) error {
	var f *failure
	at := o.where(a, "target")
	if at == "" || !errors.As(err, &f) {
		return a.named(err)
	}
	return &failure{code: f.code, err: fmt.Errorf("%s: %w", at, f.err), fine: f.fine, try: "try: heddle config check " + quoted(o.file) + ", when it is corrected"}
}
