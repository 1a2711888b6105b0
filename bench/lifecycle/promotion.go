package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/heddle-go/heddle/bench/internal/clock"
	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// servedEnough is a little more than engine.ServedEnough.
const servedEnough = 1100 * time.Millisecond

// promotion kills the one worker, with standbys behind it and without.
func promotion(ctx context.Context, r *rig) error {
	if r.plan.standbys > 0 {
		if err := promote(ctx, r, r.plan.standbys); err != nil {
			return err
		}
	}
	return promote(ctx, r, 0)
}

func promote(ctx context.Context, r *rig, standbys int) error {
	var flags []string
	if standbys > 0 {
		flags = []string{"--standbys", strconv.Itoa(standbys)}
	}
	if err := r.start(ctx, 1, "", flags...); err != nil {
		return err
	}
	var a answers
	o := traffic.Options{Clients: [traffic.Kinds]int{traffic.KeptGet: 4}, Pause: -1, Answered: a.answered}
	if err := r.begin(ctx, o); err != nil {
		return err
	}
	var gaps []time.Duration
	for i := range r.plan.count {
		r.progress.say("kill %d of %d, %d standbys", i+1, r.plan.count, standbys)
		st, err := r.settled(ctx, 1, standbys)
		if err != nil {
			return err
		}
		// Who dies before it has served that long is replaced later and later,
		// which is another story.
		if err := pause(ctx, servedEnough); err != nil {
			return err
		}
		victim := st.Serving()[0]
		if err := kill(victim); err != nil {
			return err
		}
		gap, err := a.gap(ctx, victim, 30*time.Second)
		if err != nil {
			return err
		}
		gaps = append(gaps, gap)
	}
	if _, err := r.settled(ctx, 1, standbys); err != nil {
		return err
	}
	t, err := r.cease()
	if err != nil {
		return err
	}
	r.report.Broken = append(r.report.Broken, accounted(t.Failures(), r.deaths(ctx, r.plan.count), r.plan.count, r.plan.http)...)
	if c := t.Total(); c.Twice > 0 {
		r.report.broke("%d requests were served twice", c.Twice)
	}
	p90 := clock.Percentile(gaps, 0.9)
	r.report.figure(fmt.Sprintf("gap with %d standbys", standbys), "p50 %v, p90 %v, most %v; %d kills, %d requests lost",
		milli(clock.Percentile(gaps, 0.5)), milli(p90), milli(clock.Percentile(gaps, 1)), len(gaps), t.Total().Lost)
	if standbys > 0 && p90 >= r.plan.goal {
		r.report.broke("the p90 of the gap is %v, not below %v", milli(p90), r.plan.goal)
	}
	return r.leave()
}

// answers remember when each worker answered first and last.
type answers struct {
	mu   sync.Mutex
	span map[string]*[2]time.Time // by id
}

func (a *answers) answered(worker string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.span == nil {
		a.span = make(map[string]*[2]time.Time)
	}
	if s := a.span[worker]; s != nil {
		s[1] = at
	} else {
		a.span[worker] = &[2]time.Time{at, at}
	}
}

// gap waits for the first answer of a worker that began to answer after the
// victim, and returns how long nobody answered.
func (a *answers) gap(ctx context.Context, victim daemon.Worker, patience time.Duration) (time.Duration, error) {
	end := time.Now().Add(patience)
	for {
		if d, ok := a.since(victim.ID); ok {
			return d, nil
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("nobody has answered for %v, since worker %s was killed", patience, victim.ID)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (a *answers) since(victim string) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	dead := a.span[victim]
	if dead == nil {
		return 0, false
	}
	for id, s := range a.span {
		if id != victim && s[0].After(dead[0]) {
			return max(0, s[0].Sub(dead[1])), true
		}
	}
	return 0, false
}

// after is when a worker that answered first after t did so; t if there is none.
func (a *answers) after(t time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := t
	for _, s := range a.span {
		if s[0].After(t) && (first.Equal(t) || s[0].Before(first)) {
			first = s[0]
		}
	}
	return first
}
