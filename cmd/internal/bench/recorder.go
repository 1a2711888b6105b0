package bench

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is what a latency above it counts as.
const maxLatency = 2 * maxTimeout

// digits are how many are kept of a latency.
const digits = 3

// newHistogram keeps that of every latency.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(maxLatency), digits)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(int64(min(max(d, 0), maxLatency))) // within its range
}

var percentiles = []float64{50, 75, 90, 95, 99, 99.9, 99.99}

// summary returns what reports say of h. Each look at h is one at some 30,000 counters,
// which takes near 0.1 ms: in between, loops go first that wait for this processor.
func summary(h *hdrhistogram.Histogram) (l Latency) {
	if h.TotalCount() == 0 {
		return l
	}
	at := h.ValueAtPercentilesSlice(percentiles)
	runtime.Gosched()
	for i, to := range []*time.Duration{&l.P50, &l.P75, &l.P90, &l.P95, &l.P99, &l.P999, &l.P9999} {
		*to = time.Duration(at[i])
	}
	l.Count = uint64(h.TotalCount())
	l.Min = time.Duration(h.Min())
	l.Max = time.Duration(h.Max())
	runtime.Gosched()
	l.Mean = time.Duration(h.Mean())
	runtime.Gosched()
	l.Stdev = time.Duration(h.StdDev())
	return l
}

// A tally counts as a run goes on.
type tally struct {
	sent, answered, late, lost, unfinished, unsent uint64
	duplicated, stray, reordered                   uint64
	connected, bytes                               uint64
	errors                                         [kinds]uint64
	named                                          map[string]uint64 // errors whose kinds the target has named
	statuses                                       [1000]uint64
}

// add adds what other counts.
func (t *tally) add(other *tally) {
	for _, p := range []struct{ to, from *uint64 }{
		{&t.sent, &other.sent}, {&t.answered, &other.answered}, {&t.late, &other.late}, {&t.lost, &other.lost},
		{&t.unfinished, &other.unfinished}, {&t.unsent, &other.unsent}, {&t.duplicated, &other.duplicated},
		{&t.stray, &other.stray}, {&t.reordered, &other.reordered}, {&t.connected, &other.connected}, {&t.bytes, &other.bytes},
	} {
		*p.to += *p.from
	}
	for k, n := range other.errors {
		t.errors[k] += n
	}
	for status, n := range other.statuses {
		t.statuses[status] += n
	}
	for name, n := range other.named {
		t.name(name, n)
	}
}

func (t *tally) counts() Counts {
	c := Counts{
		Requests: t.sent, Answered: t.answered, Late: t.late, Lost: t.lost, Unfinished: t.unfinished, Unsent: t.unsent,
		Duplicated: t.duplicated, Stray: t.stray, Reordered: t.reordered, Connected: t.connected, Bytes: t.bytes,
		Kinds: make(map[string]uint64), Statuses: make(map[int]uint64),
	}
	for k, n := range t.errors {
		if n > 0 {
			c.Errors += n
			c.Kinds[Kind(k).String()] = n
		}
	}
	for name, n := range t.named {
		c.Errors += n
		c.Kinds[name] = n
	}
	for status, n := range t.statuses {
		if n > 0 {
			c.Statuses[status] = n
		}
	}
	return c
}

// A recorder keeps what a run finds out.
type recorder struct {
	measured, warm tally
	latency        *hdrhistogram.Histogram // of what is measured
	lateness, lag  *hdrhistogram.Histogram
	inTime         uint64 // answers that came while requests were measured

	now  Interval                // the one that is going on
	part *hdrhistogram.Histogram // its latencies
}

func newRecorder() *recorder {
	return &recorder{latency: newHistogram(), lateness: newHistogram(), lag: newHistogram(), part: newHistogram()}
}

// absorb adds what another recorder of the same run has.
func (r *recorder) absorb(other *recorder) {
	r.measured.add(&other.measured)
	r.warm.add(&other.warm)
	r.latency.Merge(other.latency)
	r.lateness.Merge(other.lateness)
	r.lag.Merge(other.lag)
	r.inTime += other.inTime
}

// of returns the tally for what belongs to the warm-up, or not.
func (r *recorder) of(warm bool) *tally {
	if warm {
		return &r.warm
	}
	return &r.measured
}

// fail counts an error.
func (r *recorder) fail(warm bool, k Kind) {
	r.of(warm).errors[k]++
	r.now.Errors++
}

// maxNamed is how many kinds of errors a target may name, and otherKind what further
// ones count as.
const (
	maxNamed  = 64
	otherKind = "other"
)

// failAs counts an error whose kind the target has named.
func (r *recorder) failAs(warm bool, name string) {
	r.of(warm).name(name, 1)
	r.now.Errors++
}

// name counts n errors of a kind that the target has named.
func (t *tally) name(name string, n uint64) {
	if _, known := t.named[name]; !known {
		if len(t.named) >= maxNamed {
			name = otherKind
		}
		if t.named == nil {
			t.named = make(map[string]uint64)
		}
	}
	t.named[name] += n
}

// roll ends the interval that is going on and begins the next. Its latencies are not
// summed up here: that takes half a millisecond.
func (r *recorder) roll(now time.Duration, warm bool, inFlight, conns int) Interval {
	i := r.now
	i.Length, i.InFlight, i.Conns = now-i.Start, inFlight, conns
	r.now = Interval{Start: now, Warmup: warm}
	return i
}

// encode returns h as a text that other tools of HdrHistogram read, too.
func encode(h *hdrhistogram.Histogram) (string, error) {
	p, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return string(p), nil
}

// pack returns what h holds in few bytes: for each counter that is not zero its
// distance from the one before, and the count, as varints. It takes near 0.1 ms.
func pack(h *hdrhistogram.Histogram) (p []byte) {
	last := -1
	for i, n := range h.Export().Counts {
		if n > 0 {
			p = binary.AppendUvarint(p, uint64(i-last))
			p = binary.AppendUvarint(p, uint64(n))
			last = i
		}
	}
	return p
}

// unpack returns what pack was given.
func unpack(p []byte) *hdrhistogram.Histogram {
	s := newHistogram().Export()
	for at := -1; len(p) > 0; {
		skip, n := binary.Uvarint(p)
		count, m := binary.Uvarint(p[n:])
		at += int(skip)
		s.Counts[at] = int64(count)
		p = p[n+m:]
	}
	return hdrhistogram.Import(s)
}
