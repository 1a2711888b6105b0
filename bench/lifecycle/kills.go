package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// kills ends a worker by SIGKILL each second.
func kills(ctx context.Context, r *rig) error {
	if err := r.start(ctx, r.plan.workers, ""); err != nil {
		return err
	}
	// A first traffic has the daemon grow to its size.
	if err := r.begin(ctx, traffic.Options{}); err != nil {
		return err
	}
	t, err := r.cease()
	if err != nil {
		return err
	}
	r.report.Broken = append(r.report.Broken, untouched(t.Total())...)
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	before, err := r.resources(ctx)
	if err != nil {
		return err
	}

	if err := r.begin(ctx, traffic.Options{}); err != nil {
		return err
	}
	var back []time.Duration // from a kill until a new worker was online
	killed := 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(r.plan.duration); time.Now().Before(end); {
		st, err := r.d.Await(ctx, 30*time.Second, "every worker online", func(st daemon.Status) bool { return len(st.Serving()) == r.plan.workers })
		if err != nil {
			return err
		}
		victim := st.Serving()[r.chance.IntN(r.plan.workers)]
		if err := kill(victim); err != nil {
			return err
		}
		killed++
		at := time.Now()
		r.progress.say("kill %d, for %v more", killed, time.Until(end).Round(time.Second))
		if _, err := r.d.Await(ctx, 30*time.Second, "a new worker", func(st daemon.Status) bool {
			for _, w := range st.Serving() {
				if w.Index == victim.Index && w.ID != victim.ID {
					return true
				}
			}
			return false
		}); err != nil {
			return err
		}
		back = append(back, time.Since(at))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	t, err = r.cease()
	if err != nil {
		return err
	}
	log := r.deaths(ctx, killed)
	r.report.Broken = append(r.report.Broken, accounted(t.Failures(), log, killed, r.plan.http)...)
	if c := t.Total(); c.Twice > 0 {
		twice, err := traffic.Twice(r.witness)
		if err != nil {
			return err
		}
		r.report.broke("%d requests were served twice: %s", c.Twice, some(twice))
	}
	if _, err := r.settled(ctx, r.plan.workers, 0); err != nil {
		r.report.broke("after the kills: %v", err)
	}
	after, err := r.rested(ctx, before)
	if err != nil {
		return err
	}
	r.report.Broken = append(r.report.Broken, flat(before, after)...)
	r.report.figure("workers killed", "%d", killed)
	r.report.figure("requests named in the log", "%d", len(log.Requests))
	r.report.figure("a new worker online, p50, p90, most", "%v, %v, %v", milli(clock.Percentile(back, 0.5)), milli(clock.Percentile(back, 0.9)), milli(clock.Percentile(back, 1)))
	r.report.figure("the daemon's resident memory", "%d MiB, then %d MiB", before.Memory>>20, after.Memory>>20)
	r.report.figure("the daemon's descriptors", "%d, then %d", before.Descriptors, after.Descriptors)
	if r.plan.dumps {
		r.report.figure("the daemon's goroutines", "%d, then %d", before.Goroutines, after.Goroutines)
	}
	return nil
}

// deaths reads the log once it tells of n of them, or will not any more.
func (r *rig) deaths(ctx context.Context, n int) daemon.Lost {
	for end := time.Now().Add(5 * time.Second); ; {
		log := daemon.ReadLost(r.d.Log.Lines())
		if log.Deaths >= n || time.Now().After(end) || pause(ctx, 50*time.Millisecond) != nil {
			return log
		}
	}
}

// rested waits, within bounds, until the daemon has what it had before, and
// returns what it has.
func (r *rig) rested(ctx context.Context, before resources) (resources, error) {
	for end := time.Now().Add(10 * time.Second); ; {
		now, err := r.resources(ctx)
		if err != nil || len(flat(before, now)) == 0 || time.Now().After(end) {
			return now, err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return now, err
		}
	}
}

func (r *rig) resources(ctx context.Context) (resources, error) {
	v, err := r.d.Vitals()
	if err != nil || !r.plan.dumps {
		return resources{Vitals: v}, err
	}
	n, err := r.goroutines(ctx)
	return resources{Vitals: v, Goroutines: n}, err
}

var goroutineLine = regexp.MustCompile(`^\W*goroutine \d+ .*\[.*\]:$`)

// goroutines has the daemon dump them, and counts.
func (r *rig) goroutines(ctx context.Context) (int, error) {
	seen := len(r.d.Log.Lines())
	proc, err := os.FindProcess(r.d.Pid())
	if err != nil {
		return 0, err
	}
	if err := proc.Signal(syscall.SIGQUIT); err != nil {
		return 0, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	n := countGoroutines(r.d.Log.Lines()[seen:])
	if n == 0 {
		return 0, fmt.Errorf("SIGQUIT made the daemon dump no goroutine; its last words:\n%s", strings.Join(r.d.Log.Tail(5), "\n"))
	}
	return n, nil
}

func countGoroutines(lines []string) (n int) {
	for _, line := range lines {
		if goroutineLine.MatchString(line) {
			n++
		}
	}
	return n
}
