package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// statusOf is what heddle status says of the daemon in m's directory.
func statusOf(m *manager) (st statusReply) {
	m.t.Helper()
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(heddle, "status", "--json")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+m.dir)
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := json.Unmarshal(out, &st); err != nil || st.AppStatus == nil {
		m.t.Fatalf("%v in %s", err, out)
	}
	return st
}

var itHad = regexp.MustCompile(`^worker 0 of r2, pid ([0-9]+): .*SIGKILL.*; it had ([0-9]+) requests?$`)

// TestBenchDuringDeployAndKill: under a load that comes by the clock, a deploy costs
// nobody anything, and a worker that is killed just the requests that it had, none of
// which is answered twice. Both are in the report, where they happened.
func TestBenchDuringDeployAndKill(t *testing.T) {
	m := newManager(t)
	d := m.start("", nil, "run", "--name", "weaving", "--workers", "2", "--listen", "127.0.0.1:0", "app")
	url := d.await(t, `^ready (\S+)`)[1]
	dir := t.TempDir()
	saved, html := filepath.Join(dir, "run.json"), filepath.Join(dir, "run.html")
	// 200 a second of 100 ms each: a worker always has some.
	load := m.start("", nil, "bench", "-r", "200", "-c", "200", "-d", "2m", "--timeout", "30s", "--interval", "200ms", "--save", saved, "--html", html, url+"/slow?d=100ms")
	busy := func(release string) bool {
		st := statusOf(m)
		for _, w := range st.Workers {
			if w.Release != release || w.State != "online" || w.Sessions < 3 {
				return false
			}
		}
		return len(st.Workers) == 2
	}
	if !until(func() bool { return busy("r1") }) {
		t.Fatal("the load does not come")
	}
	ended(t, m.start("", nil, "deploy", "app"))
	if !until(func() bool { return busy("r2") }) {
		t.Fatal("r2 has no work")
	}
	first := statusOf(m).Workers[0]
	if err := syscall.Kill(first.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !until(func() bool {
		w := statusOf(m).Workers[0]
		return w.Index == 0 && w.Restarts == first.Restarts+1 && w.State == "online"
	}) {
		t.Fatal("the worker does not return")
	}
	time.Sleep(500 * time.Millisecond) // load for the one that has come
	if err := load.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended(t, load)

	p, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	r, err := bench.Read(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for i, k := range r.Marks {
		kinds = append(kinds, k.Kind)
		if i > 0 && k.At < r.Marks[i-1].At || k.At <= 0 || k.At > r.End() {
			t.Errorf("mark %d is at %v of %v", i, k.At, r.End())
		}
	}
	if want := []string{noticeBegan, noticeSwitched, noticeLeft, noticeDied}; !slices.Equal(kinds, want) {
		t.Fatalf("marks %q, want %q: %+v", kinds, want, r.Marks)
	}
	died := r.Marks[3]
	had := itHad.FindStringSubmatch(died.Text)
	if had == nil || had[1] != strconv.Itoa(first.Pid) || r.Marks[0].Text != "a deploy of r2" {
		t.Fatalf("marks: %+v", r.Marks)
	}
	if r.Lost != 0 || r.Late != 0 || r.Duplicated != 0 || r.Stray != 0 || r.Requests != r.Answered+r.Unfinished {
		t.Errorf("lost, late, duplicated or stray: %+v", r.Counts)
	}
	if n := strconv.FormatUint(r.Errors, 10); n != had[2] || r.Kinds["status"] != r.Errors || r.Statuses[502] != r.Errors || r.Errors == 0 {
		t.Errorf("%s errors, %v, %v; the worker had %s requests", n, r.Kinds, r.Statuses, had[2])
	}
	for _, i := range r.Intervals {
		if i.Errors > 0 && i.Start+i.Length < died.At {
			t.Errorf("%d errors at %v, before the kill at %v", i.Errors, i.Start, died.At)
		}
	}
	page, err := os.ReadFile(html)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a deploy of r2", "r2 is serving, in place of r1", fmt.Sprintf("pid %d: ", first.Pid), `<line class="mark bad"`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended(t, d)
}

// TestListensFor: whose front a target is.
func TestListensFor(t *testing.T) {
	for _, v := range []struct {
		listen, target string
		want           bool
	}{
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/", true},
		{"http://127.0.0.1:8080", "http://localhost:8080/x", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8081/", false},
		{"http://127.0.0.1:8080", "http://127.0.0.2:8080/", false},
		{"http://[::]:8080", "http://127.0.0.1:8080/", true},
		{"http://0.0.0.0:8080", "http://192.0.2.1:8080/", false},
		{"unix:/run/a.sock", "unix:/run/a.sock:/x", true},
		{"unix:/run/a.sock", "unix:/run/b.sock:/x", false},
		{"unix:/run/a.sock", "http://127.0.0.1:8080/", false},
		{"http://127.0.0.1:8080", "unix:/run/a.sock:/", false},
		{"%zz", "http://127.0.0.1:8080/", false},
	} {
		target, err := bench.ParseTarget(v.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := listensFor(t.Context(), v.listen, &target); got != v.want {
			t.Errorf("%s for %s: got %v", v.listen, v.target, got)
		}
	}
}

// TestNoticeBoard: a reader who does not read costs nobody anything, and is told what
// it has missed.
func TestNoticeBoard(t *testing.T) {
	var b noticeBoard
	b.post(notice{Kind: "nobody hears it"})
	slow, quick := b.open(), b.open()
	for i := range maxNotices + 5 {
		b.post(notice{Kind: strconv.Itoa(i)})
		if n := <-quick.in; n.Kind != strconv.Itoa(i) || n.Missed != 0 {
			t.Fatalf("got %+v", n)
		}
	}
	b.leave(quick)
	if n := <-slow.in; n.Kind != "0" {
		t.Errorf("got %+v", n)
	}
	b.post(notice{Kind: "last"})
	b.end()
	var last notice
	n := 0
	for last = range slow.in {
		n++
	}
	if n != maxNotices || last.Kind != "last" || last.Missed != 5 {
		t.Errorf("%d notices, the last %+v", n, last)
	}
	if _, more := <-b.open().in; more {
		t.Error("a board that has ended tells more")
	}
	b.post(notice{})
}
