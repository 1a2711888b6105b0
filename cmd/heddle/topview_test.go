package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/worker/engine"
)

func TestBytesOf(t *testing.T) {
	for n, want := range map[int64]string{0: "-", -1: "-", 999: "999 B", 1000: "1.0 KiB", 1 << 20: "1.0 MiB", 123 << 20: "123 MiB", 1000 << 20: "1.0 GiB", 9<<30 + 1<<29: "9.5 GiB", 2 << 40: "2.0 TiB", 5000 << 40: "5000 TiB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// TestTopView: rates between two samples, the terminal's size, and daemons that
// do not answer or are not the same.
func TestTopView(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	status := func(pid int, requests int64, cpu float64) statusReply {
		return statusReply{
			Name: "shop", State: stateServing, Pid: pid, Started: at.Add(-time.Hour), Listen: []string{"unix:/s"},
			Front: front.Stats{Requests: requests, Active: 1}, Memory: 20 << 20, CPU: cpu,
			AppStatus: &AppStatus{Release: "r2", Wanted: 2, Standbys: 1, Workers: []engine.WorkerStatus{
				{Index: 0, ID: "0123456789", Pid: 8, State: "online", Since: at.Add(-time.Minute), Release: "r2", Sessions: 3, Total: uint64(requests), Memory: 512 << 20, CPU: 2 * cpu},
				{Index: 1, ID: "new" + strings.Repeat("x", int(requests)), Pid: 9, State: "broken", Since: at, Release: "r\x1b2"},
				{Index: -1, ID: "standby", Pid: 10, State: "suspended", Since: at, Release: "r2", Standby: true, Restarts: 3},
			}},
		}
	}
	v := &topView{}
	check := func(want string) {
		t.Helper()
		if got := strings.Join(v.lines(), "\n"); got != strings.Trim(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	v.add(sample{at: at, st: status(7, 10, 1)})
	check(`
shop r2, serving, up 1h0m, pid 7, unix:/s
- requests/s, 1 now, 10 in all; 0 clients gone early, 0 requests refused
2 workers wanted, 1 standby; the daemon: - CPU, 20.0 MiB

  INDEX        ID  PID      STATE  SINCE  RELEASE  SESSIONS  REQ/S  CPU   MEMORY  RESTARTS
      0  01234567    8     online   1m0s       r2         3      -    -  512 MiB         0
      1  newxxxxx    9     broken     0s      r?2         0      -    -        -         0
      -   standby   10  suspended     0s       r2         0      -    -        -         3
q quits`)
	v.add(sample{at: at.Add(2 * time.Second), st: status(7, 15, 2)})
	v.add(sample{at: at.Add(3 * time.Second), err: errors.New("it is gone\ntry: something")})
	check(`
shop r2, serving, up 1h0m, pid 7, unix:/s
no answer: it is gone
2.5 requests/s, 1 now, 15 in all; 0 clients gone early, 0 requests refused
2 workers wanted, 1 standby; the daemon: 50% CPU, 20.0 MiB

  INDEX        ID  PID      STATE  SINCE  RELEASE  SESSIONS  REQ/S   CPU   MEMORY  RESTARTS
      0  01234567    8     online   1m2s       r2         3    2.5  100%  512 MiB         0
      1  newxxxxx    9     broken     2s      r?2         0      -     -        -         0
      -   standby   10  suspended     2s       r2         0    0.0     -        -         3
q quits`)
	v.add(sample{at: at.Add(4 * time.Second), st: status(77, 1, 1)})
	if got := v.lines()[1]; !strings.HasPrefix(got, "- requests/s") {
		t.Errorf("another daemon's counters are compared: %s", got)
	}
	v.width, v.height = 20, 5
	check(`
shop r2, serving, up
- requests/s, 1 now,
2 workers wanted, 1 
… 5 lines more than 
q quits`)
	v.colour = true
	if got := v.lines()[0]; got != styleBold+"shop r2, serving, up"+stylePlain {
		t.Errorf("got %q", got)
	}
	for h := 1; h < 12; h++ {
		if v.height = h; len(v.lines()) > h {
			t.Errorf("%d lines of %d", len(v.lines()), h)
		}
	}
}

// TestTopViewApps: of several apps each worker has its app before it, and what
// holds an app says which.
func TestTopViewApps(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	app := func(name string, suspended bool, total uint64) namedStatus {
		return namedStatus{name, AppStatus{Release: "r1", Wanted: 1, Suspended: suspended, Workers: []engine.WorkerStatus{
			{ID: name + "-worker", Pid: 8, State: "online", Since: at, Release: "r1", Total: total, Memory: 1 << 20},
		}}}
	}
	status := func(total uint64) statusReply {
		return statusReply{Name: "all", State: stateServing, Pid: 7, Started: at, Listen: []string{"unix:/s"}, Apps: []namedStatus{app("shop", false, total), app("blog", true, 0)}}
	}
	v := &topView{}
	v.add(sample{at: at, st: status(0)})
	v.add(sample{at: at.Add(time.Second), st: status(5)})
	want := strings.Trim(`
all 2 apps, serving, up 1s, pid 7, unix:/s
0.0 requests/s, 0 now, 0 in all; 0 clients gone early, 0 requests refused
2 workers wanted, 0 standbys; the daemon: 0% CPU, -
blog: suspended: requests wait; heddle resume --app blog lets them in

   APP  INDEX        ID  PID   STATE  SINCE  RELEASE  SESSIONS  REQ/S  CPU   MEMORY  RESTARTS
  shop      0  shop-wor    8  online     1s       r1         0    5.0   0%  1.0 MiB         0
  blog      0  blog-wor    8  online     1s       r1         0    0.0   0%  1.0 MiB         0
q quits`, "\n")
	if got := strings.Join(v.lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	v.add(sample{at: at.Add(2 * time.Second), st: statusReply{Name: "all", State: stateStarting, Pid: 7}})
	if got := v.lines()[0]; !strings.HasPrefix(got, "all 0 apps, starting") {
		t.Errorf("starting: got %q", got)
	}
}
