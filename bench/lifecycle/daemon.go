package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// killDaemon ends the daemon by SIGKILL and starts another.
func killDaemon(ctx context.Context, r *rig) error {
	if err := r.start(ctx, r.plan.workers, ""); err != nil {
		return err
	}
	var gone, ready, again []time.Duration
	for i := range r.plan.count {
		var a answers
		if err := r.begin(ctx, traffic.Options{Answered: a.answered}); err != nil {
			return err
		}
		r.progress.say("kill %d of %d", i+1, r.plan.count)
		st, err := r.d.Status(ctx)
		if err != nil {
			return err
		}
		if c := r.t.Total(); c.Lost > 0 || c.Refused > 0 {
			r.report.broke("before kill %d: %+v", i+1, c)
		}
		old := r.d
		at := time.Now()
		old.Kill()
		left := make(chan time.Duration, 1)
		go func() { left <- outlived(st.Workers, at) }() // ends by itself
		if err := r.start(ctx, r.plan.workers, old.Addr); err != nil {
			return err
		}
		r.note(old)
		ready = append(ready, r.d.Ready)
		// The traffic goes on against the new daemon.
		waiting, cancel := context.WithTimeout(ctx, grace)
		err = r.t.Await(waiting, 1)
		cancel()
		if err != nil {
			return err
		}
		again = append(again, a.after(at).Sub(at))
		d := <-left
		gone = append(gone, d)
		if d >= mostOutlived {
			r.report.broke("workers of a killed daemon live on after %v", d)
		}
		t, err := r.cease()
		if err != nil {
			return err
		}
		if c := t.Total(); c.Twice > 0 || c.Stale > 0 {
			r.report.broke("around kill %d: %d served twice, %d stale", i+1, c.Twice, c.Stale)
		}
		if err := r.strangers(ctx); err != nil {
			return err
		}
	}
	if err := r.begin(ctx, traffic.Options{}); err != nil {
		return err
	}
	t, err := r.cease()
	if err != nil {
		return err
	}
	r.report.Broken = append(r.report.Broken, untouched(t.Total())...)
	most := func(d []time.Duration) time.Duration { return milli(clock.Percentile(d, 1)) }
	r.report.figure("daemons killed", "%d", r.plan.count)
	r.report.figure("old workers gone, at most after", "%v", most(gone))
	r.report.figure("a new daemon ready, at most after", "%v from its start", most(ready))
	r.report.figure("requests answered again, at most", "%v after the kill", most(again))
	return nil
}

// mostOutlived is how long outlived waits.
const mostOutlived = 60 * time.Second

// outlived waits until the workers have ended, and returns when that was.
func outlived(workers []daemon.Worker, since time.Time) time.Duration {
	for {
		living := false
		for _, w := range workers {
			if _, err := os.Stat("/proc/" + strconv.Itoa(w.Pid) + "/exe"); w.Pid > 1 && err == nil {
				living = true
			}
		}
		d := time.Since(since)
		if !living || d >= mostOutlived {
			return d
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// strangers breaks the promise for processes that are neither the daemon nor
// one of its workers.
func (r *rig) strangers(ctx context.Context) error {
	st, err := r.settled(ctx, r.plan.workers, 0)
	if err != nil {
		return err
	}
	known := map[int]bool{r.d.Pid(): true}
	for _, w := range st.Workers {
		known[w.Pid] = true
		if r.plan.http {
			known[parentOf(w.Pid)] = true // its guardian
		}
	}
	pids, err := daemon.Processes(r.dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if !known[pid] {
			r.report.broke("process %d is left of a daemon that was killed", pid)
		}
	}
	return nil
}

// parentOf is a process's parent, 0 if it has gone.
func parentOf(pid int) (parent int) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// pid (name) state parent ..., proc_pid_stat(5); the name may hold anything
	if f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])); len(f) > 1 {
		parent, _ = strconv.Atoi(f[1])
	}
	return parent
}
