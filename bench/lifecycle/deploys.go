package main

import (
	"context"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// deploys deploys A and B by turns.
func deploys(ctx context.Context, r *rig) error {
	if err := r.start(ctx, r.plan.workers, ""); err != nil {
		return err
	}
	if err := r.begin(ctx, traffic.Options{}); err != nil {
		return err
	}
	var took []time.Duration
	var longest int // workers at once
	for i := range r.plan.count {
		r.progress.say("deploy %d of %d", i+1, r.plan.count)
		before, err := r.d.Status(ctx)
		if err != nil {
			return err
		}
		marker := []string{"B", "A"}[i%2]
		res, err := r.deploy(ctx, marker)
		if err != nil {
			return err
		}
		if res.Code != 0 {
			r.report.broke("deploy %d ended with exit code %d: %s", i+1, res.Code, strings.TrimSpace(res.Stderr))
			break
		}
		took = append(took, res.Took)
		after, err := r.d.Status(ctx)
		if err != nil {
			return err
		}
		if stayed := both(ids(before.Workers), ids(after.Serving())); len(stayed) > 0 || len(after.Serving()) != r.plan.workers {
			r.report.broke("after deploy %d there are %d serving workers; of those before, %q", i+1, len(after.Serving()), stayed)
		}
		longest = max(longest, len(after.Workers))
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	t, err := r.cease()
	if err != nil {
		return err
	}
	r.report.Broken = append(r.report.Broken, untouched(t.Total())...)
	if _, err := r.settled(ctx, r.plan.workers, 0); err != nil {
		r.report.broke("old workers stay: %v", err)
	}
	r.report.figure("deploys", "%d", len(took))
	r.report.figure("a deploy takes, p50, p90, most", "%v, %v, %v", milli(clock.Percentile(took, 0.5)), milli(clock.Percentile(took, 0.9)), milli(clock.Percentile(took, 1)))
	r.report.figure("workers at once, most", "%d", longest)
	return nil
}

func milli(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
