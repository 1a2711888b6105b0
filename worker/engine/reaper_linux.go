package engine

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// children are the processes that the engines of this process have started and
// not yet reaped. The one piece of package-level state here: waiting for
// orphans is a matter of the whole process, and a reaper that knew only its
// own engine's children would steal another's.
var children = childTable{pids: make(map[int]struct{})}

type childTable struct {
	mu   sync.Mutex
	pids map[int]struct{}
}

// start holds reapers off until the new process is known as ours.
func (t *childTable) start(fn func() (*os.Process, error)) (*os.Process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := fn()
	if err == nil {
		t.pids[p.Pid] = struct{}{}
	}
	return p, err
}

func (t *childTable) forget(pid int) {
	t.mu.Lock()
	delete(t.pids, pid)
	t.mu.Unlock()
}

// startReaper waits for orphans that were handed to this process until stop is
// called. It leaves alone the children of engines and whatever is in our own
// process group, which some other part of this program has started and waits
// for.
func startReaper(e *Engine) (stop func()) {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, unix.SIGCHLD)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when stop closes quit
		defer close(done)
		defer signal.Stop(sig)
		// Signals merge, and an orphan can come to us already dead: look
		// now and then as well.
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			e.stats.reaped.Add(uint64(children.reapOrphans()))
			select {
			case <-sig:
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(quit); <-done })
}

// reapOrphans reaps every dead orphan and returns how many there were.
func (t *childTable) reapOrphans() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !anyDead() {
		return 0
	}
	// The kernel would name one dead child and always the same one, which may
	// be an engine's; so look at all.
	return t.scanLocked()
}

// orphanLocked says whether nobody else here waits for the dead child pid.
func (t *childTable) orphanLocked(pid int) bool {
	if _, ours := t.pids[pid]; ours {
		return false
	}
	group, err := unix.Getpgid(pid)
	return err == nil && group != unix.Getpgrp()
}

// scanLocked reaps the dead orphans that /proc shows.
func (t *childTable) scanLocked() (n int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	self := strconv.Itoa(os.Getpid())
	for _, file := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		f := statOf(pid) // state, parent, …
		if len(f) < 2 || f[0] != "Z" || f[1] != self {
			continue
		}
		if t.orphanLocked(pid) && reapOne(pid) {
			n++
		}
	}
	return n
}

func reapOne(pid int) bool {
	got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil && got == pid
}

// anyDead says whether some child has exited and was not waited for, and does
// not wait for it either.
func anyDead() bool {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && info.Signo != 0
		}
	}
}
