package bench

import (
	"encoding/json"
	"io"
	"time"
)

// A Result is what a run found out. As JSON it can be kept and read again, and every
// report is made of it. Durations are in nanoseconds there.
//
// What is measured begins after the warm-up: a request belongs to the part of the run
// in which it should have left.
type Result struct {
	Version int       `json:"version"` // of this format
	Target  Target    `json:"target"`
	Names   []string  `json:"names"` // of the requests
	Model   Model     `json:"model"`
	Started time.Time `json:"started"` // when the first request could leave, all connections having been tried

	Warmup   time.Duration `json:"warmup_ns"`   // at the beginning, not measured
	Measured time.Duration `json:"measured_ns"` // how long requests were sent after that
	Cut      bool          `json:"cut"`         // the run was ended before its time

	Counts
	WarmupCounts Counts  `json:"warmup"`
	Rate         float64 `json:"rate"` // answers per second, within Measured

	Latency   Latency    `json:"latency"`   // of answers, late ones too
	Intervals []Interval `json:"intervals"` // of the whole run, warm-up included
	Own       Own        `json:"own"`

	Marks        []Mark `json:"marks,omitempty"`         // what became of the server, in order
	MarksDropped uint64 `json:"marks_dropped,omitempty"` // further ones

	Histogram string `json:"histogram"` // the latencies, in HdrHistogram's V2 format, compressed, in base64
}

const resultVersion = 1

// A Model is what decided when requests left.
type Model struct {
	Kind      string        `json:"kind"` // closed or open
	Threads   int           `json:"threads"`
	Conns     int           `json:"connections"`
	Pipeline  int           `json:"pipeline"`
	Reconnect bool          `json:"reconnect,omitempty"`
	Think     time.Duration `json:"think_ns,omitempty"`
	Stages    []Stage       `json:"stages,omitempty"`
	Poisson   bool          `json:"poisson,omitempty"`
	Seed      uint64        `json:"seed,omitempty"`
	Timeout   time.Duration `json:"timeout_ns"`
}

const (
	Closed = "closed"
	Open   = "open"
)

// Counts are how many of each there were. Requests is the sum of Answered, Late, Lost
// and Unfinished.
type Counts struct {
	Requests   uint64 `json:"requests"`   // sent
	Answered   uint64 `json:"answered"`   // whole, and in time
	Late       uint64 `json:"late"`       // answered whole, after the time-out
	Lost       uint64 `json:"lost"`       // never answered whole
	Unfinished uint64 `json:"unfinished"` // waited for when the run was cut short
	Unsent     uint64 `json:"unsent"`     // due, but no connection was free until the end

	Duplicated uint64 `json:"duplicated"` // further answers to a request
	Stray      uint64 `json:"stray"`      // answers to nothing that is outstanding there
	Reordered  uint64 `json:"reordered"`  // answers before that of an earlier request of the connection

	Connected uint64            `json:"connected"` // connections made
	Bytes     uint64            `json:"bytes"`     // of bodies of answers, as they came
	Errors    uint64            `json:"errors"`    // the sum of Kinds
	Kinds     map[string]uint64 `json:"errors_by_kind"`
	Statuses  map[int]uint64    `json:"statuses"`
}

// A Latency is how long answers took: from when their requests should have left in
// the open model, from when they left in the closed one, to their last byte.
type Latency struct {
	Count uint64        `json:"count"`
	Min   time.Duration `json:"min"`
	Mean  time.Duration `json:"mean"`
	Stdev time.Duration `json:"stdev"`
	P50   time.Duration `json:"p50"`
	P75   time.Duration `json:"p75"`
	P90   time.Duration `json:"p90"`
	P95   time.Duration `json:"p95"`
	P99   time.Duration `json:"p99"`
	P999  time.Duration `json:"p99.9"`
	P9999 time.Duration `json:"p99.99"`
	Max   time.Duration `json:"max"`
}

// An Interval is a part of the run.
type Interval struct {
	Start    time.Duration `json:"start_ns"` // since Started
	Length   time.Duration `json:"length_ns"`
	Warmup   bool          `json:"warmup,omitempty"` // it began in the warm-up
	Requests uint64        `json:"requests"`         // sent
	Answers  uint64        `json:"answers"`          // late ones too
	Errors   uint64        `json:"errors"`
	InFlight int           `json:"in_flight"` // at the end
	Conns    int           `json:"connections"`
	Latency  Latency       `json:"latency"`

	Histogram string `json:"histogram,omitempty"` // its latencies, as in Result; "": not kept
}

// Limits of the intervals whose latencies are kept one by one: what that takes must
// neither slow the run nor swell its result.
const (
	minKeptInterval  = 100 * time.Millisecond
	maxKeptIntervals = 10_000
	maxKeptBytes     = 64 << 20 // of all, packed
)

// KeepsIntervals says whether the latencies of each interval are kept, not those of
// the whole run alone. o has been checked, or has its interval and length set.
func (o Options) KeepsIntervals() bool {
	o, err := o.withDefaults()
	return err == nil && o.Interval >= minKeptInterval && (o.Duration+o.Timeout)/o.Interval <= maxKeptIntervals
}

// Kept says whether the latencies of each interval are there.
func (r *Result) Kept() bool {
	for i := range r.Intervals {
		if v := &r.Intervals[i]; v.Latency.Count > 0 && v.Histogram == "" {
			return false
		}
	}
	return true
}

// Own is what the generator knows of itself.
type Own struct {
	Late    Latency       `json:"late"` // how long after they were due requests left that had a free connection
	Lag     Latency       `json:"lag"`  // how late the loop's own timer came
	CPU     time.Duration `json:"cpu_ns"`
	Share   float64       `json:"cpu_share"` // of one processor; several loops can use more
	Sent    uint64        `json:"sent"`      // requests that CPU was spent on, the warm-up's too
	PerSent time.Duration `json:"cpu_per_request_ns"`
	Loops   []OwnLoop     `json:"loops,omitempty"` // each, if there are several
}

// An OwnLoop is what one of several loops knows of itself.
type OwnLoop struct {
	Sent uint64  `json:"sent"`
	Late Latency `json:"late"`
	Lag  Latency `json:"lag"`
}

// Write writes r as JSON, for Read.
func (r *Result) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// result is what the run, which is over, has found out.
func (d *driver) result(started time.Time, intervals []Interval) (*Result, error) {
	o, rec := &d.o, d.rec
	h, err := encode(rec.latency)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Version: resultVersion, Target: o.Target, Started: started,
		Model:  Model{Kind: Closed, Threads: o.Threads, Conns: o.Conns, Pipeline: o.Pipeline, Reconnect: o.Reconnect, Think: o.Think, Timeout: o.Timeout},
		Warmup: o.Warmup, Measured: max(d.ended-o.Warmup, 0), Cut: d.cut,
		Counts: rec.measured.counts(), WarmupCounts: rec.warm.counts(),
		Latency: summary(rec.latency), Intervals: intervals, Histogram: h,
		Own: Own{Late: summary(rec.lateness), Lag: summary(rec.lag), CPU: d.cpuTo - d.cpuFrom, Sent: d.n},
	}
	for _, t := range d.templates {
		r.Names = append(r.Names, t.name)
	}
	if p := o.Pace; p != nil {
		r.Model.Kind, r.Model.Stages, r.Model.Poisson = Open, p.stages, p.poisson
		if p.poisson {
			r.Model.Seed = p.seed
		}
	}
	if r.Measured > 0 {
		r.Rate = float64(rec.inTime) / r.Measured.Seconds()
	}
	if d.ended > 0 {
		r.Own.Share = r.Own.CPU.Seconds() / d.ended.Seconds()
	}
	if d.n > 0 {
		r.Own.PerSent = r.Own.CPU / time.Duration(d.n)
	}
	return r, nil
}
