package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// A made run is one of which the answers are known.
type made struct {
	intervals int
	warm      int           // of these
	rate      int           // answers in an interval
	mean      time.Duration // of latencies, which are exponential above half of it
	drift     float64       // by how much the mean of an interval is off, on average
	seed      uint64
	errors    uint64 // in each interval
}

// encoded is h as a result has it.
func encoded(t testing.TB, h *hdrhistogram.Histogram) string {
	t.Helper()
	p, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func latencyOf(h *hdrhistogram.Histogram) bench.Latency {
	p := func(q float64) time.Duration { return time.Duration(h.ValueAtPercentile(q)) }
	return bench.Latency{
		Count: uint64(h.TotalCount()), Min: time.Duration(h.Min()), Mean: time.Duration(h.Mean()), Stdev: time.Duration(h.StdDev()),
		P50: p(50), P75: p(75), P90: p(90), P95: p(95), P99: p(99), P999: p(99.9), P9999: p(99.99), Max: time.Duration(h.Max()),
	}
}

// result is the run, as it would be read again.
func (m made) result(t testing.TB) *bench.Result {
	t.Helper()
	rnd := rand.New(rand.NewPCG(m.seed, 1))
	all, h := hdrhistogram.New(1, int64(20*time.Second), 3), hdrhistogram.New(1, int64(20*time.Second), 3)
	r := &bench.Result{
		Version: 1, Target: bench.Target{Network: "tcp", Address: "127.0.0.1:8080", Host: "127.0.0.1:8080", Path: "/"}, Names: []string{"GET /"},
		Started: time.Unix(1_790_000_000, 123e6).UTC(), Warmup: time.Duration(m.warm) * time.Second, Measured: time.Duration(m.intervals-m.warm) * time.Second,
		Model: bench.Model{Kind: bench.Open, Conns: 10, Pipeline: 1, Timeout: 5 * time.Second, Stages: []bench.Stage{{Duration: time.Duration(m.intervals) * time.Second, From: float64(m.rate), To: float64(m.rate)}}},
	}
	for i := range m.intervals {
		h.Reset()
		mean := float64(m.mean) * math.Exp(m.drift*rnd.NormFloat64())
		for range m.rate {
			d := int64(mean/2 + rnd.ExpFloat64()*mean/2)
			if err := h.RecordValue(d); err != nil {
				t.Fatal(err)
			}
		}
		v := bench.Interval{
			Start: time.Duration(i) * time.Second, Length: time.Second, Warmup: i < m.warm, Requests: uint64(m.rate) + m.errors, Answers: uint64(m.rate),
			Errors: m.errors, InFlight: i % 7, Conns: 10, Latency: latencyOf(h), Histogram: encoded(t, h),
		}
		r.Intervals = append(r.Intervals, v)
		if !v.Warmup {
			all.Merge(h)
			r.Requests += v.Requests
			r.Answered += v.Answers
			r.Errors += v.Errors
			r.Lost += v.Errors
		}
	}
	r.Latency, r.Histogram = latencyOf(all), encoded(t, all)
	r.Kinds, r.Statuses = map[string]uint64{}, map[int]uint64{200: r.Answered}
	if r.Errors > 0 {
		r.Kinds["reset"] = r.Errors
	}
	if s := r.Measured.Seconds(); s > 0 {
		r.Rate = float64(r.Answered) / s
	}
	return again(t, r)
}

// again writes r and reads it.
func again(t testing.TB, r *bench.Result) *bench.Result {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := bench.Read(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// lively has some of everything.
func lively(t testing.TB) *bench.Result {
	t.Helper()
	r := made{intervals: 30, warm: 3, rate: 800, mean: 3 * time.Millisecond, drift: 0.4, seed: 7, errors: 2}.result(t)
	r.Kinds = map[string]uint64{"reset": 40, "timeout": 10, "status": 4}
	r.Statuses[503] = 4
	r.Unsent, r.Duplicated = 9, 1
	r.Own = bench.Own{Late: r.Latency, Lag: r.Latency, CPU: time.Second, Share: 0.97, Sent: 24000, PerSent: 40 * time.Microsecond}
	for i, m := range []bench.Mark{{Kind: "began", Text: "a deploy of r2"}, {Kind: "switched", Text: "r2 serves"}, {Kind: "died", Text: "worker 1, pid 4711: killed by SIGKILL"}} {
		r.AddMark(r.Started.Add(time.Duration(8*i+2)*time.Second), m.Kind, m.Text)
	}
	return again(t, r)
}

// jsonOf is for failures.
func jsonOf(v any) string {
	p, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(p)
}
