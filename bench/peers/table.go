package main

import (
	"fmt"
	"io"
	"time"

	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A result is the median of a stack's samples under one workload.
type result struct {
	Workload string  `json:"workload"`
	Stack    string  `json:"stack"`
	CPU      float64 `json:"cpu_us"`           // per request, or per event at a client
	Own      float64 `json:"own_us,omitempty"` // of it, the process's that clients talk to, where that is heddle
	CPURatio float64 `json:"cpu_ratio"`        // to net/http alone; 0 where that was not measured
	Rate     float64 `json:"per_second"`
	Ratio    float64 `json:"rate_ratio"`
	P50      int64   `json:"p50_ns"`
	P99      int64   `json:"p99_ns"`
	Peak     int64   `json:"peak_bytes"`
	Failed   int     `json:"failed"`

	workload, stack string // names
}

func newResult(w workload, k kind, s stack.Sample, base *result) result {
	r := result{
		Workload: w.key, Stack: k.key, workload: w.name, stack: k.name,
		CPU: s.CPU, Rate: s.Rate, P50: int64(s.P50), P99: int64(s.P99), Peak: s.Peak, Failed: s.Failed,
	}
	if k.own {
		r.Own = s.Own
	}
	if k.key == bare {
		base = &r
	}
	if base != nil {
		r.CPURatio, r.Ratio = s.CPU/base.CPU, s.Rate/base.Rate
	}
	return r
}

// writeTable writes Markdown, the columns aligned for those who read it as
// text.
func writeTable(w io.Writer, results []result) error {
	rows := [][]string{{"workload", "stack", "CPU µs", "own", "ratio", "per s", "ratio", "p50", "p99", "peak MiB", "failed"}}
	last := ""
	for _, r := range results {
		name := r.workload
		if name == last {
			name = ""
		}
		last = r.workload
		rows = append(rows, []string{
			name, r.stack, figures.Digits(r.CPU), own(r.Own), ratio(r.CPURatio), figures.Digits(r.Rate), ratio(r.Ratio),
			latency(r.P50), latency(r.P99), fmt.Sprintf("%.0f", float64(r.Peak)/(1<<20)), fmt.Sprint(r.Failed),
		})
	}
	return figures.Markdown(w, rows, 2)
}

func own(v float64) string {
	if v == 0 {
		return ""
	}
	return figures.Digits(v)
}

func ratio(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

// latency is empty where wrk could not tell, as happens with pipelining.
func latency(ns int64) string {
	if ns == 0 {
		return ""
	}
	return figures.Duration(time.Duration(ns))
}
