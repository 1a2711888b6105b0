package report

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

func TestLive(t *testing.T) {
	i := bench.Interval{Start: 11 * time.Second, Length: time.Second, Answers: 1234, Errors: 2, InFlight: 64, Latency: bench.Latency{Count: 1234, P50: 1500 * time.Microsecond, P99: 12 * time.Millisecond}}
	l := &Live{Total: time.Minute}
	if got, want := l.Add(i, 200), "12 s of 1m  1234/s  p99 12 ms  2 errors  p50 1.5 ms  64 in flight  rate █  p99 █"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	i.Answers, i.Latency.P99, i.Warmup = 617, 24*time.Millisecond, true
	if got, want := l.Add(i, 200), "12 s of 1m, warming up  617/s  p99 24 ms  4 errors  p50 1.5 ms  64 in flight  rate █▅  p99 ▅█"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for width := range 120 {
		got := l.Add(i, width)
		if n := utf8.RuneCountInString(got); n > width {
			t.Errorf("%d columns of %d: %q", n, width, got)
		}
		if width >= 40 && !strings.Contains(got, "617/s") {
			t.Errorf("the rate is left out first: %q", got)
		}
	}
	if len(l.rates) != maxSpark {
		t.Errorf("%d intervals are kept", len(l.rates))
	}
	if got := new(Live).Add(bench.Interval{}, 80); !strings.Contains(got, "p99 -") || !strings.Contains(got, "rate ▁") {
		t.Errorf("of nothing: %q", got)
	}
}
