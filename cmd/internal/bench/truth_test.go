package bench

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestOpenStallFree: with connections enough, who comes while the server stalls waits
// for the stall's end and nobody else waits for anything, for constant and Poisson
// arrivals and a climb, and a server that takes its time as it draws.
func TestOpenStallFree(t *testing.T) {
	const from, to = 4 * time.Second, 5 * time.Second
	for _, tt := range []struct {
		stages  string
		poisson bool
	}{{"8s:500", false}, {"8s:500", true}, {"8s:0-1000", false}} {
		rnd := rand.New(rand.NewPCG(3, 4))
		answered := func(came, took time.Duration) time.Duration {
			if at := came + took; at < from || at >= to {
				return took
			}
			return to - came
		}
		var drawn []time.Duration
		s := &sim{}
		s.serve = func(c *simConn, _, id string) {
			took := 5*time.Millisecond + time.Duration(rnd.ExpFloat64()*float64(10*time.Millisecond))
			drawn = append(drawn, took)
			c.reply(answered(s.clock-s.driver.started, took), ok(id))
		}
		p := mustPace(t, tt.stages, tt.poisson, 9)
		r := simulate(t, s, Options{Conns: 2000, Pace: p}, 0)
		due := schedule(p)
		var all []time.Duration
		for n, at := range due {
			all = append(all, answered(at, drawn[n]))
		}
		expectPercentiles(t, r.Latency, all)
		if r.Requests != uint64(len(due)) || r.Unsent+r.Errors != 0 || r.Latency.P95 < 500*time.Millisecond {
			t.Errorf("%s: got %+v, %+v; want %d answered and the stall in p95", tt.stages, r.Counts, r.Latency, len(due))
		}
	}
}

// TestOwnLateness: what the generator itself is late by is part of the latencies, told
// apart and warned of.
func TestOwnLateness(t *testing.T) {
	const blocked = 130 * time.Millisecond
	s := &sim{serve: func(c *simConn, _, id string) { c.reply(time.Millisecond, ok(id)) }}
	const at = 2*time.Second + 500*time.Microsecond // between two requests
	s.at(at, func() { s.clock += blocked })         // the process is not let run
	p := mustPace(t, "10s:1000", false, 0)
	r := simulate(t, s, Options{Conns: 200, Pace: p}, 0)
	var late, all []time.Duration
	until := at - s.driver.started + blocked
	for _, due := range schedule(p) {
		behind := time.Duration(0)
		if due >= until-blocked && due < until {
			behind = until - due
		}
		late = append(late, behind)
		took := behind + time.Millisecond
		if due < until-blocked && due+time.Millisecond >= until-blocked {
			took = until - due // its answer was there, and not read
		}
		all = append(all, took)
	}
	expectPercentiles(t, r.Latency, all)
	if r.Own.Late.Count != uint64(len(late)) || !near(r.Own.Late.Max, blocked) || r.Own.Late.P50 > time.Microsecond || r.Own.Late.P999 < 80*time.Millisecond {
		t.Errorf("got %+v, want up to %v late for a seventieth", r.Own.Late, blocked)
	}
	if r.Own.Lag.Max < blocked-maxTick-time.Millisecond || r.Own.Lag.Max > blocked+time.Millisecond {
		t.Errorf("got a lag of %v, want about %v", r.Own.Lag.Max, blocked)
	}
	if len(r.Warnings()) == 0 {
		t.Error("no warning")
	}
}
