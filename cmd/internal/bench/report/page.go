package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Limits of what a page lists; charts have all.
const (
	shownNames = 20
	shownKinds = 20
	closeFlags = 4 // percent of a chart's width within which flags have one number
)

// A page is what the template is given.
type page struct {
	Target, Names    string
	Started, Lasted  string
	Model            string
	How              string // the target was asked, if that is worth saying
	Verdict          string // whether coordinated omission can hide anything
	Hides            bool   // it can
	Warnings         []string
	Tiles            []tile
	Over             []chart // over time
	Spread           chart   // the distribution
	Percentiles      []tile
	Counts, Own      []tile
	Errors, Statuses []bar
	Marks            []row
	MarksDropped     uint64
	Compact          bool // several intervals in a bin
}

// A tile is a number with its name.
type tile struct {
	Name, Value, Note string
	Bad               bool
}

// A bar is a number beside others of its kind.
type bar struct {
	Name, Value string
	Width       float64 // percent of the longest
}

// A row is a mark in the table.
type row struct {
	N              int
	At, Kind, Text string
}

// Page writes r as one HTML file that needs no other.
func Page(to io.Writer, r *bench.Result) error {
	p, err := newPage(r)
	if err != nil {
		return err
	}
	return pageTemplate.Execute(to, p)
}

func newPage(r *bench.Result) (*page, error) {
	h, err := r.Distribution()
	if err != nil {
		return nil, err
	}
	title, verdict, _ := strings.Cut(r.Title(), "\n")
	p := &page{
		Target: r.Target.Name(), Names: listed(r.Names), Started: r.Started.Format("2006-01-02 15:04:05 -0700"), Lasted: moment(r.End()),
		Model: title, How: r.Target.Note(), Verdict: strings.TrimSpace(verdict), Hides: r.Model.Kind != bench.Open || r.Unsent > 0,
		Warnings: r.Warnings(), MarksDropped: r.MarksDropped,
	}
	p.numbers(r)
	p.Errors = bars(r.Kinds)
	statuses := make(map[string]uint64)
	for s, n := range r.Statuses {
		statuses[strconv.Itoa(s)] = n
	}
	p.Statuses = bars(statuses)
	for i, m := range r.Marks {
		p.Marks = append(p.Marks, row{i + 1, moment(m.At), m.Kind, m.Text})
	}
	p.overTime(r)
	p.Spread = spread(distributionOf(h))
	return p, nil
}

// numbers fills in what is no chart.
func (p *page) numbers(r *bench.Result) {
	l, o := &r.Latency, &r.Own
	known := func(d time.Duration) string {
		if l.Count == 0 {
			return "–"
		}
		return duration(d)
	}
	over := "over " + moment(r.Measured)
	if r.Warmup > 0 {
		over += fmt.Sprintf(", after %s of warm-up that do not count", moment(r.Warmup))
	}
	if r.Cut {
		over += "; cut short"
	}
	p.Tiles = []tile{
		{"answers a second", grouped(r.Rate), over, false},
		{"p50", known(l.P50), "half of the answers came sooner", false},
		{"p99", known(l.P99), "one in a hundred took longer", false},
		{"maximum", known(l.Max), "", false},
		{"errors", count(r.Errors), "of " + count(r.Requests) + " requests", r.Errors > 0},
		{"lost", count(r.Lost), "never answered whole", r.Lost > 0},
	}
	for _, x := range []struct {
		name string
		d    time.Duration
	}{{"least", l.Min}, {"mean", l.Mean}, {"deviation", l.Stdev}, {"p50", l.P50}, {"p75", l.P75}, {"p90", l.P90}, {"p95", l.P95}, {"p99", l.P99}, {"p99.9", l.P999}, {"p99.99", l.P9999}, {"most", l.Max}} {
		p.Percentiles = append(p.Percentiles, tile{Name: x.name, Value: known(x.d)})
	}
	for _, x := range []struct {
		name string
		n    uint64
		note string
		bad  bool
	}{
		{"sent", r.Requests, "", false},
		{"answered", r.Answered, "whole, and in time", false},
		{"late", r.Late, "after the time-out", true},
		{"lost", r.Lost, "never answered whole", true},
		{"unfinished", r.Unfinished, "waited for when the run was cut short", false},
		{"unsent", r.Unsent, "due, but no connection was free", true},
		{"duplicated", r.Duplicated, "further answers to a request", true},
		{"stray", r.Stray, "answers to nothing outstanding", true},
		{"reordered", r.Reordered, "before that of an earlier request", true},
		{"connections", r.Connected, "made", false},
		{"bytes", r.Bytes, "of bodies", false},
		{"warm-up", r.WarmupCounts.Requests, "requests that do not count", false},
	} {
		p.Counts = append(p.Counts, tile{x.name, count(x.n), x.note, x.bad && x.n > 0})
	}
	p.Own = []tile{
		{"CPU", digits(100*o.Share) + " %", "of one processor", false},
		{"CPU a request", duration(o.PerSent), "", false},
		{"loop lag", duration(o.Lag.P99), "p99; most " + duration(o.Lag.Max), false},
	}
	if r.Model.Kind == bench.Open {
		p.Own = append(p.Own,
			tile{"lateness", duration(o.Late.P50), "p50, behind the schedule", false},
			tile{"", duration(o.Late.P99), "p99", false},
			tile{"", duration(o.Late.P999), "p99.9; most " + duration(o.Late.Max), false})
	}
}

// overTime makes the charts whose axis is the run's time.
func (p *page) overTime(r *bench.Result) {
	bins, each := binned(r.Intervals)
	p.Compact = each > 1
	end := max(r.End(), 1)
	worst := ""
	if each > 1 {
		worst = fmt.Sprintf("; each step is the worst of %d intervals", each)
	}
	base := chart{X: timeTicks(end), Warm: 100 * along(r.Warmup, end)}
	for _, m := range r.Marks {
		f := flag{At: 100 * along(m.At, end), Class: "mark", Text: moment(m.At) + ": " + m.Text}
		if m.Kind == "died" || m.Kind == "failed" {
			f.Class = "mark bad"
		}
		base.Flags = append(base.Flags, f)
	}
	number(base.Flags)
	for i := range bins {
		b := &bins[i]
		text := fmt.Sprintf("%s: %s answers/s, %d errors, %d in flight", moment(b.start), grouped(b.perSecond(b.answers)), b.errors, b.inFlight)
		if b.p50 > 0 {
			text += fmt.Sprintf("; p50 %s, p90 %s, p99 %s, most %s", duration(b.p50), duration(b.p90), duration(b.p99), duration(b.max))
		}
		base.Hits = append(base.Hits, hit{side * along(b.start, end), side * along(b.length, end), text})
	}
	line := func(name, class string, y axis, value func(*bin) float64) series {
		return series{name, class, steps(bins, end, y, value)}
	}
	most := func(values ...func(*bin) float64) (m float64) {
		for i := range bins {
			for _, v := range values {
				m = max(m, v(&bins[i]))
			}
		}
		return m
	}

	rate := base
	rate.ID, rate.Title, rate.Note = "rate", "Rate", "a second"
	whole := func(b *bin, n uint64) float64 {
		if 2*b.length < bins[0].length {
			return -1 // the rest of the last interval, in which nothing was sent
		}
		return b.perSecond(n)
	}
	sent, came := func(b *bin) float64 { return whole(b, b.requests) }, func(b *bin) float64 { return whole(b, b.answers) }
	due := func(b *bin) float64 {
		if b.length <= 0 || 2*b.length < bins[0].length || r.Model.Kind != bench.Open {
			return -1
		}
		return (scheduled(r.Model.Stages, b.start+b.length) - scheduled(r.Model.Stages, b.start)) / b.length.Seconds()
	}
	y, ticks := fromZero(most(due, sent, came), grouped)
	rate.Y = ticks
	rate.Series = []series{line("requests sent", "s2", y, sent), line("answers", "s1", y, came)}
	if r.Model.Kind == bench.Open {
		rate.Series = append([]series{line("requests due", "s3", y, due)}, rate.Series...)
	}

	latency := base
	latency.ID, latency.Title, latency.Note = "latency", "Latency", "logarithmic"+worst
	y, latency.Y = logTimes(extent(bins))
	for _, s := range []struct {
		name, class string
		of          func(*bin) time.Duration
	}{
		{"maximum", "s4", func(b *bin) time.Duration { return b.max }}, {"p99", "s3", func(b *bin) time.Duration { return b.p99 }},
		{"p90", "s2", func(b *bin) time.Duration { return b.p90 }}, {"p50", "s1", func(b *bin) time.Duration { return b.p50 }},
	} {
		latency.Series = append(latency.Series, line(s.name, s.class, y, func(b *bin) float64 { return b.known(s.of(b)) }))
	}

	errors := base
	errors.ID, errors.Title, errors.Note = "errors", "Errors", "a second"
	failed := func(b *bin) float64 {
		return (&bin{length: max(b.length, r.Intervals[0].Length)}).perSecond(b.errors) // the rest of the last interval is no peak
	}
	y, errors.Y = fromZero(most(failed), grouped)
	errors.Series = []series{line("errors", "s4", y, failed)}

	flight := base
	flight.ID, flight.Title, flight.Note = "flight", "Requests in flight", "at an interval's end"
	waits := func(b *bin) float64 { return float64(b.inFlight) }
	y, flight.Y = fromZero(most(waits), grouped)
	flight.Series = []series{line("in flight", "s1", y, waits)}
	p.Over = []chart{rate, latency, errors, flight}
}

// number gives flags their numbers, one for several that stand close.
func number(flags []flag) {
	for i := 0; i < len(flags); {
		last := i
		for last+1 < len(flags) && flags[last+1].At-flags[i].At < closeFlags {
			last++
		}
		flags[i].N = strconv.Itoa(i + 1)
		if last > i {
			flags[i].N += "–" + strconv.Itoa(last+1)
		}
		i = last + 1
	}
}

// bars are counts by name, the greatest first.
func bars(m map[string]uint64) (list []bar) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case m[a] > m[b]:
			return -1
		case m[a] < m[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		if i == shownKinds {
			return append(list, bar{Name: fmt.Sprintf("and %d more", len(names)-i)})
		}
		list = append(list, bar{name, count(m[name]), 100 * float64(m[name]) / math.Max(float64(m[names[0]]), 1)})
	}
	return list
}

// listed are names with commas between.
func listed(names []string) string {
	if len(names) > shownNames {
		return strings.Join(names[:shownNames], ", ") + fmt.Sprintf(" and %d more", len(names)-shownNames)
	}
	return strings.Join(names, ", ")
}
