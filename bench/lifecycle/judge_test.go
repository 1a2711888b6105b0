package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

func TestUntouched(t *testing.T) {
	for _, tc := range []struct {
		count traffic.Count
		want  string // of the only promise broken; "": none
	}{
		{traffic.Count{Sent: 9, OK: 9}, ""},
		{traffic.Count{Sent: 9, OK: 8, Lost: 1}, "lost"},
		{traffic.Count{Sent: 9, OK: 8, Refused: 1}, "503"},
		{traffic.Count{Sent: 9, OK: 8, Stale: 1}, "should have had no work"},
		{traffic.Count{Sent: 9, OK: 9, Twice: 1}, "twice"},
		{traffic.Count{Sent: 9, OK: 8}, "no known fate"},
		{traffic.Count{}, "no traffic"},
	} {
		check(t, untouched(tc.count), tc.want)
	}
}

func TestAccounted(t *testing.T) {
	lost := []traffic.Failure{{ID: "a", What: "lost"}, {ID: "b", What: "lost"}}
	named := func(ids ...string) map[string][]string {
		m := make(map[string][]string)
		for _, id := range ids {
			m[id] = []string{"a line"}
		}
		return m
	}
	for _, tc := range []struct {
		failures []traffic.Failure
		log      daemon.Lost
		want     string
	}{
		{lost, daemon.Lost{Deaths: 2, Requests: named("a", "b")}, ""},
		{nil, daemon.Lost{Deaths: 2}, ""},
		{lost, daemon.Lost{Deaths: 2, Requests: named("b")}, "1 requests were lost and are not named in the log: a"},
		{lost[:1], daemon.Lost{Deaths: 2, Requests: named("a", "b")}, "1 requests are named as lost in the log and were answered well: b"},
		{[]traffic.Failure{{ID: "a", What: "refused", Why: "503"}}, daemon.Lost{Deaths: 2}, "failed otherwise"},
		{[]traffic.Failure{{ID: "a", What: "stale"}}, daemon.Lost{Deaths: 2}, "failed otherwise"},
		{nil, daemon.Lost{Deaths: 3}, "3 deaths"},
		{nil, daemon.Lost{Deaths: 1}, "1 deaths"},
	} {
		check(t, accounted(tc.failures, tc.log, 2, false), tc.want)
	}
	closed := daemon.Lost{Deaths: 2, Requests: named("a", "b", "socket-1-7")}
	check(t, accounted(lost, closed, 2, false), "1 requests are named as lost in the log and were answered well: socket-1-7")
	check(t, accounted(lost, closed, 2, true), "")
	check(t, accounted(lost[:1], closed, 2, true), "1 requests are named as lost in the log and were answered well: b")
}

func TestFlat(t *testing.T) {
	before := resources{daemon.Vitals{Memory: 20 << 20, Descriptors: 30}, 40}
	for _, tc := range []struct {
		after resources
		want  string
	}{
		{before, ""},
		{resources{daemon.Vitals{Memory: 50 << 20, Descriptors: 34}, 44}, ""},
		{resources{daemon.Vitals{Memory: 20 << 20, Descriptors: 35}, 40}, "descriptors"},
		{resources{daemon.Vitals{Memory: 20 << 20, Descriptors: 30}, 45}, "goroutines"},
		{resources{daemon.Vitals{Memory: 57 << 20, Descriptors: 30}, 40}, "MiB"},
	} {
		check(t, flat(before, tc.after), tc.want)
	}
}

func check(t *testing.T, got []string, want string) {
	t.Helper()
	if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGap(t *testing.T) {
	var a answers
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	if _, ok := a.since("dead"); ok {
		t.Error("of nobody: got a gap")
	}
	for _, s := range []struct {
		worker string
		ms     int
	}{{"older", 1}, {"dead", 10}, {"dead", 20}} {
		a.answered(s.worker, at(s.ms))
	}
	if got, ok := a.since("dead"); ok {
		t.Errorf("before anybody else has answered: got %v", got)
	}
	a.answered("next", at(50))
	a.answered("next", at(60))
	if got, ok := a.since("dead"); got != 30*time.Millisecond || !ok {
		t.Errorf("got %v, %v, want 30ms", got, ok)
	}
	if got := a.after(at(15)); !got.Equal(at(50)) {
		t.Errorf("after 15 ms: got %v, want 50 ms", got)
	}
}

func TestCountGoroutines(t *testing.T) {
	lines := strings.Split("ready x\ngoroutine 1 [running]:\nmain.main()\n\ngoroutine 18 gp=0xc0 m=nil [chan receive, 2 minutes]:\n0 r1 | goroutine 3 was here\n", "\n")
	if got := countGoroutines(lines); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string // scenario; "": an error
		n    int
	}{
		{"deploys", "deploys", 50},
		{"--count 3 deploys", "deploys", 3},
		{"deploys --count 3 --json", "deploys", 3},
		{"", "", 0},
		{"flights", "", 0},
		{"deploys mix", "", 0},
		{"--count -1 deploys", "", 0},
		{"--nope deploys", "", 0},
	} {
		p, s, err := parse(strings.Fields(tc.args), io.Discard)
		if tc.want == "" {
			if err == nil {
				t.Errorf("parse(%q): got %+v, want an error", tc.args, p)
			}
			continue
		}
		if err != nil || s.name != tc.want || p.count != tc.n || p.seed == 0 {
			t.Errorf("parse(%q): got %q, %+v, %v", tc.args, s.name, p, err)
		}
	}
}

func TestTable(t *testing.T) {
	rep := &report{Scenario: "deploys", Seed: 7, Took: 1500 * time.Millisecond, Total: traffic.Count{Sent: 3, OK: 2, Lost: 1}}
	rep.Kinds = []row{{Kind: "upload", Count: traffic.Count{Sent: 3, OK: 2, Lost: 1}, Worst: 2 * time.Millisecond}, {Kind: "download"}}
	rep.figure("deploys", "%d", 2)
	var b strings.Builder
	if err := rep.write(&b, false); err != nil {
		t.Fatal(err)
	}
	const want = `deploys, 1.5s, seed 7

| kind   | sent | ok | lost | refused | stale | duplicated | slowest |
|--------|-----:|---:|-----:|--------:|------:|-----------:|--------:|
| upload |    3 |  2 |    1 |       0 |     0 |          0 | 2.00 ms |
| all    |    3 |  2 |    1 |       0 |     0 |          0 |         |

deploys                            2
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := rep.write(&b, true); err != nil || !strings.Contains(b.String(), `"kind": "upload",
      "sent": 3,
      "ok": 2,
      "lost": 1,`) {
		t.Errorf("as JSON: got %s, %v", b.String(), err)
	}
}
