package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// mostWorkers is how far mix scales.
const mostWorkers = 4

// mix does what a user may do, in an order that chance makes.
func mix(ctx context.Context, r *rig) error {
	if err := r.start(ctx, r.plan.workers, "", "--standbys", strconv.Itoa(r.plan.standbys)); err != nil {
		return err
	}
	if err := r.begin(ctx, traffic.Options{}); err != nil {
		return err
	}
	m := &mixer{rig: r, workers: r.plan.workers, done: make(map[string]int)}
	acts := []struct {
		name   string
		weight int
		do     func(context.Context) error
	}{
		{"deploy", 3, m.deployNext},
		{"rollback", 2, m.rollback},
		{"scale", 3, m.scale},
		{"restart all", 1, m.restartAll},
		{"restart one", 2, m.restartOne},
		{"suspend and resume", 2, m.suspend},
		{"report broken", 3, m.breakOne},
	}
	var drawn []int // each act by its number, as often as its weight
	for i, act := range acts {
		if r.plan.http && act.name == "report broken" {
			continue // it has no word for it
		}
		for range act.weight {
			drawn = append(drawn, i)
		}
	}
	for end := time.Now().Add(r.plan.duration); time.Now().Before(end); {
		act := acts[drawn[r.chance.IntN(len(drawn))]]
		r.progress.say("%s, for %v more", act.name, time.Until(end).Round(time.Second))
		if err := act.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.name, err)
		}
		m.done[act.name]++
		if len(r.report.Broken) > 0 {
			break // what follows would be of another story
		}
		if err := pause(ctx, time.Duration(r.chance.IntN(500))*time.Millisecond); err != nil {
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
	if _, err := r.settled(ctx, m.workers, r.plan.standbys); err != nil {
		r.report.broke("at the end: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.done)) {
		r.report.figure(name, "%d times", m.done[name])
	}
	return nil
}

// A mixer is the state of mix.
type mixer struct {
	*rig
	workers int
	marker  int // deploys so far
	done    map[string]int
}

// verb runs a verb that must succeed, and retires the workers that were there
// before and serve no more when it has returned.
func (m *mixer) verb(ctx context.Context, verb string, args ...string) error {
	before, err := m.d.Status(ctx)
	if err != nil {
		return err
	}
	m.t.Expect("")
	res, err := m.d.Run(ctx, verb, args...)
	if err != nil {
		return err
	}
	if res.Code != 0 {
		m.report.broke("heddle %s %s: exit code %d: %s", verb, strings.Join(args, " "), res.Code, strings.TrimSpace(res.Stderr))
		return nil
	}
	after, err := m.d.Status(ctx)
	if err != nil {
		return err
	}
	m.retire(before, after)
	return nil
}

// retire has the judge know of the workers that serve no more.
func (m *mixer) retire(before, after daemon.Status) {
	serving := ids(after.Serving())
	var retired []string
	for _, w := range before.Serving() {
		if !slices.Contains(serving, w.ID) {
			retired = append(retired, w.ID)
		}
	}
	m.t.Expect("", retired...)
}

func (m *mixer) deployNext(ctx context.Context) error {
	m.marker++
	marker := []string{"A", "B"}[m.marker%2]
	res, err := m.deploy(ctx, marker)
	if err == nil && res.Code != 0 {
		m.report.broke("deploy: exit code %d: %s", res.Code, strings.TrimSpace(res.Stderr))
	}
	return err
}

// rollback needs a release before this one.
func (m *mixer) rollback(ctx context.Context) error {
	if m.marker == 0 {
		return m.deployNext(ctx)
	}
	return m.verb(ctx, "rollback")
}

func (m *mixer) scale(ctx context.Context) error {
	m.workers = 1 + m.chance.IntN(mostWorkers)
	return m.verb(ctx, "scale", strconv.Itoa(m.workers))
}

func (m *mixer) restartAll(ctx context.Context) error { return m.verb(ctx, "restart") }

func (m *mixer) restartOne(ctx context.Context) error {
	return m.verb(ctx, "restart", strconv.Itoa(m.chance.IntN(m.workers)))
}

func (m *mixer) suspend(ctx context.Context) error {
	if err := m.verb(ctx, "suspend"); err != nil {
		return err
	}
	if err := pause(ctx, time.Duration(100+m.chance.IntN(700))*time.Millisecond); err != nil {
		return err
	}
	return m.verb(ctx, "resume")
}

// breakOne has a worker, whichever is asked, call itself broken, and waits until
// another serves in its place.
func (m *mixer) breakOne(ctx context.Context) error {
	before, err := m.d.Status(ctx)
	if err != nil {
		return err
	}
	m.t.Expect("")
	id, err := reportBroken(ctx, m.d.Addr)
	if err != nil {
		m.report.broke("no worker called itself broken: %v", err)
		return nil
	}
	after, err := m.d.Await(ctx, 30*time.Second, "another worker in the place of "+worker(id), func(st daemon.Status) bool {
		return !slices.Contains(ids(st.Serving()), id) && len(st.Serving()) == m.workers && len(st.Standing()) == m.plan.standbys
	})
	if err != nil {
		m.report.broke("%v", err)
		return nil
	}
	m.retire(before, after)
	return nil
}

// reportBroken asks the app, and returns the id of the worker that was asked.
func reportBroken(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/broken", nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the app answers %s", resp.Status)
	}
	return resp.Header.Get("X-Worker"), nil
}
