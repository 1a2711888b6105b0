package report

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

func pageOf(t testing.TB, r *bench.Result) string {
	t.Helper()
	var b strings.Builder
	if err := Page(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage: what a reader looks for is there.
func TestPage(t *testing.T) {
	r := lively(t)
	text := pageOf(t, r)
	for _, want := range []string{
		"open model: 800/s for 30s, evenly spaced", "which hides what they would have waited", "the generator used 97 % of a processor",
		"a deploy of r2", "worker 1, pid 4711: killed by SIGKILL", "reset", "503", duration(r.Latency.P99), count(r.Requests), "after 3 s of warm-up",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	closed := *r
	closed.Model = bench.Model{Kind: bench.Closed, Conns: 3}
	if text := pageOf(t, &closed); !strings.Contains(text, `<p class="note">coordinated omission is possible`) {
		t.Errorf("the closed model's page does not warn")
	}
	slower := *r
	slower.Target.TLS, slower.Target.Protocol = true, "HTTP/2"
	if text, note := pageOf(t, &slower), slower.Target.Note(); note == "" || !strings.Contains(text, template.HTMLEscapeString(note)) {
		t.Errorf("nothing says %q", note)
	}
}

var outside = regexp.MustCompile(`(?i)(src|href|url|@import|action|data)\s*[=(:]\s*["']?\s*(https?:|//|/|\.)`)

// TestPageIsAlone: it names nothing outside of itself, and has no script.
func TestPageIsAlone(t *testing.T) {
	text := pageOf(t, lively(t))
	if m := outside.FindString(text); m != "" {
		t.Errorf("it asks for %q", m)
	}
	if strings.Contains(text, "<script") || !strings.Contains(text, `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"`) {
		t.Error("it has a script, or nothing that forbids one")
	}
}

// TestPageEscapes: whoever wrote what a result holds cannot write the page.
func TestPageEscapes(t *testing.T) {
	const evil = `</title></script><script>alert(1)</script><img src=x onerror=alert(1)>"'` + "`{{.}}"
	r := lively(t)
	r.Target.Host, r.Target.Path, r.Names = evil, evil, []string{evil, evil}
	r.Kinds = map[string]uint64{evil: 3}
	r.Model.Kind = evil
	r.Marks = []bench.Mark{{At: time.Second, Kind: evil, Text: evil}, {At: math.MinInt64, Kind: "died"}, {At: math.MaxInt64}}
	text := pageOf(t, r)
	for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", `="'`, "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	if n := strings.Count(text, "&lt;script&gt;"); n < 6 {
		t.Errorf("it is shown %d times", n)
	}
}

var oddNumber = regexp.MustCompile(`NaN|Inf|\d{9,}\.\d|-\d+(\.\d+)?%`)

// TestPageOfOddities: whatever a result holds, its page is one.
func TestPageOfOddities(t *testing.T) {
	empty := made{intervals: 0, seed: 1}.result(t)
	one := made{intervals: 1, rate: 1, mean: time.Millisecond, seed: 1}.result(t)
	long := made{intervals: 450, rate: 1, mean: time.Millisecond, drift: 1, seed: 1}.result(t)
	gap := made{intervals: 9, rate: 50, mean: time.Second, seed: 1}.result(t)
	gap.Intervals[4].Latency, gap.Intervals[4].Answers = bench.Latency{}, 0
	odd := made{intervals: 3, rate: 5, mean: time.Second, seed: 1}.result(t)
	odd.Intervals[0].Start, odd.Intervals[1].Length, odd.Intervals[2].Start = -time.Hour, -time.Hour, math.MaxInt64
	odd.Rate, odd.Own.Share, odd.Warmup = math.MaxFloat64, -1, -time.Hour
	odd.Latency.P50 = -1
	still := made{intervals: 2, rate: 5, mean: time.Second, seed: 1}.result(t)
	still.Intervals[0].Length, still.Intervals[1].Length = 0, 0
	many := made{intervals: 3, rate: 5, mean: time.Second, seed: 1}.result(t)
	for i := range 3000 {
		many.AddMark(many.Started.Add(time.Duration(i)*time.Millisecond), "began", fmt.Sprint("mark ", i))
		many.Kinds[fmt.Sprint("kind ", i)] = uint64(i)
		many.Names = append(many.Names, "GET /")
	}
	for name, r := range map[string]*bench.Result{"empty": empty, "one": one, "long": long, "gap": gap, "odd": odd, "still": still, "many": many} {
		text := pageOf(t, r)
		if len(text) > 700_000 {
			t.Errorf("%s: %d bytes", name, len(text))
		}
		_, body, _ := strings.Cut(text, "<body>")
		if m := oddNumber.FindString(body); m != "" {
			t.Errorf("%s: %q is in the page", name, m)
		}
		if strings.Count(text, "<path") != 10 {
			t.Errorf("%s: %d lines", name, strings.Count(text, "<path"))
		}
	}
	if paths := regexp.MustCompile(`class="s1" d="([^"]*)"`).FindAllStringSubmatch(pageOf(t, gap), -1); strings.Count(paths[1][1], "M") != 2 {
		t.Errorf("an interval without answers does not break the line: %s", paths[1][1])
	}
	r := made{intervals: 1, rate: 1, mean: time.Millisecond, seed: 1}.result(t)
	r.Histogram = "nonsense"
	if err := Page(new(strings.Builder), r); err == nil {
		t.Error("a page of a histogram that is none")
	}
}

// TestSpread: the line goes through the distribution's percentiles.
// TestRestIsNoPeak: time-outs in the last millisecond are not a hundred thousand errors a
// second.
func TestRestIsNoPeak(t *testing.T) {
	r := lively(t)
	last := r.Intervals[len(r.Intervals)-1]
	r.Intervals = append(r.Intervals, bench.Interval{Start: last.Start + last.Length, Length: time.Millisecond, Errors: 100})
	p, err := newPage(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Over {
		if top := c.Y[len(c.Y)-1].Label; c.ID == "errors" && top != "150" {
			t.Errorf("the axis of errors a second ends at %s, want 150", top)
		}
	}
}

// TestScheduled: what is due is the area below the rates, and none after their end.
func TestScheduled(t *testing.T) {
	stages := []bench.Stage{{Duration: 2 * time.Second, From: 100, To: 100}, {Duration: -1}, {Duration: 4 * time.Second, From: 0, To: 400}, {Duration: time.Second, From: -5, To: math.MaxFloat64}}
	for at, want := range map[time.Duration]float64{-1: 0, 0: 0, time.Second: 100, 2 * time.Second: 200, 4 * time.Second: 400, 6 * time.Second: 1000, time.Minute: 1000 + maxDue/2} {
		if got := scheduled(stages, at); math.Abs(got-want) > 1e-6 {
			t.Errorf("%v: got %v, want %v", at, got, want)
		}
	}
	r := lively(t)
	for _, kind := range []string{bench.Open, bench.Closed} {
		r.Model.Kind = kind
		if has := strings.Contains(pageOf(t, r), "requests due"); has != (kind == bench.Open) {
			t.Errorf("%s model: requests due in the page: %v", kind, has)
		}
	}
}

func TestSpread(t *testing.T) {
	var list []cumulated
	for i := range 1000 {
		list = append(list, cumulated{time.Duration(i+1) * time.Millisecond, int64(i + 1)})
	}
	c := spread(list)
	if len(c.X) != 4 || c.X[3].Label != "99.9 %" || c.X[3].At != 100 || c.X[2].Label != "99 %" {
		t.Errorf("ticks: %v", c.X)
	}
	y, _ := logTimes(time.Millisecond, time.Second)
	var x, h, last float64
	found := false
	for _, p := range regexp.MustCompile(`[ML]([0-9.]+) ([0-9.]+)`).FindAllStringSubmatch(c.Series[0].Path, -1) {
		_, _ = fmt.Sscan(p[1], &x)
		_, _ = fmt.Sscan(p[2], &h)
		if x < last {
			t.Errorf("it goes back to %v", x)
		}
		last = x
		if math.Abs(x-side*2/3) < 2 { // 99 % of three nines
			found = true
			if want := side * (1 - y.share(float64(991*time.Millisecond))); math.Abs(h-want) > 1 {
				t.Errorf("at 99 %%: got %v, want %v", h, want)
			}
		}
	}
	if !found || last != side {
		t.Errorf("no point at 99 %%, or it ends at %v", last)
	}
}

func TestAxes(t *testing.T) {
	flags := []flag{{At: 1}, {At: 2}, {At: 4.9}, {At: 5}, {At: 50}}
	number(flags)
	if flags[0].N != "1–3" || flags[1].N != "" || flags[2].N != "" || flags[3].N != "4" || flags[4].N != "5" {
		t.Errorf("flags: %v", flags)
	}
	a, ticks := fromZero(950, digits)
	if a.to != 1000 || len(ticks) < 3 || ticks[0].At != 100 || ticks[len(ticks)-1] != (tick{0, "1000"}) {
		t.Errorf("got %v, %v", a, ticks)
	}
	if a, ticks := fromZero(0, digits); a.to != 1 || len(ticks) != 2 {
		t.Errorf("of nothing: got %v, %v", a, ticks)
	}
	if _, ticks := logTimes(300*time.Microsecond, 2*time.Second); len(ticks) != 4 || ticks[0].Label != "1 ms" {
		t.Errorf("got %v", ticks)
	}
	if a, ticks := logTimes(time.Millisecond, time.Millisecond); math.Abs(a.share(1e6)-0.5) > 1e-9 || len(ticks) == 0 {
		t.Errorf("of one value: got %v, %v", a, ticks)
	}
	for _, end := range []time.Duration{1, time.Millisecond, time.Second, 30 * time.Second, time.Hour, 7 * 24 * time.Hour, 90 * 24 * time.Hour, math.MaxInt64} {
		if ticks := timeTicks(end); len(ticks) < 1 || len(ticks) > 8 || ticks[len(ticks)-1].At > 100 {
			t.Errorf("%v: %v", end, ticks)
		}
	}
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ns", 999: "999 ns", 1500: "1.5 µs", 12345 * time.Microsecond: "12.3 ms", 20 * time.Millisecond: "20 ms", 1234567 * time.Microsecond: "1.23 s", 3 * time.Minute: "3m0s"} {
		if got := duration(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", 1500 * time.Millisecond: "1.5 s", time.Minute: "1m", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", 125 * time.Minute: "2h5m", 20 * time.Minute: "20m"} {
		if got := moment(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0", 0.5: "0.5", 999.4: "999", 1000: "1\u2009000", 116536.4: "116\u2009536", 2e6: "2\u2009000\u2009000", 1e20: "1e+20"} {
		if got := grouped(f); got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
	}
	if got := count(1234567) + count(123); got != "1\u2009234\u2009567123" {
		t.Error(got)
	}
}
