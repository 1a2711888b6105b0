package admin

import (
	"slices"
	"sync"
	"time"
)

// A labeled tag says whose requests it stands for; engine.Origin is one.
type labeled interface{ Labels() (app, release string) }

// A name is an app's release; without one, the app itself.
type name struct{ app, release string }

func nameOf(tag any) (n name, ok bool) {
	l, ok := tag.(labeled)
	if ok {
		n.app, n.release = l.Labels()
	}
	return n, ok
}

// Releases without workers are shown for a while, so that their last requests
// are seen by somebody who comes every minute; then they are forgotten, or the
// page would grow with every deploy.
type releases struct {
	keepFor  time.Duration
	keepMost int

	mu   sync.Mutex
	gone map[name]time.Time // since when they have had no worker
}

func newReleases(keepFor time.Duration, keepMost int) *releases {
	return &releases{keepFor: keepFor, keepMost: keepMost, gone: make(map[name]time.Time)}
}

// prune has f forget the releases that have been without workers for too long,
// and of each app all but the latest few.
func (rs *releases) prune(f Front, apps []App, now time.Time) {
	tallies := f.Tallies()
	if len(tallies) == 0 {
		return
	}
	living := make(map[name]bool)
	for _, a := range apps {
		living[name{a.Name, ""}] = true
		if a.Engine == nil {
			continue
		}
		st := a.Engine.Status()
		living[name{a.Name, st.Release}] = true
		for _, w := range st.Workers {
			living[name{a.Name, w.Release}] = true
		}
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	before := rs.gone
	rs.gone = make(map[name]time.Time)
	byApp := make(map[string][]name)
	for i := range tallies {
		n, ok := nameOf(tallies[i].Tag)
		if !ok || living[n] {
			continue
		}
		since, ok := before[n]
		if !ok {
			since = now
		}
		if _, twice := rs.gone[n]; !twice { // by the tags of two
			byApp[n.app] = append(byApp[n.app], n)
		}
		rs.gone[n] = since
	}
	drop := make(map[name]bool)
	for _, list := range byApp {
		slices.SortStableFunc(list, func(a, b name) int { return rs.gone[b].Compare(rs.gone[a]) })
		for i, n := range list {
			if i >= rs.keepMost || now.Sub(rs.gone[n]) >= rs.keepFor {
				drop[n] = true
				delete(rs.gone, n)
			}
		}
	}
	if len(drop) == 0 {
		return
	}
	f.ForgetTallies(func(tag any) bool {
		n, ok := nameOf(tag)
		return ok && drop[n]
	})
}
