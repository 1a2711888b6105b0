package watch

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options configure a Watcher; the zero value works.
type Options struct {
	Quiet  time.Duration // without a further change, until a change is told; default 100 ms
	Most   time.Duration // after the first one, even if there is no quiet; default 2 s
	Poll   time.Duration // how often it is looked without being told to; default 2 s, 500 ms where nobody tells
	Logger *slog.Logger  // nil: slog.Default()

	unnoticed bool // tests: no notices
}

func (o Options) withDefaults() Options {
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.Quiet, 100*time.Millisecond)
	set(&o.Most, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// A Watcher looks after Sources.
type Watcher struct {
	// Immutable after New.
	o       Options
	notices *fsnotify.Watcher // nil: there are none
	find    func(ctx context.Context) (Sources, error)

	// The goroutine of Run only.
	sources Sources
	seen    map[string]stamp
	deaf    bool // some directories have no notices
	told    bool // and that was said
}

// New returns a Watcher of what find finds, which is asked again after each
// change; Close has to be called. Changes count from now on, though Run tells them. The error is find's first one; later, what was found last stands.
func New(ctx context.Context, find func(ctx context.Context) (Sources, error), o Options) (*Watcher, error) {
	w := &Watcher{o: o.withDefaults(), find: find}
	var err error
	if w.sources, err = find(ctx); err != nil {
		return nil, err
	}
	if !o.unnoticed {
		if w.notices, err = fsnotify.NewWatcher(); err != nil {
			w.deafTo("", err)
		}
	}
	w.listen()
	w.seen = w.sources.look()
	return w, nil
}

// Count is how many files and directories are there to be looked after. Not
// while it runs.
func (w *Watcher) Count() int { return len(w.seen) }

// Run tells changed the paths of what has changed, sorted, until ctx ends. It
// looks no further before changed has returned.
func (w *Watcher) Run(ctx context.Context, changed func(paths []string)) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if w.notices != nil {
		events, errs = w.notices.Events, w.notices.Errors
	}
	for {
		poll := time.NewTimer(w.pollTime())
		select {
		case <-events:
			w.settle(ctx, events)
		case err := <-errs: // too many to be told one by one, most likely
			w.o.Logger.Debug("watch: notices were lost", "err", err)
		case <-poll.C:
		case <-ctx.Done():
		}
		poll.Stop()
		if ctx.Err() != nil {
			return
		}
		if paths := w.compare(ctx); len(paths) > 0 {
			changed(paths)
		}
	}
}

// Close gives the notices back. Not while it runs.
func (w *Watcher) Close() {
	if w.notices != nil {
		_ = w.notices.Close() // as often as it likes
	}
}

func (w *Watcher) pollTime() time.Duration {
	switch {
	case w.o.Poll > 0:
		return w.o.Poll
	case w.notices == nil || w.deaf:
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

// settle waits until nothing was told for a while: a change of branch touches
// many files, and an editor saves one in several steps.
func (w *Watcher) settle(ctx context.Context, events <-chan fsnotify.Event) {
	most := time.After(w.o.Most)
	for {
		select {
		case <-events:
		case <-time.After(w.o.Quiet):
			return
		case <-most:
			return
		case <-ctx.Done():
			return
		}
	}
}

// compare looks again. What changed may have brought other files in.
func (w *Watcher) compare(ctx context.Context) []string {
	paths := differences(w.seen, w.sources.look())
	if len(paths) == 0 {
		return nil
	}
	found, err := w.find(ctx)
	if err == nil {
		w.sources = found
		w.listen()
	} else if ctx.Err() == nil {
		w.o.Logger.Debug("watch: what is built cannot be listed; what was before is watched on", "err", err)
	}
	w.seen = w.sources.look() // before anything is built of it
	slices.Sort(paths)
	return paths
}

// listen has the kernel tell of each directory; one that is not there is looked
// at all the same.
func (w *Watcher) listen() {
	if w.notices == nil {
		return
	}
	dirs := w.sources.dirs()
	for _, dir := range w.notices.WatchList() {
		if !dirs[dir] {
			_ = w.notices.Remove(dir) // it is gone, then
		}
	}
	w.deaf = false
	for dir := range dirs {
		if err := w.notices.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.deafTo(dir, err)
		}
	}
}

// deafTo says once that changes are noticed later.
func (w *Watcher) deafTo(dir string, err error) {
	if !w.told {
		w.o.Logger.Warn("watch: the kernel tells of no changes; they are looked for twice a second", "dir", dir, "err", err)
	}
	w.deaf, w.told = true, true
}
