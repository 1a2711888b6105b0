package report

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/heddle-go/heddle/cmd/internal/bench"
	"github.com/heddle-go/heddle/internal/nodepeer"
)

func logOf(t *testing.T, r *bench.Result) string {
	t.Helper()
	var b strings.Builder
	if err := HDRLog(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHDRLog: hdrhistogram-go's reader finds each interval where it was, with its
// latencies.
func TestHDRLog(t *testing.T) {
	r := lively(t)
	log := logOf(t, r)
	reader := hdrhistogram.NewHistogramLogReader(strings.NewReader(log))
	for i := range r.Intervals {
		h, err := reader.NextIntervalHistogram()
		if err != nil || h == nil {
			t.Fatalf("interval %d: %v, %v", i, h, err)
		}
		v := &r.Intervals[i]
		want := map[bool]string{true: "warmup", false: "latency"}[v.Warmup]
		if latencyOf(h) != v.Latency || h.Tag() != want {
			t.Errorf("interval %d, %s: got %s", i, h.Tag(), jsonOf(latencyOf(h)))
		}
		if at := r.Started.UnixMilli() + v.Start.Milliseconds(); h.StartTimeMs() != at || h.EndTimeMs() != at+1000 {
			t.Errorf("interval %d is from %d to %d, want %d", i, h.StartTimeMs(), h.EndTimeMs(), at)
		}
	}
	if h, err := reader.NextIntervalHistogram(); h != nil || err != nil {
		t.Errorf("got %v, %v behind the last", h, err)
	}
	for i := range r.Intervals {
		r.Intervals[i].Histogram = ""
	}
	if err := HDRLog(new(strings.Builder), r); !errors.Is(err, ErrNotKept) {
		t.Errorf("of a result without histograms: %v", err)
	}
}

const readLog = `
const hdr = require("hdr-histogram-js");
const reader = new hdr.HistogramLogReader(require("fs").readFileSync(process.argv[2], "utf8"));
const all = [];
for (let h; (h = reader.nextIntervalHistogram()) != null;) {
  all.push({tag: h.tag, start: h.startTimeStampMsec, end: h.endTimeStampMsec, count: h.totalCount, p50: h.getValueAtPercentile(50), p99: h.getValueAtPercentile(99), max: h.maxValue});
}
console.log(JSON.stringify(all));
`

// TestHDRLogElsewhere: another implementation, of another language, reads the same.
func TestHDRLogElsewhere(t *testing.T) {
	modules, err := nodepeer.Install(t.Context(), "hdr-histogram-js@3.0.1")
	if err != nil {
		if errors.Is(err, nodepeer.ErrMissing) && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	r := lively(t)
	dir := t.TempDir()
	file, script := filepath.Join(dir, "log"), filepath.Join(dir, "read.js")
	for name, text := range map[string]string{file: logOf(t, r), script: readLog} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", script, file)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	var all []struct {
		Tag                       string
		Start, End, P50, P99, Max float64
		Count                     uint64
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(r.Intervals) {
		t.Fatalf("%v, %d intervals in\n%s", err, len(all), out)
	}
	for i, got := range all {
		v := &r.Intervals[i]
		l := &v.Latency
		if got.Count != l.Count || got.P50 != float64(l.P50) || got.P99 != float64(l.P99) || got.Max != float64(l.Max) || got.Tag == "" ||
			int64(got.Start) != r.Started.UnixMilli()+v.Start.Milliseconds() {
			t.Errorf("interval %d: got %+v, want %s", i, got, jsonOf(l))
		}
	}
}
