package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/systemd"
	"github.com/heddle-go/heddle/loop"
)

const (
	statusEvery = time.Second      // the service manager's line is looked at
	leaveTime   = 15 * time.Second // after the drain: workers' own ends, and ours
)

// A herald tells the service manager, where there is one, what the daemon does.
// What cannot be told is logged and costs nothing else.
type herald struct {
	manager *systemd.Manager
	log     *slog.Logger
	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	last   string // status told last
	leaves bool   // stops was called
	owes   bool   // that the daemon is ready could not be told yet
}

// newHerald takes what the environment has of a manager.
func newHerald(log *slog.Logger) *herald {
	m, err := systemd.Take()
	h := &herald{manager: m, log: log}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.check(err)
	return h
}

func (h *herald) check(err error) {
	if err != nil {
		h.log.Warn("service manager", "err", err)
	}
}

// says tells in one line what goes on, if it is not what was said last.
func (h *herald) says(status string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.owes && !h.leaves {
		h.readyLocked(status)
		return
	}
	if status != h.last && !h.leaves {
		h.last = status
		h.check(h.manager.Status(status))
	}
}

// serves tells that the daemon serves and keeps telling what summary says; the
// watchdog is fed as long as each of loops turns.
func (h *herald) serves(summary func() string, loops []*loop.Loop) {
	if !h.manager.Listens() {
		return
	}
	h.ready(summary())
	h.wg.Go(func() { // ends with close
		tick := time.NewTicker(statusEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.says(summary())
			case <-h.ctx.Done():
				return
			}
		}
	})
	turners := make([]systemd.Turner, len(loops))
	for i, l := range loops {
		turners[i] = l
	}
	h.wg.Go(func() { h.manager.FeedWatchdog(h.ctx, turners, h.check) }) // ends with close
}

func (h *herald) ready(status string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readyLocked(status)
}

// readyLocked tells that the daemon serves. If that cannot be told says tries again:
// whoever waits for it would give the daemon up.
func (h *herald) readyLocked(status string) {
	err := h.manager.Ready(status)
	if !h.owes || err == nil {
		h.check(err)
	}
	h.last, h.owes = status, err != nil
}

// reloads tells that the configuration is being read anew, until done is called
// with what the daemon does then.
func (h *herald) reloads() (done func(status string)) {
	h.check(h.manager.Reloading())
	return h.ready
}

// stops tells that the daemon drains, for at most so long.
func (h *herald) stops(timeout time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaves = true
	h.check(h.manager.Stopping(fmt.Sprintf("draining, for at most %v", timeout), timeout+leaveTime))
}

// close ends the telling and gives back the sockets.
func (h *herald) close() {
	h.cancel()
	h.wg.Wait()
	for _, s := range h.manager.Sockets {
		_ = s.File.Close() // whoever passed it keeps its own
	}
}

// summary is the daemon in one line: its app, or how its apps stand.
func (d *daemon) summary() string {
	apps := d.running()
	parts := make([]string, len(apps))
	for i, a := range apps {
		parts[i] = a.summary()
		if a.o.name != "" {
			parts[i] = a.o.name + " " + parts[i]
		}
	}
	return strings.Join(parts, "; ")
}

// summary is the app in a few words.
func (a *app) summary() string {
	st := a.engine.Status()
	ready := 0
	for _, w := range st.Workers {
		if w.Release == st.Release && !w.Standby && (w.State == "online" || w.State == "suspended") {
			ready++
		}
	}
	s := fmt.Sprintf("%s serves, %d/%d workers", st.Release, ready, st.Wanted)
	if st.Suspended {
		s = fmt.Sprintf("%s stands suspended, %d/%d workers; requests wait", st.Release, ready, st.Wanted)
	}
	if op := a.life.turns.status(); op != nil {
		s += "; " + op.Doing + " is under way"
	}
	return s
}
