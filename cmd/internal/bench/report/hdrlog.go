package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// ErrNotKept reports a result without the latencies of each interval.
var ErrNotKept = errors.New("bench: the result has no histogram of each interval: they are kept if an interval is 100ms or longer, and the run has at most 10,000 and 64 MiB of them")

// Tags of the log's lines.
const (
	tagMeasured = "latency"
	tagWarmup   = "warmup"
)

// HDRLog writes the latencies as a log of HdrHistogram's interval histograms, format
// 1.3 (Java's HistogramLogWriter): a line for each interval, times in seconds since the base time, values in nanoseconds, the greatest in
// milliseconds besides. Intervals of the warm-up have a tag of their own.
func HDRLog(to io.Writer, r *bench.Result) error {
	if !r.Kept() {
		return ErrNotKept
	}
	w := bufio.NewWriter(to)
	start := float64(r.Started.UnixNano()) / 1e9
	fmt.Fprintf(w, "#[Latencies of heddle bench, %s model, in nanoseconds]\n", r.Model.Kind)
	fmt.Fprintf(w, "#[Histogram log format version 1.3]\n")
	fmt.Fprintf(w, "#[StartTime: %.3f (seconds since epoch), %s]\n", start, r.Started.UTC().Format("2006-01-02T15:04:05.000Z"))
	fmt.Fprintf(w, "#[BaseTime: %.3f (seconds since epoch)]\n", start)
	fmt.Fprintf(w, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n")
	for i := range r.Intervals {
		v := &r.Intervals[i]
		if v.Histogram == "" {
			continue
		}
		tag := tagMeasured
		if v.Warmup {
			tag = tagWarmup
		}
		fmt.Fprintf(w, "Tag=%s,%.3f,%.3f,%.3f,%s\n", tag, v.Start.Seconds(), v.Length.Seconds(), float64(v.Latency.Max)/1e6, v.Histogram)
	}
	return w.Flush()
}
