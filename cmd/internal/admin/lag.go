package admin

import (
	"sync"
	"time"

	"github.com/heddle-go/heddle/internal/histogram"
	"github.com/heddle-go/heddle/loop"
)

// Lags are how long a function that is posted to a loop waits until it is run:
// as long as whatever else comes for the loop, bytes of clients included.
type lags struct {
	mu    sync.Mutex
	loops map[*loop.Loop]*lag
}

// A lag is one loop's.
type lag struct {
	name  string // "control", or the loop's number
	loop  *loop.Loop
	waits histogram.Histogram

	mu     sync.Mutex
	posted time.Time // of the probe that is on its way; zero: none
}

func newLags() *lags { return &lags{loops: make(map[*loop.Loop]*lag)} }

// probe posts a function to each loop that has run the last one.
func (ls *lags) probe(src *Source) {
	var loops []*loop.Loop
	if src.Loops != nil {
		loops = src.Loops()
	}
	ls.enter(src.Control, "control")
	for i, l := range loops {
		ls.enter(l, loopName(i))
	}
	for _, g := range ls.all() {
		if !g.probe() {
			ls.mu.Lock()
			delete(ls.loops, g.loop)
			ls.mu.Unlock()
		}
	}
}

func (ls *lags) enter(l *loop.Loop, name string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.loops[l] == nil {
		ls.loops[l] = &lag{name: name, loop: l}
	}
}

func (ls *lags) all() (list []*lag) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, g := range ls.loops {
		list = append(list, g)
	}
	return list
}

// probe posts a function, unless one is on its way. False: the loop has ended.
func (g *lag) probe() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.posted.IsZero() {
		return true
	}
	begun := time.Now()
	if g.loop.Do(func() { // at the latest when the loop ends
		g.waits.Observe(time.Since(begun))
		g.mu.Lock()
		g.posted = time.Time{}
		g.mu.Unlock()
	}) != nil {
		return false
	}
	g.posted = begun
	return true
}

// stalled is how long the probe that is on its way has waited.
func (g *lag) stalled() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.posted.IsZero() {
		return 0
	}
	return time.Since(g.posted)
}
