package admin

import (
	"fmt"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/internal/histogram"
	"github.com/heddle-go/heddle/worker/engine"
)

// A collector makes the metrics of what a Source says at the time.
type collector struct {
	src  *Source
	lags *lags
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range metrics {
		ch <- m.desc
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	e := emitter{ch}
	e.number(buildInfo, 1, c.src.Version, c.src.Revision, runtime.Version())
	ready := 0.0
	if len(c.src.unready()) == 0 {
		ready = 1
	}
	e.number(daemonServing, ready)
	if c.src.DroppedLines != nil {
		for sink, n := range c.src.DroppedLines() {
			e.number(droppedLines, float64(n), sink)
		}
	}
	for _, a := range c.src.Apps() {
		e.app(a)
	}
	if f := c.src.Front(); f != nil {
		e.front(f.Stats())
		e.tallies(f.Tallies(), c.src.Unrouted)
	}
	if c.src.Cloud != nil {
		if cl := c.src.Cloud(); cl != nil {
			e.cloud(cl.Stats())
		}
	}
	if p := c.src.Proxy; p != nil {
		e.proxy(p)
	}
	for _, g := range c.lags.all() {
		e.lag(g)
	}
}

// An emitter gives metrics away.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) number(m *metric, v float64, labels ...string) {
	kind := prometheus.CounterValue
	if m.kind == gaugeKind {
		kind = prometheus.GaugeValue
	}
	e.ch <- prometheus.MustNewConstMetric(m.desc, kind, v, labels...)
}

func (e emitter) durations(m *metric, s *histogram.Snapshot, labels ...string) {
	e.ch <- prometheus.MustNewConstHistogram(m.desc, s.Count(), s.Sum.Seconds(), s.Cumulative(), labels...)
}

func (e emitter) front(st front.Stats) {
	e.number(inFlight, float64(st.Active))
	e.number(frontClients, float64(st.Clients))
	e.number(frontTurned, float64(st.Turned))
	e.number(frontRefused, float64(st.Refused))
	e.number(frontGone, float64(st.Gone))
	for reason, n := range st.HandedOver {
		e.number(frontHanded, float64(n), reason)
	}
}

// tallies are the requests. Two tags may be of one release's name.
func (e emitter) tallies(list []front.Tally, unrouted string) {
	type answers struct {
		name
		method string
		code   int
	}
	type rest struct {
		broken    uint64
		durations histogram.Snapshot
	}
	counts, rests := make(map[answers]uint64), make(map[name]*rest)
	for i := range list {
		t := &list[i]
		n, ok := nameOf(t.Tag)
		if !ok {
			n = name{app: unrouted}
		}
		for _, a := range t.Answers {
			counts[answers{n, a.Method, a.Code}] += a.N
		}
		r := rests[n]
		if r == nil {
			r = new(rest)
			rests[n] = r
		}
		r.broken += t.Broken
		r.durations.Add(&t.Durations)
	}
	for a, n := range counts {
		e.number(requestsTotal, float64(n), a.app, a.release, a.method, fmt.Sprintf("%03d", a.code))
	}
	for n, r := range rests {
		e.number(brokenTotal, float64(r.broken), n.app, n.release)
		e.durations(requestTime, &r.durations, n.app, n.release)
	}
}

func (e emitter) lag(g *lag) {
	var s histogram.Snapshot
	g.waits.AddTo(&s)
	e.durations(loopLag, &s, g.name)
	e.number(loopStalled, g.stalled().Seconds(), g.name)
	st := g.loop.Stats()
	e.number(loopRead, float64(st.BytesRead), g.name)
	e.number(loopWritten, float64(st.BytesWritten), g.name)
	e.number(loopPanics, float64(st.Panics), g.name)
}

func loopName(i int) string { return strconv.Itoa(i) }

func (e emitter) app(a App) {
	if a.Deploys != nil {
		for o := range outcomes {
			e.number(deploysTotal, float64(a.Deploys.Count(o)), a.Name, o.String())
		}
	}
	if a.Engine == nil {
		return
	}
	st := a.Engine.Stats()
	for _, n := range []struct {
		m *metric
		v uint64
	}{
		{workersWanted, uint64(st.Workers)}, {standbysReady, uint64(st.Standbys)}, {queueLength, uint64(st.Waiting)},
		{sessionsTotal, st.Opened}, {sessionsLost, st.Lost}, {sessionsSpared, st.Untouched}, {retriedTotal, st.Retried},
		{workersStarted, st.Spawned}, {workersEarly, st.Early}, {promotedTotal, st.Promoted}, {recycledTotal, st.Recycled},
		{signalledTotal, st.Signalled}, {strangersTotal, st.Strangers},
		{messagesTotal, st.Messages}, {messagesUnsent, st.Unsent}, {messagesUndone, st.Undone}, {askedTotal, st.Requests}, {askedFailed, st.Unanswered},
		{unclaimedFiles, st.Unclaimed},
	} {
		e.number(n.m, float64(n.v), a.Name)
	}
	e.number(queueRefused, float64(st.Full), a.Name, "full")
	e.number(queueRefused, float64(st.Aged), a.Name, "aged")
	e.number(workersDied, float64(st.Expected), a.Name, "expected")
	e.number(workersDied, float64(st.Deaths-st.Expected), a.Name, "unexpected")
	e.durations(queueTime, &st.Waits, a.Name)
	e.workers(a.Name, a.Engine.Status())
}

// workers are counted by release, of those that have some and of the one that
// serves.
func (e emitter) workers(app string, st engine.Status) {
	type release struct {
		states   map[string]int
		sessions int
	}
	byRelease := map[string]*release{st.Release: {states: make(map[string]int)}}
	for _, w := range st.Workers {
		r := byRelease[w.Release]
		if r == nil {
			r = &release{states: make(map[string]int)}
			byRelease[w.Release] = r
		}
		r.sessions += w.Sessions
		if !w.Standby {
			r.states[w.State]++
		}
	}
	for name, r := range byRelease {
		for _, state := range workerStates {
			e.number(workers, float64(r.states[state]), app, name, state)
		}
		e.number(sessions, float64(r.sessions), app, name)
	}
}
