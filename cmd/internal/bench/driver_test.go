package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// near reports whether got is within two per cent of want.
func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= 0.02*float64(want)
}

func TestClosed(t *testing.T) {
	s := &sim{serve: func(c *simConn, _, id string) { c.reply(10*time.Millisecond, ok(id)) }}
	r := simulate(t, s, Options{Conns: 4, Duration: 2 * time.Second}, 0)
	if r.Requests != 800 || r.Answered != 800 || r.Errors != 0 || r.Connected != 4 || r.Statuses[200] != 800 {
		t.Errorf("got %+v, want 800 answered on 4 connections", r.Counts)
	}
	if !near(r.Latency.P50, 10*time.Millisecond) || !near(r.Latency.Max, 10*time.Millisecond) {
		t.Errorf("got %+v, want all at 10 ms", r.Latency)
	}
	if math.Abs(r.Rate-400) > 4 {
		t.Errorf("got %v/s, want 400", r.Rate)
	}
	if r.Own.Share != 0.25 {
		t.Errorf("got a share of %v, want the clock's 0.25", r.Own.Share)
	}
}

// expectPercentiles holds a run's percentiles against those of all its latencies.
func expectPercentiles(t *testing.T, got Latency, all []time.Duration) {
	t.Helper()
	if got.Count != uint64(len(all)) {
		t.Errorf("got %d latencies, want %d", got.Count, len(all))
	}
	slices.Sort(all)
	for p, v := range map[float64]time.Duration{50: got.P50, 75: got.P75, 90: got.P90, 95: got.P95, 99: got.P99, 99.9: got.P999, 99.99: got.P9999, 100: got.Max} {
		// Which of the two around a rank with a fraction is meant, definitions differ.
		rank := p / 100 * float64(len(all))
		low, high := all[max(int(rank+1e-6)-1, 0)], all[max(int(math.Ceil(rank-1e-6))-1, 0)]
		if (v < low || v > high) && !near(v, low) && !near(v, high) {
			t.Errorf("p%v: got %v, want %v to %v", p, v, low, high)
		}
	}
}

// TestOpenStall: one connection to a server that answers in 1 ms and stalls for a
// second in mid-run. Each request's latency follows from those before; the closed
// model sees next to nothing of the stall.
func TestOpenStall(t *testing.T) {
	const took = time.Millisecond
	var begin time.Duration
	serve := func(s *sim) func(c *simConn, _, id string) {
		return func(c *simConn, _, id string) {
			d := took
			if begin = s.driver.started; s.clock-begin >= 5*time.Second && s.clock-begin < 6*time.Second {
				d = 6*time.Second - (s.clock - begin) + took
			}
			c.reply(d, ok(id))
		}
	}
	open := &sim{}
	open.serve = serve(open)
	p := mustPace(t, "10s:500", false, 0)
	r := simulate(t, open, Options{Conns: 1, Pace: p}, 0)
	var all []time.Duration
	free := time.Duration(0)
	for _, due := range schedule(p) {
		start := max(due, free)
		end := start + took
		if start >= 5*time.Second && start < 6*time.Second {
			end = 6*time.Second + took
		}
		free = end
		all = append(all, end-due)
	}
	expectPercentiles(t, r.Latency, all)
	if r.Requests != 5000 || r.Answered != 5000 || r.Errors != 0 {
		t.Errorf("got %+v, want 5000 answered", r.Counts)
	}
	if r.Latency.P90 < 300*time.Millisecond {
		t.Errorf("p90 is %v: the stall's second is a tenth of the run and has to show", r.Latency.P90)
	}
	if r.Own.Late.Max > time.Microsecond {
		t.Errorf("the generator says it was late by %v; it was the connection that was not free", r.Own.Late.Max)
	}

	closed := &sim{}
	closed.serve = serve(closed)
	if r := simulate(t, closed, Options{Conns: 1, Duration: 10 * time.Second}, 0); r.Latency.P99 > 2*took || r.Latency.Max < time.Second {
		t.Errorf("closed: got %+v, want the stall in the maximum alone", r.Latency)
	}
}

// TestOpenDistribution: with connections enough, latencies are the server's times, as
// drawn, for constant and Poisson arrivals and a ramp.
func TestOpenDistribution(t *testing.T) {
	for _, tt := range []struct {
		stages  string
		poisson bool
	}{{"20s:1000", false}, {"20s:1000", true}, {"10s:0-2000", false}} {
		var all []time.Duration
		rnd := rand.New(rand.NewPCG(1, 2))
		s := &sim{serve: func(c *simConn, _, id string) {
			d := time.Millisecond + time.Duration(rnd.ExpFloat64()*float64(20*time.Millisecond))
			all = append(all, d)
			c.reply(d, ok(id))
		}}
		r := simulate(t, s, Options{Conns: 500, Pace: mustPace(t, tt.stages, tt.poisson, 3)}, 0)
		expectPercentiles(t, r.Latency, all)
		if want := len(schedule(mustPace(t, tt.stages, tt.poisson, 3))); r.Requests != uint64(want) || r.Unsent != 0 {
			t.Errorf("%s: got %d sent, %d unsent; want %d", tt.stages, r.Requests, r.Unsent, want)
		}
	}
}

// TestMischief: a server that answers, drops, duplicates, resets, hangs up, answers
// late, in part or nonsense, and keeps a ledger. The report has to say the same.
func TestMischief(t *testing.T) {
	const timeout = 100 * time.Millisecond
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var want Counts
		kind := map[Kind]uint64{}
		s := &sim{serve: func(c *simConn, _, id string) {
			want.Requests++
			d := time.Duration(rnd.Int64N(int64(5 * time.Millisecond)))
			switch rnd.IntN(12) {
			default:
				want.Answered++
				c.reply(d, ok(id))
			case 1: // silence
				want.Lost++
				kind[KindTimeout]++
			case 2:
				want.Answered++
				want.Duplicated += 2
				c.reply(d, ok(id)+ok(id)+ok(id))
			case 3:
				want.Lost++
				kind[KindReset]++
				c.reset(d)
			case 4:
				want.Lost++
				kind[KindClosed]++
				c.hangUp(d)
			case 5:
				want.Late++
				kind[KindTimeout]++
				c.reply(timeout+time.Millisecond+d, ok(id))
			case 6:
				want.Lost++
				kind[KindTruncated]++
				c.reply(d, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				c.hangUp(d)
			case 7:
				want.Lost++
				kind[KindMalformed]++
				c.reply(d, "220 mail.example ESMTP\r\n\r\n")
			case 8:
				want.Answered++
				kind[KindStatus]++
				c.reply(d, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			case 9: // to nothing: the id is one that was never given out
				want.Answered++
				want.Stray++
				c.reply(d, "HTTP/1.1 200 OK\r\nX-Request-Id: "+id+"\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			case 10:
				want.Answered++
				kind[KindBody]++
				c.reply(d, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
			}
		}}
		// Requests are far enough from each other that what a connection is sent
		// behind an answer finds nothing outstanding.
		r := simulate(t, s, Options{Conns: 300, Timeout: timeout, Requests: []Request{{Expect: "ok"}}, Pace: mustPace(t, "5s:200,1s:0", false, 0), Seed: seed}, 0)
		// An answer without the expected body is one of errors, too.
		for _, k := range []Kind{KindTimeout, KindReset, KindClosed, KindTruncated, KindMalformed, KindStatus} {
			if got := r.Kinds[k.String()]; got != kind[k] {
				t.Errorf("seed %d: %d errors of kind %v, want %d", seed, got, k, kind[k])
			}
		}
		if got := r.Kinds[KindBody.String()]; got != kind[KindBody]+want.Stray {
			t.Errorf("seed %d: %d wrong bodies, want %d", seed, got, kind[KindBody]+want.Stray)
		}
		got := Counts{Requests: r.Requests, Answered: r.Answered, Late: r.Late, Lost: r.Lost, Duplicated: r.Duplicated, Stray: r.Stray}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("seed %d: got %+v, want %+v", seed, got, want)
		}
		if r.Requests != 1000 {
			t.Errorf("seed %d: %d requests, want 1000", seed, r.Requests)
		}
	}
}

// TestReordered: a server that answers each four requests of a pipeline in the order
// 1, 0, 3, 2, with HEAD among them.
func TestReordered(t *testing.T) {
	held := map[*simConn][]string{}
	s := &sim{}
	s.serve = func(c *simConn, request, id string) {
		answer := ok(id)
		if strings.HasPrefix(request, "HEAD") {
			answer = strings.TrimSuffix(answer, "ok")
		}
		held[c] = append(held[c], answer)
		if h := held[c]; len(h) == 4 {
			held[c] = nil
			c.reply(time.Millisecond, h[1]+h[0]+h[3]+h[2])
		}
	}
	r := simulate(t, s, Options{Conns: 2, Pipeline: 4, Count: 4000, Timeout: 50 * time.Millisecond, Duration: time.Minute,
		Requests: []Request{{Expect: "ok"}, {Method: "HEAD"}}}, 0)
	if r.Requests != 4000 {
		t.Fatalf("got %d requests, want 4000", r.Requests)
	}
	// What the last, incomplete fours of both connections held is not answered.
	lost := uint64(0)
	for _, h := range held {
		lost += uint64(len(h))
	}
	if r.Lost != lost || r.Reordered != (r.Requests-lost)/2 || r.Duplicated+r.Stray != 0 || r.Errors != lost {
		t.Errorf("got %+v, want %d reordered and %d lost", r.Counts, (r.Requests-lost)/2, lost)
	}
}

// TestAcross: answers that come on another connection than their requests are stray
// there and lost here; one that comes again elsewhere is a duplicate.
func TestAcross(t *testing.T) {
	var first *simConn
	var firstID string
	s := &sim{}
	s.serve = func(c *simConn, _, id string) {
		if first == nil {
			first, firstID = c, id // never answered where it was asked
			return
		}
		c.reply(time.Millisecond, ok(firstID)+ok(id))
	}
	r := simulate(t, s, Options{Conns: 2, Count: 3, Timeout: 50 * time.Millisecond, Duration: time.Second}, 0)
	if r.Requests != 3 || r.Answered != 2 || r.Lost != 1 || r.Stray != 2 || r.Duplicated != 0 {
		t.Errorf("got %+v, want 2 answered, 1 lost, 2 stray", r.Counts)
	}
	first = nil
	s = &sim{}
	s.serve = func(c *simConn, _, id string) {
		if first == nil {
			first, firstID = c, id
			c.reply(0, ok(id))
			return
		}
		c.reply(time.Millisecond, ok(firstID)+ok(id))
	}
	if r := simulate(t, s, Options{Conns: 2, Count: 3, Duration: time.Second}, 0); r.Answered != 3 || r.Duplicated != 2 || r.Stray != 0 {
		t.Errorf("got %+v, want 3 answered, 2 duplicated", r.Counts)
	}
}

// TestSilence: a server that takes everything and says nothing holds a run up for no
// longer than the time-out, and gets two connections for each place at most.
func TestSilence(t *testing.T) {
	s := &sim{serve: func(*simConn, string, string) {}}
	r := simulate(t, s, Options{Conns: 3, Duration: time.Second, Timeout: 150 * time.Millisecond}, 0)
	if r.Answered != 0 || r.Lost != r.Requests || r.Kinds["timeout"] != r.Requests || r.Requests < 15 {
		t.Errorf("got %+v, want all lost by time-out", r.Counts)
	}
	if s.clock > time.Second+150*time.Millisecond+2*time.Millisecond {
		t.Errorf("the run took %v", s.clock)
	}
	for _, i := range r.Intervals {
		if i.Conns > 9 {
			t.Errorf("%d connections for 3 places", i.Conns)
		}
	}
}

func TestNobody(t *testing.T) {
	for err, kind := range map[error]string{syscall.ECONNREFUSED: "refused", syscall.EMFILE: "no descriptors", syscall.EADDRNOTAVAIL: "no ports", syscall.EHOSTUNREACH: "connect"} {
		s := &sim{connect: func(int) (time.Duration, error) { return 0, err }}
		r := simulate(t, s, Options{Conns: 3, Duration: 5 * time.Second, Warmup: 0}, 0)
		if r.Requests != 0 || r.Errors != uint64(s.dials) || r.Kinds[kind] != r.Errors || s.dials > 60 {
			t.Errorf("%v: got %+v after %d attempts", err, r.Counts, s.dials)
		}
		s = &sim{connect: func(int) (time.Duration, error) { return 0, err }}
		if r := simulate(t, s, Options{Conns: 3, Pace: mustPace(t, "5s:100", false, 0)}, 0); r.Requests != 0 || r.Unsent != 500 {
			t.Errorf("%v, open: got %+v, want 500 unsent", err, r.Counts)
		}
	}
}

// TestGiveUp: a run with nobody there ends at once if it should, and says why; one
// connection is enough for it to go on.
func TestGiveUp(t *testing.T) {
	for _, warmup := range []time.Duration{0, time.Second} {
		s := &sim{connect: func(int) (time.Duration, error) { return time.Millisecond, syscall.ECONNREFUSED }}
		r := simulate(t, s, Options{Conns: 3, Duration: 5 * time.Second, Warmup: warmup, GiveUp: true}, 0)
		if r.Requests != 0 || r.Errors != 3 || r.Kinds["refused"] != 3 || s.clock > 10*time.Millisecond || r.Rate != 0 || r.Measured != 0 || len(r.Intervals) != 0 {
			t.Errorf("warm-up %v: got %+v over %v after %v", warmup, r.Counts, r.Measured, s.clock)
		}
	}
	s := &sim{
		connect: func(n int) (time.Duration, error) {
			if n > 1 {
				return time.Millisecond, syscall.ECONNREFUSED
			}
			return time.Millisecond, nil
		},
		serve: func(c *simConn, _, id string) { c.reply(time.Millisecond, ok(id)) },
	}
	if r := simulate(t, s, Options{Conns: 3, Count: 100, Duration: time.Minute, GiveUp: true}, 0); r.Answered != 100 {
		t.Errorf("got %+v", r.Counts)
	}
}

// TestBack: connections that fail at first are made in the end.
func TestBack(t *testing.T) {
	s := &sim{
		connect: func(n int) (time.Duration, error) {
			if n <= 4 {
				return time.Millisecond, syscall.ECONNREFUSED
			}
			return time.Millisecond, nil
		},
		serve: func(c *simConn, _, id string) { c.reply(time.Millisecond, ok(id)) },
	}
	r := simulate(t, s, Options{Conns: 2, Pace: mustPace(t, "1s:100", false, 0)}, 0)
	if r.Answered != 100 || r.Errors != 4 || r.Connected != 2 {
		t.Errorf("got %+v, want 100 answered and 4 errors", r.Counts)
	}
}

func TestWarmup(t *testing.T) {
	s := &sim{}
	s.serve = func(c *simConn, _, id string) {
		d := time.Millisecond
		if s.clock-s.driver.started < time.Second {
			d = 100 * time.Millisecond
		}
		c.reply(d, ok(id))
	}
	r := simulate(t, s, Options{Conns: 50, Pace: mustPace(t, "3s:100", false, 0), Warmup: time.Second}, 0)
	if r.WarmupCounts.Requests != 100 || r.Requests != 200 || r.Latency.Max > 2*time.Millisecond || r.Measured != 2*time.Second {
		t.Errorf("got %+v, %+v, %+v over %v; want 100 and 200", r.WarmupCounts, r.Counts, r.Latency, r.Measured)
	}
	if !r.Intervals[0].Warmup || r.Intervals[1].Warmup || r.Intervals[0].Latency.P50 < 90*time.Millisecond {
		t.Errorf("got %+v", r.Intervals)
	}
}

func TestCutShort(t *testing.T) {
	s := &sim{serve: func(c *simConn, _, id string) { c.reply(300*time.Millisecond, ok(id)) }}
	r := simulate(t, s, Options{Conns: 5, Duration: time.Hour}, time.Second)
	if !r.Cut || r.Unfinished != 5 || r.Answered != 15 || r.Lost != 0 || r.Errors != 0 || s.clock != time.Second {
		t.Errorf("got %+v at %v, want 15 answered and 5 unfinished after 1 s", r.Counts, s.clock)
	}
	s = &sim{connect: func(int) (time.Duration, error) { return time.Minute, nil }}
	if r := simulate(t, s, Options{Conns: 5, Timeout: 2 * time.Minute}, time.Second); !r.Cut || r.Requests != 0 || r.Errors != 0 {
		t.Errorf("while connecting: got %+v", r.Counts)
	}
}

// TestManyUnsent: of very many requests that were not sent those of the warm-up are told
// from the others, and none is beyond Count.
func TestManyUnsent(t *testing.T) {
	for _, tt := range []struct{ count, warm, measured uint64 }{{0, 4_000_000, 6_000_000}, {5_000_000, 4_000_000, 1_000_000}, {3_000_000, 3_000_000, 0}} {
		s := &sim{connect: func(int) (time.Duration, error) { return 0, syscall.ECONNREFUSED }}
		r := simulate(t, s, Options{Conns: 1, Pace: mustPace(t, "10s:1000000", false, 0), Warmup: 4 * time.Second, Count: tt.count}, 0)
		near := func(got, want uint64) bool { return got+5 >= want && got <= want+5 }
		if !near(r.WarmupCounts.Unsent, tt.warm) || !near(r.Unsent, tt.measured) {
			t.Errorf("of %d: %d unsent in the warm-up and %d after it; want %d and %d", tt.count, r.WarmupCounts.Unsent, r.Unsent, tt.warm, tt.measured)
		}
	}
}

// TestUnsent: what a server too slow for the rate left unsent.
func TestUnsent(t *testing.T) {
	s := &sim{serve: func(c *simConn, _, id string) { c.reply(100*time.Millisecond, ok(id)) }}
	r := simulate(t, s, Options{Conns: 1, Pace: mustPace(t, "10s:20", false, 0)}, 0)
	if r.Requests+r.Unsent != 200 || r.Requests < 99 || r.Requests > 101 {
		t.Errorf("got %+v, want half of 200", r.Counts)
	}
}

func TestReconnect(t *testing.T) {
	s := &sim{serve: func(c *simConn, request, id string) {
		if c.requests > 1 || !strings.Contains(request, "Connection: close\r\n") {
			t.Errorf("request %d of a connection: %q", c.requests, request)
		}
		c.reply(time.Millisecond, strings.TrimSuffix(ok(id), "\r\n\r\nok")+"\r\nConnection: close\r\n\r\nok")
		c.hangUp(time.Millisecond)
	}}
	r := simulate(t, s, Options{Conns: 2, Count: 100, Reconnect: true}, 0)
	if r.Answered != 100 || r.Connected < 100 || r.Errors != 0 {
		t.Errorf("got %+v, want 100 answered on as many connections", r.Counts)
	}
}

func TestThink(t *testing.T) {
	s := &sim{serve: func(c *simConn, _, id string) { c.reply(10*time.Millisecond, ok(id)) }}
	r := simulate(t, s, Options{Conns: 2, Duration: time.Second, Think: 40 * time.Millisecond}, 0)
	if r.Answered != 40 {
		t.Errorf("got %+v, want 40 answered", r.Counts)
	}
}

// TestMix: requests come as their weights say, with their ids wherever they belong.
func TestMix(t *testing.T) {
	seen := map[string]int{}
	ids := map[string]bool{}
	s := &sim{serve: func(c *simConn, request, id string) {
		line, _, _ := strings.Cut(request, " HTTP/1.1\r\n")
		if want := strings.ReplaceAll(line, id, "ID"); len(id) == idLen {
			seen[want]++
		}
		if ids[id] {
			t.Errorf("id %s came twice", id)
		}
		ids[id] = true
		if strings.HasPrefix(request, "POST") && !strings.HasSuffix(request, "Content-Length: 20\r\n\r\n<"+id+">\r\n") {
			t.Errorf("got %q", request)
		}
		c.reply(0, ok(id))
	}}
	r := simulate(t, s, Options{Conns: 2, Count: 10_000, Duration: time.Hour, Requests: []Request{
		{Path: "/a?{id}", Weight: 7}, {Path: "/b", Weight: 2}, {Method: "POST", Path: "/c/{id}/{id}", Body: "<{id}>\r\n"},
	}}, 0)
	if r.Answered != 10_000 {
		t.Errorf("got %+v", r.Counts)
	}
	for line, want := range map[string]int{"GET /a?ID": 7000, "GET /b": 2000, "POST /c/ID/ID": 1000} {
		if got := seen[line]; math.Abs(float64(got-want)) > 150 {
			t.Errorf("%s: %d times, want about %d; all: %v", line, got, want, seen)
		}
	}
}
