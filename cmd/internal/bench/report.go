package bench

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Title says which model a run had, and whether coordinated omission can hide
// anything from it.
func (r *Result) Title() string {
	m := &r.Model
	conns := fmt.Sprintf("%d connections", m.Conns)
	if m.Conns == 1 {
		conns = "1 connection"
	}
	if m.Pipeline > 1 {
		conns += fmt.Sprintf(", up to %d requests outstanding on each", m.Pipeline)
	}
	if m.Reconnect {
		conns += ", a new one for each request"
	}
	if m.Kind == Closed {
		if m.Think > 0 {
			conns += fmt.Sprintf(", resting %v after each answer", m.Think)
		}
		return "closed model: " + conns + ", each sends when its answer has come\n" +
			"  coordinated omission is possible: a server that stalls is asked less meanwhile; latencies count from sending"
	}
	var stages []string
	for _, s := range m.Stages {
		rate := number(s.From)
		if s.To != s.From {
			rate += " to " + number(s.To)
		}
		stages = append(stages, fmt.Sprintf("%s/s for %v", rate, s.Duration))
	}
	const most = 6
	if len(stages) > most {
		stages = append(stages[:most], fmt.Sprintf("and %d more stages", len(stages)-most))
	}
	arrivals := "evenly spaced"
	if m.Poisson {
		arrivals = fmt.Sprintf("Poisson arrivals (seed %d)", m.Seed)
	}
	title := "open model: " + strings.Join(stages, ", ") + ", " + arrivals + ", on up to " + conns + "\n"
	if r.Unsent > 0 {
		return title + fmt.Sprintf("  latencies count from when a request should have left; the %d that were not sent have none, which hides what they would have waited", r.Unsent)
	}
	return title + "  no coordinated omission: latencies count from when a request should have left"
}

// Text writes what a person reads.
func (r *Result) Text(to io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { // of args texts are plain
		for i, a := range args {
			if s, ok := a.(string); ok {
				args[i] = plain(s)
			}
		}
		fmt.Fprintf(&b, format+"\n", args...)
	}
	line("%s %s", r.Target.Name(), strings.Join(r.Names[:min(len(r.Names), 5)], ", "))
	b.WriteString(r.Title() + "\n")
	if note := r.Target.Note(); note != "" {
		line("  %s", note)
	}
	over := fmt.Sprintf("measured over %v", short(r.Measured))
	if r.Warmup > 0 {
		over += fmt.Sprintf(", after a warm-up of %v with %d requests that do not count", r.Warmup, r.WarmupCounts.Requests)
	}
	if r.Cut {
		over += "; cut short"
	}
	line("%s\n", over)

	line("  requests   %d sent, %d answered, %d late, %d lost%s", r.Requests, r.Answered, r.Late, r.Lost, optional(", %d unfinished", r.Unfinished)+optional(", %d due but never sent", r.Unsent))
	line("  answers    %s/s; %d duplicated, %d stray, %d reordered; %s of bodies%s", number(r.Rate), r.Duplicated, r.Stray, r.Reordered, size(r.Bytes), perSecond(r.Bytes, r.Measured))
	line("  errors     %d%s", r.Errors, listed(r.Kinds))
	statuses := make(map[string]uint64)
	for status, n := range r.Statuses {
		statuses[strconv.Itoa(status)] = n
	}
	if len(statuses) > 0 {
		line("  statuses  %s", strings.TrimPrefix(listed(statuses), ":"))
	}
	line("  connected  %s%s\n", times(r.Connected), optional(", and %d in the warm-up", r.WarmupCounts.Connected))

	l := &r.Latency
	if l.Count == 0 {
		line("  latency    none: nothing was answered")
	} else {
		line("  latency    mean %v, standard deviation %v, least %v, most %v", short(l.Mean), short(l.Stdev), short(l.Min), short(l.Max))
		for _, p := range l.list() {
			if strings.HasPrefix(p.name, "p") {
				line("    %-8s %v", p.name, short(p.value))
			}
		}
	}
	r.events(line)
	o := &r.Own
	line("\n  generator  %.0f %% of one processor, %v of CPU a request, loop lag p99 %v, most %v", 100*o.Share, short(o.PerSent), short(o.Lag.P99), short(o.Lag.Max))
	if r.Model.Kind == Open {
		line("             sent after the schedule by p50 %v, p99 %v, p99.9 %v, most %v", short(o.Late.P50), short(o.Late.P99), short(o.Late.P999), short(o.Late.Max))
	}
	for _, w := range r.Warnings() {
		line("  warning: %s", w)
	}
	_, err := io.WriteString(to, b.String())
	return err
}

// plain is text on one line, without what a terminal would obey: a result that is read
// may hold anything.
func plain(text string) string { return withPrintable(text, '?') }

// withPrintable is text with another rune for each that cannot be printed.
func withPrintable(text string, other rune) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return other
	}, text)
}

// shownMarks is how many marks the text lists.
const shownMarks = 12

// events says what became of the server.
func (r *Result) events(line func(format string, args ...any)) {
	if len(r.Marks) == 0 {
		return
	}
	line("\n  meanwhile")
	for i, m := range r.Marks {
		if i == shownMarks {
			break
		}
		line("    %-8s %s: %s", short(m.At), m.Kind, m.Text)
	}
	if more := uint64(max(len(r.Marks)-shownMarks, 0)) + r.MarksDropped; more > 0 {
		line("    and %d more", more)
	}
}

// Where the generator is taken to have been in the way.
const (
	busyShare = 0.95                  // of one processor, all that a loop can use
	muchLag   = 10 * time.Millisecond // at p99
	muchLate  = time.Millisecond      // at p99.9
)

// Warnings are what a reader should know before he believes the numbers.
func (r *Result) Warnings() (list []string) {
	o := &r.Own
	switch threads := max(r.Model.Threads, 1); {
	case o.Share >= busyShare*float64(threads) && r.Target.Web():
		list = append(list, fmt.Sprintf("the generator used %.0f %% of a processor, most of it in net/http's client: the server may have lacked it", 100*o.Share))
	case o.Share >= busyShare*float64(threads):
		list = append(list, fmt.Sprintf("the generator used %.0f %% of a processor, with %d of its loops: it was the bottleneck, or close to it", 100*o.Share, threads))
	}
	loops := o.Loops
	if len(loops) == 0 {
		loops = []OwnLoop{{Late: o.Late, Lag: o.Lag}}
	}
	for i, l := range loops {
		which := ""
		if len(loops) > 1 {
			which = fmt.Sprintf(" (loop %d of %d)", i+1, len(loops))
		}
		if l.Lag.P99 >= muchLag {
			list = append(list, fmt.Sprintf("the generator's loop was late by %v at p99%s: latencies hold its own delays", short(l.Lag.P99), which))
		}
		if l.Late.P999 >= muchLate {
			list = append(list, fmt.Sprintf("requests left %v after the schedule at p99.9%s for reasons of the generator's machine", short(l.Late.P999), which))
		}
	}
	if r.Model.Kind == Open && r.Unsent > 0 {
		list = append(list, fmt.Sprintf("%d requests were due and never sent: the connections were too few, or the server too slow", r.Unsent))
	}
	if made := r.Connected + r.WarmupCounts.Connected; r.Answered > 0 && made < uint64(max(r.Model.Conns, 0)) {
		list = append(list, fmt.Sprintf("only %d of %d connections could be made: the errors say why", made, r.Model.Conns))
	}
	if r.Lost > 0 && r.Latency.Count > 0 {
		list = append(list, fmt.Sprintf("%d requests were lost: they have no latency, and the percentiles are those of the others", r.Lost))
	}
	if wrong, all := r.wrong(), r.Answered+r.Late; wrong > 0 && 2*wrong >= all {
		list = append(list, fmt.Sprintf("%d of %d answers were errors: the latencies and the rate are mostly theirs", wrong, all))
	}
	return list
}

// wrong is how many answers were not what was expected; an app's errors have kinds of
// their own.
func (r *Result) wrong() (n uint64) {
	for kind, count := range r.Kinds {
		if kind == KindStatus.String() || kind == KindBody.String() || strings.HasPrefix(kind, "error ") {
			n += count
		}
	}
	return n
}

type named struct {
	name  string
	value time.Duration
}

// list returns the values of l in order, by their names in JSON.
func (l *Latency) list() []named {
	return []named{{"min", l.Min}, {"mean", l.Mean}, {"stdev", l.Stdev}, {"p50", l.P50}, {"p75", l.P75}, {"p90", l.P90}, {"p95", l.P95}, {"p99", l.P99}, {"p99.9", l.P999}, {"p99.99", l.P9999}, {"max", l.Max}}
}

// CSV writes the intervals, times in seconds.
func (r *Result) CSV(to io.Writer) error {
	w := csv.NewWriter(to)
	head := []string{"start", "length", "warmup", "requests", "answers", "errors", "in_flight", "connections"}
	for _, p := range new(Latency).list() {
		head = append(head, p.name)
	}
	_ = w.Write(head) // Error tells
	for i := range r.Intervals {
		v := &r.Intervals[i]
		row := []string{
			seconds(v.Start), seconds(v.Length), strconv.FormatBool(v.Warmup),
			strconv.FormatUint(v.Requests, 10), strconv.FormatUint(v.Answers, 10), strconv.FormatUint(v.Errors, 10),
			strconv.Itoa(v.InFlight), strconv.Itoa(v.Conns),
		}
		for _, p := range v.Latency.list() {
			row = append(row, seconds(p.value))
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// short rounds a duration to what a person reads: three digits or so.
func short(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

func number(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 4, 64)
}

func size(n uint64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// perSecond is how many bytes that is a second, or "".
func perSecond(n uint64, over time.Duration) string {
	if n == 0 || over <= 0 {
		return ""
	}
	return ", " + size(uint64(float64(n)/over.Seconds())) + "/s"
}

func optional(format string, n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

// listed returns counts by name, the largest first.
func listed(m map[string]uint64) string {
	type entry struct {
		name string
		n    uint64
	}
	var all []entry
	for name, n := range m {
		all = append(all, entry{name, n})
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.n != b.n {
			if a.n > b.n {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	var b strings.Builder
	for i, e := range all {
		b.WriteString(map[bool]string{true: ": ", false: ", "}[i == 0])
		fmt.Fprintf(&b, "%d %s", e.n, e.name)
	}
	return b.String()
}
