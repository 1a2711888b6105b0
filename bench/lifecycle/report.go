package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// mostFailures is how many of the requests that failed a report shows.
const mostFailures = 20

// A report is what a scenario found.
type report struct {
	Scenario string            `json:"scenario"`
	Seed     uint64            `json:"seed"`
	Took     time.Duration     `json:"took_ns"`
	Kinds    []row             `json:"kinds"`
	Total    traffic.Count     `json:"total"`
	Figures  []figure          `json:"figures"`
	Failures []traffic.Failure `json:"failures"` // the first of them
	Broken   []string          `json:"broken"`   // promises; none: all were kept
}

// A row is one kind's part of the table.
type row struct {
	Kind string `json:"kind"`
	traffic.Count
	Worst time.Duration `json:"slowest_ns"`
}

// A figure is something else that a scenario has measured.
type figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (r *report) figure(name, format string, args ...any) {
	r.Figures = append(r.Figures, figure{name, fmt.Sprintf(format, args...)})
}

func (r *report) broke(format string, args ...any) {
	r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
}

// add takes a traffic's counts down.
func (r *report) add(t *traffic.Traffic) {
	if r.Kinds == nil {
		for k := range traffic.Kinds {
			r.Kinds = append(r.Kinds, row{Kind: traffic.Kind(k).String()})
		}
	}
	worst := t.Worst()
	for k, c := range t.Counts() {
		r.Kinds[k].Count = r.Kinds[k].Count.Plus(c)
		r.Kinds[k].Worst = max(r.Kinds[k].Worst, worst[k])
		r.Total = r.Total.Plus(c)
	}
	failures := t.Failures()
	r.Failures = append(r.Failures, failures[:min(len(failures), max(0, mostFailures-len(r.Failures)))]...)
}

func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	fmt.Fprintf(w, "%s, %v, seed %d\n\n", r.Scenario, r.Took.Round(100*time.Millisecond), r.Seed)
	rows := [][]string{{"kind", "sent", "ok", "lost", "refused", "stale", "duplicated", "slowest"}}
	cells := func(name string, c traffic.Count, worst string) []string {
		cells := []string{name}
		for _, n := range []int{c.Sent, c.OK, c.Lost, c.Refused, c.Stale, c.Twice} {
			cells = append(cells, strconv.Itoa(n))
		}
		return append(cells, worst)
	}
	for _, k := range r.Kinds {
		if k.Sent > 0 {
			rows = append(rows, cells(k.Kind, k.Count, figures.Duration(k.Worst)))
		}
	}
	rows = append(rows, cells("all", r.Total, ""))
	if err := figures.Markdown(w, rows, 1); err != nil {
		return err
	}
	if len(r.Figures) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%-34s %s\n", f.Name, f.Value)
	}
	if len(r.Failures) > 0 {
		fmt.Fprintf(w, "\nrequests that failed, the first %d:\n", len(r.Failures))
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "  %s %s %s, sent %s, after %v, by %s: %s\n", f.ID, f.Kind, f.What, f.Sent.Format("15:04:05.000"), f.Took.Round(time.Millisecond), worker(f.Worker), f.Why)
	}
	return nil
}

// worker is a worker's id as status shows it.
func worker(id string) string {
	if id == "" {
		return "nobody"
	}
	return "worker " + id[:min(len(id), 8)]
}
