package bench

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sample is a run that has some of everything.
func sample(t *testing.T) *Result {
	n := 0
	s := &sim{serve: func(c *simConn, _, id string) {
		switch n++; n % 50 {
		case 0:
			c.reset(0)
		case 1:
			c.reply(time.Millisecond, ok(id)+ok(id))
		default:
			c.reply(10*time.Millisecond, ok(id))
		}
	}}
	return simulate(t, s, Options{Conns: 60, Pace: mustPace(t, "2s:500,2s:500-1000", true, 9), Warmup: time.Second}, 0)
}

// TestSaved: what was written is read as it was, and the distribution with it.
func TestSaved(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	got, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, want %+v", got, r)
	}
	h, err := got.Distribution()
	if err != nil {
		t.Fatal(err)
	}
	if summary(h) != r.Latency {
		t.Errorf("the distribution says %+v, the result %+v", summary(h), r.Latency)
	}
	var promised struct {
		Requests, Errors, Lost, Duplicated uint64
		Rate                               float64
		Latency                            map[string]float64
	}
	if err := json.Unmarshal([]byte(text), &promised); err != nil {
		t.Fatal(err)
	}
	if promised.Requests != r.Requests || promised.Errors != r.Errors || promised.Lost != r.Lost || promised.Duplicated != r.Duplicated ||
		promised.Rate != r.Rate || promised.Latency["p99"] != float64(r.Latency.P99) || promised.Duplicated == 0 || promised.Lost == 0 {
		t.Errorf("the JSON that scripts rely on is %+v", promised)
	}
	times := strings.NewReplacer(`"start_ns": 0`, `"start_ns": -1`).Replace(text)
	big, err := encode(hdrhistogram.New(1, math.MaxInt64, 5))
	if err != nil {
		t.Fatal(err)
	}
	with := func(from, to string) string {
		if !strings.Contains(text, from) {
			t.Fatalf("no %s in the result", from)
		}
		return strings.Replace(text, from, to, 1)
	}
	many := func(list, member string, n int) string {
		return with(`"version": 1,`, `"version": 1, "`+list+`": [`+strings.Repeat(member+",", n)+member+`],`)
	}
	for what, bad := range map[string]string{
		"too many intervals": many("intervals", "{}", maxIntervals), "too many names": many("names", `""`, maxIntervals), "too many nulls": many("marks", "null", maxIntervals),
		"lists in lists": many("x", strings.Repeat("[", 100)+strings.Repeat("]", 100), 1), "members without an end": many("x", "["+strings.Repeat("1,", maxListed/2)+"1]", 100),
		"a model of no kind": with(`"kind": "open"`, `"kind": "open\nTag=x"`), "a histogram of lines": with(`"histogram": "`, `"histogram": "\n`),
		"a histogram of another kind": with(`"histogram": "`+r.Histogram, `"histogram": "`+big),
	} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: read as a result", what)
		}
	}
	for _, bad := range []string{times, "", "{}", "[]", `{"version": 99}`, `{"version": 1}`, `{"version": 1, "histogram": "aGVsbG8="}`} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: read as a result", bad)
		}
	}
}

func TestText(t *testing.T) {
	r := sample(t)
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"open model: 500/s for 2s, 500 to 1000/s for 2s, Poisson arrivals (seed 9)", "no coordinated omission", "after a warm-up of 1s", "p99.9", "reset", "duplicated"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	s := &sim{serve: func(c *simConn, _, id string) { c.reply(time.Second, ok(id)) }}
	r = simulate(t, s, Options{Duration: 3 * time.Second, Conns: 1}, 0)
	if title := r.Title(); !strings.Contains(title, "closed model: 1 connection,") || !strings.Contains(title, "coordinated omission is possible") {
		t.Errorf("got %q", title)
	}
}

// TestTextIsPlain: what a result holds reaches no terminal as an order.
func TestTextIsPlain(t *testing.T) {
	r := sample(t)
	r.Target.Host, r.Names[0], r.Kinds["\x1b[2J"] = "a\x1b]0;x\a\n  lost 0", "\r\x9b", 1
	r.Marks = []Mark{{Kind: "\x1b", Text: "a\tb"}}
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a\r\t\u009b") || !strings.Contains(b.String(), "a?]0;x??  lost 0 ") || !strings.Contains(b.String(), "meanwhile") {
		t.Errorf("got %q", &b)
	}
}

func TestCSV(t *testing.T) {
	r := sample(t)
	var b strings.Builder
	if err := r.CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(rows) != 1+len(r.Intervals) || len(rows) < 5 {
		t.Fatalf("got %d rows of %d intervals, %v", len(rows), len(r.Intervals), err)
	}
	if rows[0][0] != "start" || rows[1][2] != "true" || rows[2][0] != "1" || rows[2][2] != "false" {
		t.Errorf("got %q", rows[:3])
	}
}

// Histograms are kept only where intervals are long, and not too many.
func TestKeepsIntervals(t *testing.T) {
	for _, v := range []struct {
		o    Options
		want bool
	}{
		{Options{}, true}, {Options{Interval: 99 * time.Millisecond}, false}, {Options{Interval: 100 * time.Millisecond}, true},
		{Options{Duration: 3 * time.Hour}, false}, {Options{Duration: 3 * time.Hour, Interval: 2 * time.Second}, true},
	} {
		v.o.Target.Address = "x"
		if got := v.o.KeepsIntervals(); got != v.want {
			t.Errorf("%v of %v: got %v", v.o.Interval, v.o.Duration, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	r := &Result{Model: Model{Kind: Open}, Own: Own{Share: 0.99, Lag: Latency{P99: time.Second}, Late: Latency{P999: time.Second}}, Counts: Counts{Unsent: 5}}
	if w := r.Warnings(); len(w) != 4 {
		t.Errorf("got %q, want four", w)
	}
	for _, c := range []struct {
		counts Counts
		want   string // in the only warning; "": there is none
	}{
		{Counts{Answered: 9, Lost: 1}, "1 requests were lost"},
		{Counts{Answered: 9, Late: 1, Kinds: map[string]uint64{"status": 2, "error 42,7": 1, "body": 2, "refused": 90}}, "5 of 10 answers were errors"},
		{Counts{Answered: 10, Kinds: map[string]uint64{"status": 4, "reset": 9}}, ""},
	} {
		r := &Result{Counts: c.counts, Latency: Latency{Count: c.counts.Answered}}
		if w := strings.Join(r.Warnings(), "\n"); !strings.HasPrefix(w, c.want) || (w == "") != (c.want == "") {
			t.Errorf("%+v: warnings %q, want %q", c.counts, w, c.want)
		}
	}
	r = &Result{Model: Model{Kind: Closed, Conns: 100}, Counts: Counts{Answered: 5, Connected: 30}, WarmupCounts: Counts{Connected: 69}}
	if w := r.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "only 99 of 100 connections") {
		t.Errorf("got %q, want one, of connections", w)
	}
	if r.Connected++; len(r.Warnings()) != 0 {
		t.Errorf("got %q, want none", r.Warnings())
	}
	if w := new(Result).Warnings(); len(w) != 0 {
		t.Errorf("got %q, want none", w)
	}
}

func TestThresholds(t *testing.T) {
	r := &Result{Counts: Counts{Errors: 3, Lost: 2, Duplicated: 1}, Rate: 100, Latency: Latency{Count: 1, Mean: 1, P50: 10, P90: 20, P99: 30, P999: 40, Max: 50}}
	d := func(d time.Duration) *time.Duration { return &d }
	n := func(n uint64) *uint64 { return &n }
	f := func(f float64) *float64 { return &f }
	kept := Thresholds{d(1), d(10), d(20), d(30), d(40), d(50), n(3), n(2), n(1), f(100)}
	if list := kept.Failed(r); len(list) > 0 {
		t.Errorf("got %q, want none", list)
	}
	broken := Thresholds{d(0), d(9), d(19), d(29), d(39), d(49), n(2), n(1), n(0), f(100.5)}
	list := broken.Failed(r)
	for i, name := range []string{"max-mean", "max-p50", "max-p90", "max-p99", "max-p99.9", "max-latency", "max-errors", "max-lost", "max-duplicated", "min-rate"} {
		if i >= len(list) || !strings.HasPrefix(list[i], name+" ") {
			t.Errorf("%s is not named in %q", name, list)
		}
	}
	if list := (Thresholds{MaxP99: d(30)}).Failed(new(Result)); len(list) != 1 {
		t.Errorf("nothing answered: got %q", list)
	}
}
