package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// CompareOptions are those of Compare. The zero value works.
type CompareOptions struct {
	Confidence float64 // of the intervals that are given; default 0.95
	Resamples  int     // how often the runs are drawn again; default 2000
	Seed       uint64  // of the drawing; default 1
}

func (o CompareOptions) withDefaults() (CompareOptions, error) {
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	if o.Resamples == 0 {
		o.Resamples = 2000
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	switch {
	case !(o.Confidence >= 0.5 && o.Confidence <= 0.9999):
		return o, fmt.Errorf("bench: a confidence of %v; want 0.5 to 0.9999", o.Confidence)
	case o.Resamples < 100 || o.Resamples > maxResamples:
		return o, fmt.Errorf("bench: %d resamples; want 100 to %d", o.Resamples, maxResamples)
	}
	return o, nil
}

// Check tells what is wrong with o, if something is.
func (o CompareOptions) Check() error {
	_, err := o.withDefaults()
	return err
}

// Limits of a comparison.
const (
	maxRuns      = 20 // on a side
	minBlocks    = 8  // on each side, below which nothing is said
	minBeyond    = 20 // answers that took longer than a percentile, likewise
	minChange    = 0.01
	maxResamples = 100_000
)

// Verdicts.
const (
	Better  = "better"
	Worse   = "worse"
	Noise   = "noise"   // the interval holds 0: it may be chance
	Same    = "same"    // no chance, but a change below 1 %
	Unknown = "unknown" // Why says why
)

// A Comparison is what sets B, the later runs, apart from A.
type Comparison struct {
	Method     string   `json:"method"`
	Confidence float64  `json:"confidence"`
	Resamples  int      `json:"resamples"`
	Seed       uint64   `json:"seed"`
	Runs       [2]int   `json:"runs"`   // of A and B
	Blocks     [2]int   `json:"blocks"` // of intervals, in all of them
	Notes      []string `json:"notes"`
	Metrics    []Metric `json:"metrics"`
}

// A Metric is one number of both.
type Metric struct {
	Name    string   `json:"name"`
	Unit    string   `json:"unit"` // ns, /s or share
	A       float64  `json:"a"`
	B       float64  `json:"b"`
	Change  *float64 `json:"change"` // (B-A)/A; null: A is 0
	Low     *float64 `json:"low"`    // Change lies between Low and High, with Confidence
	High    *float64 `json:"high"`
	Verdict string   `json:"verdict"`
	Why     string   `json:"why,omitempty"`
}

// Units.
const (
	unitTime  = "ns"
	unitRate  = "/s"
	unitShare = "share"
)

const method = "bootstrap over blocks of intervals, and over runs where there are several"

// measures are made of each drawing, in this order.
var measures = []struct {
	name, unit string
	percentile float64 // of latency; 0: something else
}{
	{"rate", unitRate, 0}, {"mean", unitTime, 0}, {"p50", unitTime, 50}, {"p90", unitTime, 90}, {"p99", unitTime, 99}, {"p99.9", unitTime, 99.9}, {"errors", unitShare, 0},
}

// Compare tells what sets the runs of b apart from those of a, and what of that may
// be chance. Each side is drawn again many times: of its runs as many as there are,
// each of which may come several times or not at all, and of each the blocks of its
// intervals likewise. What such drawings differ in is what runs differ in that are
// alike; a change outside of that is one. Blocks, and not single answers, are drawn
// because what is slow is slow for a while. The same results, options and seed give
// the same comparison. ErrNotKept: a result has no histograms of its intervals.
func Compare(a, b []*bench.Result, o CompareOptions) (*Comparison, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(a) == 0 || len(b) == 0 || len(a) > maxRuns || len(b) > maxRuns {
		return nil, fmt.Errorf("bench: %d and %d runs; want 1 to %d of each", len(a), len(b), maxRuns)
	}
	sides := [2][]*bench.Result{a, b}
	both, v, err := collect(sides)
	if err != nil {
		return nil, err
	}
	if both[0].blocks == 0 || both[1].blocks == 0 {
		return nil, errors.New("bench: a side has no whole interval that was measured")
	}
	c := &Comparison{
		Method: method, Confidence: o.Confidence, Resamples: o.Resamples, Seed: o.Seed,
		Runs: [2]int{len(a), len(b)}, Blocks: [2]int{both[0].blocks, both[1].blocks}, Notes: comparable(sides),
	}
	if len(a) == 1 || len(b) == 1 {
		c.Notes = append(c.Notes, "one run on a side: what differs from run to run is not seen; several, A and B in turn, are better")
	}
	c.fill(&both, &v)
	return c, nil
}

// fill fills in the metrics.
func (c *Comparison) fill(both *[2]sample, v *values) {
	d := drawing{v: v, counts: make([]int64, len(v.all)), runs: c.Runs[0] > 1 && c.Runs[1] > 1}
	wider := widening(c.Runs[0], c.Runs[1], c.Confidence)
	var is [2][]float64
	for s := range both {
		is[s] = d.of(&both[s], nil)
	}
	differences := make([][]float64, len(measures))
	rnd := rand.New(rand.NewPCG(c.Seed, 0x48656464))
	for range c.Resamples {
		was, now := d.of(&both[0], rnd), d.of(&both[1], rnd)
		for i := range measures {
			differences[i] = append(differences[i], now[i]-was[i])
		}
	}
	for i, m := range measures {
		x := Metric{Name: m.name, Unit: m.unit, A: is[0][i], B: is[1][i]}
		x.judge(differences[i], c.Confidence, wider, m.unit == unitRate)
		if why := tooLittle(both, m.percentile); why != "" {
			x.Verdict, x.Why, x.Low, x.High = Unknown, why, nil, nil
		}
		c.Metrics = append(c.Metrics, x)
	}
}

// tooLittle says why nothing can be said of a metric; "": something can.
func tooLittle(both *[2]sample, percentile float64) string {
	for s := range both {
		if both[s].blocks < minBlocks {
			return fmt.Sprintf("%c has %d blocks of intervals; %d are needed", 'A'+s, both[s].blocks, minBlocks)
		}
		answers := 0.0
		for _, run := range both[s].runs {
			for i := range run {
				answers += run[i].answers
			}
		}
		if percentile > 0 && answers*(100-percentile) < 100*minBeyond*(1-1e-9) {
			return fmt.Sprintf("%c has too few answers beyond it", 'A'+s)
		}
	}
	return ""
}

// judge fills in what the differences of drawings say.
func (m *Metric) judge(differences []float64, confidence, wider float64, moreIsBetter bool) {
	slices.Sort(differences)
	d := m.B - m.A
	at := func(q float64) float64 {
		return d + wider*(differences[min(int(q*float64(len(differences))), len(differences)-1)]-d)
	}
	low, high := at((1-confidence)/2), at((1+confidence)/2)
	small := false
	if m.A > 0 {
		relative := func(x float64) *float64 { x = max(x/m.A, -1); return &x } // nothing falls below 0
		m.Change, m.Low, m.High = relative(d), relative(low), relative(high)
		small = math.Abs(*m.Change) < minChange
	}
	switch {
	case low <= 0 && high >= 0:
		m.Verdict = Noise
	case small:
		m.Verdict = Same
	case (d > 0) == moreIsBetter:
		m.Verdict = Better
	default:
		m.Verdict = Worse
	}
}

// A drawing is one sample out of a sample.
type drawing struct {
	v      *values
	counts []int64 // by value
	weight []int64 // of a run's blocks
	runs   bool    // are drawn, too
}

// of returns the measures of what is drawn of s with rnd; nil: of s as it is.
func (d *drawing) of(s *sample, rnd *rand.Rand) []float64 {
	clear(d.counts)
	var sum block
	take := func(b *block, times int64) {
		f := float64(times)
		sum.seconds += f * b.seconds
		sum.requests += f * b.requests
		sum.answers += f * b.answers
		sum.errors += f * b.errors
		sum.sum += f * b.sum
		for _, c := range b.cells {
			d.counts[c.index] += times * c.n
		}
	}
	for r := range s.runs {
		run := s.runs[r]
		if rnd == nil {
			for i := range run {
				take(&run[i], 1)
			}
			continue
		}
		if d.runs {
			run = s.runs[rnd.IntN(len(s.runs))]
		}
		if len(run) == 0 {
			continue
		}
		d.weight = append(d.weight[:0], make([]int64, len(run))...)
		for range run {
			d.weight[rnd.IntN(len(run))]++
		}
		for i, times := range d.weight {
			if times > 0 {
				take(&run[i], times)
			}
		}
	}
	out := make([]float64, len(measures))
	var below, next float64
	at := 0 // the value that below counts up to
	for i, m := range measures {
		switch {
		case m.name == "rate":
			out[i] = sum.answers / max(sum.seconds, 1e-9)
		case m.name == "errors":
			out[i] = sum.errors / max(sum.requests, 1)
		case sum.answers == 0:
		case m.name == "mean":
			out[i] = sum.sum / sum.answers
		default: // ascending
			for next = math.Ceil(m.percentile / 100 * sum.answers); at < len(d.counts) && below+float64(d.counts[at]) < next; at++ {
				below += float64(d.counts[at])
			}
			out[i] = float64(d.v.all[min(at, len(d.counts)-1)])
		}
	}
	return out
}

// Regressions names the metrics that are worse by more than most, a share, and not
// by chance. If nothing can be said of any it says so: that is not good enough.
func (c *Comparison) Regressions(most float64) (list []string) {
	known := false
	for i := range c.Metrics {
		m := &c.Metrics[i]
		known = known || m.Verdict != Unknown
		if m.Verdict == Worse && (m.Change == nil || math.Abs(*m.Change) > most) {
			list = append(list, fmt.Sprintf("%s is worse: %s, was %s%s", m.Name, m.value(m.B), m.value(m.A), m.changed()))
		}
	}
	if !known {
		list = append(list, "nothing can be told: "+c.Metrics[0].Why)
	}
	return list
}

// value is x as a person reads it.
func (m *Metric) value(x float64) string {
	switch m.Unit {
	case unitTime:
		return duration(time.Duration(x))
	case unitRate:
		return digits(x) + "/s"
	}
	return digits(100*x) + " %"
}

func (m *Metric) changed() string {
	if m.Change == nil {
		return ""
	}
	return " (" + signed(*m.Change) + ")"
}

// signed is a share as a change.
func signed(x float64) string {
	s := fmt.Sprintf("%+.1f %%", 100*x)
	if s == "-0.0 %" {
		s = "+0.0 %"
	}
	return s
}

// Text writes what a person reads.
func (c *Comparison) Text(to io.Writer) error {
	var b strings.Builder
	runs := func(s int) string {
		if c.Runs[s] == 1 {
			return "1 run"
		}
		return fmt.Sprintf("%d runs", c.Runs[s])
	}
	fmt.Fprintf(&b, "A: %s, %d blocks of intervals; B: %s, %d\n", runs(0), c.Blocks[0], runs(1), c.Blocks[1])
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	b.WriteString("\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\tA\tB\tchange\t%s %% sure: from\tto\t\n", digits(100*c.Confidence))
	for i := range c.Metrics {
		m := &c.Metrics[i]
		change, low, high := "-", "-", "-"
		if m.Change != nil {
			change = signed(*m.Change)
		}
		if m.Low != nil {
			low, high = signed(*m.Low), signed(*m.High)
		}
		word := m.Verdict
		if m.Why != "" {
			word += ": " + m.Why
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.value(m.A), m.value(m.B), change, low, high, word)
	}
	_ = w.Flush() // into memory
	b.WriteString("\n" + c.conclusion() + "\n")
	_, err := io.WriteString(to, b.String())
	return err
}

// conclusion is the whole in a sentence.
func (c *Comparison) conclusion() string {
	by := make(map[string][]string)
	for i := range c.Metrics {
		by[c.Metrics[i].Verdict] = append(by[c.Metrics[i].Verdict], c.Metrics[i].Name)
	}
	var parts []string
	for _, v := range []string{Worse, Better} {
		if len(by[v]) > 0 {
			parts = append(parts, "B is "+v+" in "+strings.Join(by[v], ", "))
		}
	}
	if len(parts) == 0 {
		if len(by[Unknown]) == len(c.Metrics) {
			return "Nothing can be told."
		}
		return "No difference that is more than noise."
	}
	s := strings.Join(parts, "; ")
	if len(by[Noise]) > 0 {
		s += "; the rest is noise or less than 1 %"
	}
	return s + "."
}

// JSON writes c.
func (c *Comparison) JSON(to io.Writer) error {
	e := json.NewEncoder(to)
	e.SetIndent("", " ")
	return e.Encode(c)
}
