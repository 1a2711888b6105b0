package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestStopped: a run whose process was stopped until long after its end, loops and all,
// has its end when it goes on.
func TestStopped(t *testing.T) {
	w := newCrew(Options{Threads: 1, Duration: time.Millisecond - slack}) // its time is over at once
	time.AfterFunc(50*time.Millisecond, func() { w.over(0) })
	if err := w.wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCutAtOnce: a run that is cut before it has begun has a result, whose intervals are
// a list for those who read its JSON.
func TestCutAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	target, err := ParseTarget("https://192.0.2.1/") // TEST-NET-1 (RFC 5737): nobody is there
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, Options{Target: target, Conns: 2, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	if !r.Cut || r.Requests != 0 || !strings.Contains(b.String(), `"intervals": []`) {
		t.Errorf("got %s", &b)
	}
}
