package report

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

func compare(t testing.TB, a, b []*bench.Result, o CompareOptions) *Comparison {
	t.Helper()
	c, err := Compare(a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Comparison) metric(t testing.TB, name string) Metric {
	t.Helper()
	for _, m := range c.Metrics {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no %s in %s", name, jsonOf(c))
	return Metric{}
}

func one(r *bench.Result) []*bench.Result { return []*bench.Result{r} }

// TestCompareKnown: latencies that are 20 % longer, on average, are found to be so
// in each percentile, and the other way round to be better.
func TestCompareKnown(t *testing.T) {
	base := made{intervals: 40, rate: 500, mean: 5 * time.Millisecond, drift: 0.05, seed: 1}
	slow := base
	slow.mean, slow.seed = 6*time.Millisecond, 2
	a, b := base.result(t), slow.result(t)
	c := compare(t, one(a), one(b), CompareOptions{})
	for _, name := range []string{"mean", "p50", "p90", "p99"} {
		m := c.metric(t, name)
		if m.Verdict != Worse || *m.Low <= 0 || *m.Low > 0.2 || *m.High < 0.2 || math.Abs(*m.Change-0.2) > 0.06 {
			t.Errorf("%s: %s", name, jsonOf(m))
		}
	}
	if p := c.metric(t, "p50"); math.Abs(p.A/float64(a.Latency.P50)-1) > 0.002 {
		t.Errorf("p50 of A: got %v, the run says %v", p.A, a.Latency.P50)
	}
	if p := c.metric(t, "mean"); math.Abs(p.B/float64(b.Latency.Mean)-1) > 0.002 {
		t.Errorf("mean of B: got %v, the run says %v", p.B, b.Latency.Mean)
	}
	if m := c.metric(t, "rate"); m.Verdict != Noise || m.A != 500 {
		t.Errorf("rate: %s", jsonOf(m))
	}
	if m := c.metric(t, "p99.9"); m.Verdict == Unknown {
		t.Errorf("p99.9 of 20,000: %s", jsonOf(m))
	}
	if list := c.Regressions(0.05); len(list) < 4 || !strings.HasPrefix(list[0], "mean is worse: ") {
		t.Errorf("above 5 %%: %q", list)
	}
	if list := c.Regressions(0.5); len(list) != 0 {
		t.Errorf("above 50 %%: %q", list)
	}
	c = compare(t, one(b), one(a), CompareOptions{})
	if m := c.metric(t, "p99"); m.Verdict != Better || len(c.Regressions(0)) != 0 {
		t.Errorf("the other way round: %s, %q", jsonOf(m), c.Regressions(0))
	}
}

// grid has values a hundredth apart, for samples that are made without histograms.
func grid() *values {
	v := &values{}
	for x := 1e5; x < 1e9; x *= 1.01 {
		v.all = append(v.all, int64(x))
	}
	return v
}

// drawRun is a run of exponential latencies in blocks, the means of which vary.
func drawRun(rnd *rand.Rand, v *values, blocks, rate int, mean, drift float64) (run []block) {
	for range blocks {
		b := block{seconds: 1, requests: float64(rate), answers: float64(rate)}
		mean := mean * math.Exp(drift*rnd.NormFloat64())
		for range rate {
			x := mean/2 + rnd.ExpFloat64()*mean/2
			i, _ := slices.BinarySearch(v.all, int64(x))
			b.cells = append(b.cells, cell{int32(min(i, len(v.all)-1)), 1})
			b.sum += x
		}
		run = append(run, b)
	}
	return run
}

// compared is what Compare finds in samples.
func compared(both [2]sample, v *values, seed uint64) *Comparison {
	c := &Comparison{Confidence: 0.95, Resamples: 400, Seed: seed}
	for s := range both {
		c.Runs[s] = len(both[s].runs)
		for _, run := range both[s].runs {
			both[s].blocks += len(run)
		}
		c.Blocks[s] = both[s].blocks
	}
	c.fill(&both, v)
	return c
}

// TestCompareAlike: of runs that are alike it says so, but for about the one in
// twenty that it owns up to.
func TestCompareAlike(t *testing.T) {
	const pairs = 60
	wrong := make(map[string]int)
	rnd, v := rand.New(rand.NewPCG(1, 1)), grid()
	for i := range uint64(pairs) {
		one := func() sample { return sample{runs: [][]block{drawRun(rnd, v, 20, 50, 5e6, 0.2)}} }
		for _, m := range compared([2]sample{one(), one()}, v, i+1).Metrics {
			if m.Verdict == Worse || m.Verdict == Better {
				wrong[m.Name]++
			}
		}
	}
	for name, n := range wrong {
		if n > pairs/6 { // of 60 with a chance of 0.05, more than 10 have one of 1:4000
			t.Errorf("%s: %d of %d pairs are said to differ", name, n, pairs)
		}
	}
	r := made{intervals: 24, rate: 60, mean: 5 * time.Millisecond, seed: 5}.result(t)
	for _, m := range compare(t, one(r), one(r), CompareOptions{}).Metrics {
		if m.Verdict != Noise && m.Verdict != Unknown || m.A != m.B {
			t.Errorf("with itself: %s", jsonOf(m))
		}
	}
}

// TestCompareRuns: what differs from run to run is no difference between A and B,
// though most single pairs would have it so.
func TestCompareRuns(t *testing.T) {
	const rounds = 30
	rnd, v := rand.New(rand.NewPCG(3, 3)), grid()
	wrong, single := 0, 0
	for i := range uint64(rounds) {
		var both, first [2]sample
		for j := range 6 {
			both[j%2].runs = append(both[j%2].runs, drawRun(rnd, v, 10, 100, 5e6*math.Exp(0.15*rnd.NormFloat64()), 0))
		}
		for s := range first {
			first[s].runs = both[s].runs[:1]
		}
		verdict := func(c *Comparison) string { m := c.metric(t, "p50"); return m.Verdict }
		c := compared(both, v, i+1)
		if c.Runs != [2]int{3, 3} || c.Blocks != [2]int{30, 30} {
			t.Fatal(jsonOf(c))
		}
		if verdict(c) != Noise {
			wrong++
		}
		if verdict(compared(first, v, i+1)) != Noise {
			single++
		}
	}
	if wrong > 5 { // with a chance of 0.05, one of 1:300
		t.Errorf("%d of %d threes are said to differ", wrong, rounds)
	}
	if single < rounds/2 {
		t.Errorf("%d of %d single pairs differ; the test shows nothing", single, rounds)
	}
	var both [2]sample
	for j := range 6 {
		both[j%2].runs = append(both[j%2].runs, drawRun(rnd, v, 10, 100, float64(5+j%2)*1e6, 0))
	}
	if m := compared(both, v, 1).metric(t, "p50"); m.Verdict != Worse {
		t.Errorf("20 %% in each of three: %s", jsonOf(m))
	}
}

// TestStudent: against the tables.
func TestStudent(t *testing.T) {
	for _, v := range []struct {
		p    float64
		df   int
		want float64
	}{{0.95, 1, 12.706}, {0.95, 2, 4.303}, {0.95, 3, 3.182}, {0.95, 6, 2.447}, {0.99, 5, 4.032}, {0.9, 10, 1.812}, {0.95, 38, 2.024}} {
		if got := student(v.p, v.df); math.Abs(got-v.want) > 0.001 {
			t.Errorf("%v of %d: got %v, want %v", v.p, v.df, got, v.want)
		}
	}
	if got := widening(4, 4, 0.95); math.Abs(got-1.4416) > 0.001 || widening(1, 9, 0.95) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestCompareErrors(t *testing.T) {
	good := made{intervals: 20, rate: 100, mean: time.Millisecond, seed: 1}
	bad := good
	bad.errors, bad.seed = 3, 2
	a, b := good.result(t), bad.result(t)
	m := compare(t, one(a), one(b), CompareOptions{}).metric(t, "errors")
	if m.Verdict != Worse || m.Change != nil || m.A != 0 || math.Abs(m.B-3.0/103) > 1e-9 {
		t.Errorf("got %s", jsonOf(m))
	}
	if list := compare(t, one(a), one(b), CompareOptions{}).Regressions(0.5); len(list) != 1 || !strings.HasPrefix(list[0], "errors is worse: 2.91 %, was 0 %") {
		t.Errorf("got %q", list)
	}
}

// TestCompareSame: nothing rests on chance; the text and the JSON say it.
func TestCompareSame(t *testing.T) {
	a := made{intervals: 20, rate: 100, mean: time.Millisecond, drift: 0.1, seed: 1}.result(t)
	b := made{intervals: 20, rate: 100, mean: 2 * time.Millisecond, drift: 0.1, seed: 2}.result(t)
	c := compare(t, one(a), one(b), CompareOptions{})
	if again := compare(t, one(a), one(b), CompareOptions{}); !reflect.DeepEqual(c, again) {
		t.Errorf("got %s, then %s", jsonOf(c), jsonOf(again))
	}
	if other := compare(t, one(a), one(b), CompareOptions{Seed: 2}); reflect.DeepEqual(c.Metrics, other.Metrics) {
		t.Error("another seed draws the same")
	}
	var text, raw strings.Builder
	if err := errors.Join(c.Text(&text), c.JSON(&raw)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A: 1 run, 20 blocks of intervals; B: 1 run, 20\n", "note: one run on a side", "95 % sure", "worse\n", "noise\n", "unknown: A has too few answers beyond it\n", "B is worse in mean, p50, p90, p99; the rest is noise"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	var back Comparison
	if err := json.Unmarshal([]byte(raw.String()), &back); err != nil || !reflect.DeepEqual(&back, c) {
		t.Errorf("%v in %s", err, &raw)
	}
}

// TestCompareLittle: what is too little is said to be, and does not pass for good.
func TestCompareLittle(t *testing.T) {
	m := made{intervals: 7, rate: 100, mean: time.Millisecond, seed: 1}
	r := m.result(t)
	c := compare(t, one(r), one(r), CompareOptions{})
	if m := c.metric(t, "rate"); m.Verdict != Unknown || m.Low != nil {
		t.Errorf("got %s", jsonOf(m))
	}
	if list := c.Regressions(0.05); len(list) != 1 || !strings.Contains(list[0], "nothing can be told: A has 7 blocks") {
		t.Errorf("got %q", list)
	}
	m.intervals = 0
	if _, err := Compare(one(r), one(m.result(t)), CompareOptions{}); err == nil {
		t.Error("with a run of nothing")
	}
	for _, o := range []CompareOptions{{Confidence: 2}, {Confidence: math.NaN()}, {Resamples: 1}, {Resamples: 1 << 30}} {
		if _, err := Compare(one(r), one(r), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if _, err := Compare(nil, one(r), CompareOptions{}); err == nil {
		t.Error("without a run")
	}
	r.Intervals[3].Histogram = ""
	if _, err := Compare(one(r), one(r), CompareOptions{}); !errors.Is(err, ErrNotKept) {
		t.Errorf("without a histogram: %v", err)
	}
}

// TestCompareNotes: what makes a comparison of other things than the server is said.
func TestCompareNotes(t *testing.T) {
	a := made{intervals: 20, rate: 100, mean: time.Millisecond, seed: 1}.result(t)
	b := made{intervals: 20, rate: 100, mean: time.Millisecond, seed: 2}.result(t)
	b.Model.Conns, b.Names, b.Cut, b.Own.Share = 11, []string{"POST /"}, true, 0.99
	notes := strings.Join(compare(t, one(a), one(b), CompareOptions{}).Notes, "\n")
	for _, want := range []string{"B1 had another model", "B1 sent other requests", "B1 was cut short", "B1: the generator used 99 %"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
}

// BenchmarkCompare: two runs of a minute.
func BenchmarkCompare(b *testing.B) {
	r := made{intervals: 60, rate: 20_000, mean: time.Millisecond, drift: 0.1, seed: 1}.result(b)
	for b.Loop() {
		compare(b, one(r), one(r), CompareOptions{})
	}
}
