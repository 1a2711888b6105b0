package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker/engine/guard"
	"golang.org/x/sys/unix"
)

// These tests run real processes: the test binary itself, which plays a worker
// (see TestMain).

// newReal returns an engine whose workers play what play says.
func newReal(t *testing.T, play string, o Options) *Engine {
	t.Helper()
	if o.Path == "" {
		o.Path = os.Args[0]
	}
	o.Env = append(o.Env, envPlay+"="+play)
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Loops == 0 {
		o.Loops = 1
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pids := pidsOf(e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		for _, pid := range pids {
			if groupAlive(pid) {
				t.Errorf("group %d is alive after Close", pid)
			}
		}
		for _, l := range e.lanes {
			if _, err := os.Lstat(strings.TrimPrefix(l.endpoint, "unix:")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("left behind: %s, %v", l.endpoint, err)
			}
		}
	})
	return e
}

func pidsOf(e *Engine) (pids []int) {
	for _, w := range e.Status().Workers {
		if w.Pid > 0 {
			pids = append(pids, w.Pid)
		}
	}
	return pids
}

// alive says whether a process exists and is no zombie.
func alive(pid int) bool {
	state, _ := stat(fmt.Sprintf("/proc/%d/stat", pid))
	return state != "" && state != "Z"
}

// groupAlive says whether the process group still has a member that is no
// zombie.
func groupAlive(pgid int) bool { return len(groupMembers(pgid)) > 0 }

// groupMembers lists the stat files of a group's members that are no zombies.
func groupMembers(pgid int) (members []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		if state, group := stat(f); group == pgid && state != "Z" {
			members = append(members, f)
		}
	}
	return members
}

// stat returns a process's state and group, proc_pid_stat(5).
func stat(file string) (state string, pgid int) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	pgid, _ = strconv.Atoi(f[2])
	return f[0], pgid
}

func TestReal(t *testing.T) {
	for _, loops := range []int{1, 3} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			e := newReal(t, "good", Options{Workers: 3, Loops: loops, Env: []string{"COLOUR=blue", "HEDDLE_APP=not this"}, Name: "shop", Release: "7"})
			start(t, e)
			seen := make(map[string]bool)
			for range 30 {
				pid, err := ask(t, e, "pid")
				if err != nil {
					t.Fatal(err)
				}
				seen[pid] = true
			}
			if len(seen) != 3 {
				t.Errorf("%d workers answered", len(seen))
			}
			for name, want := range map[string]string{
				"COLOUR": "blue", envApp: "shop", envRelease: "7", envProtocol: "1",
				envEndpoint: "unix:" + filepath.Join(e.opt.RuntimeDir, "shop.w0"), "PATH": os.Getenv("PATH"),
			} {
				if got, err := ask(t, e, "env "+name); got != want || err != nil {
					t.Errorf("%s=%q, %v; want %q", name, got, err, want)
				}
			}
			for i, w := range e.Status().Workers {
				pgid, err := unix.Getpgid(w.Pid)
				if err != nil || pgid != w.Pid || w.Index != i {
					t.Errorf("worker %+v is in group %d, %v", w, pgid, err)
				}
				if link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", w.Pid)); link != os.DevNull {
					t.Errorf("standard input is %s, %v", link, err)
				}
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			if st := e.Stats(); st.Expected != 3 || st.Signalled != 0 {
				t.Errorf("stats %+v", st)
			}
			if _, err := os.Stat(e.opt.RuntimeDir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("runtime directory: %v", err)
			}
		})
	}
}

// kill -9 costs the sessions that the worker had, each of which is named, and
// no other; the successor is there soon.
func TestKill9(t *testing.T) {
	var deaths deathsOf
	e := newReal(t, "good", Options{Workers: 2, Loops: 2, OnDeath: deaths.on})
	start(t, e)
	time.Sleep(ServedEnough) // so that the successor comes at once
	var hung []*session.Session
	for range 40 {
		s := open(t, e, "hang")
		if m, err := s.Recv(); err != nil || string(m.Data) != "here" {
			t.Fatalf("got %q, %v", m.Data, err)
		}
		hung = append(hung, s)
	}
	pid := e.Status().Workers[0].Pid
	killed := time.Now()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lost := make(map[string]bool)
	for _, s := range hung {
		_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := s.Recv(); errors.Is(err, session.ErrLost) {
			lost[fmt.Sprint(s.ID())] = true
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("session of the other worker: %v", err)
		}
		s.Discard()
	}
	d := deaths.wait(t, 1)[0]
	if d.Pid != pid || d.Signal != "SIGKILL" || d.Reason != "was killed by SIGKILL" || len(d.Lost) != 20 || d.Expected {
		t.Errorf("death %+v", d)
	}
	for _, l := range d.Lost {
		if !lost[fmt.Sprint(l.ID)] || l.Event != "hang" {
			t.Errorf("lost %+v, which did not end so", l)
		}
	}
	until(t, "two are online", func() bool { return e.Stats().Online == 2 })
	st := e.Status().Workers[0]
	if st.Restarts != 1 || st.Pid == pid {
		t.Errorf("status %+v", st)
	}
	if d := st.Since.Sub(killed); d > time.Second { // goal 200 ms; this machine may be busy
		t.Errorf("the successor was online %v after the kill", d)
	} else {
		t.Logf("the successor was online %v after the kill", d)
	}
}

// An answer that was in the socket when its worker died counts.
func TestPartingAnswer(t *testing.T) {
	var deaths deathsOf
	e := newReal(t, "good", Options{OnDeath: deaths.on, Backoff: BackoffOptions{Min: time.Millisecond, Max: time.Millisecond}})
	start(t, e)
	for i := range 20 {
		got, err := ask(t, e, "parting")
		if err != nil || len(got) != 4+30<<10 {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		if d := deaths.wait(t, i+1)[i]; d.ExitCode != 3 || len(d.Lost) > 0 {
			t.Errorf("death %+v", d)
		}
	}
	if st := e.Stats(); st.Lost != 0 {
		t.Errorf("stats %+v", st)
	}
}

// What the workers write arrives line by line, with who wrote it.
func TestOutput(t *testing.T) {
	var mu sync.Mutex
	var lines []Line
	e := newReal(t, "good", Options{Release: "3", Output: func(l Line) {
		mu.Lock()
		lines = append(lines, l)
		mu.Unlock()
	}})
	start(t, e)
	long := strings.Repeat("x", maxLine) + "yz"
	for _, say := range []string{"hello there", long} {
		if _, err := ask(t, e, "say "+say); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "three lines came", func() bool { mu.Lock(); defer mu.Unlock(); return len(lines) == 3 })
	w := e.Status().Workers[0]
	for i, want := range []Line{
		{0, w.ID, "3", w.Pid, Stderr, "hello there", false},
		{0, w.ID, "3", w.Pid, Stderr, long[:maxLine], true},
		{0, w.ID, "3", w.Pid, Stderr, "yz", false},
	} {
		if lines[i] != want {
			t.Errorf("line %d: got %.80v, want %.80v", i, lines[i], want)
		}
	}
}

// A TARGET that cannot serve: what the user reads.
func TestBadTargets(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte{1, 2, 3}, 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, play string
		late       bool // it has to be given up
		want       []string
		is         error
	}{
		{path: filepath.Join(dir, "absent"), want: []string{"absent", "does not exist", "build it first"}, is: fs.ErrNotExist},
		{path: plain, want: []string{"is not executable (mode -rw-r--r--)", "chmod +x"}, is: fs.ErrPermission},
		{path: dir, want: []string{"is not a file that can be run"}, is: fs.ErrPermission},
		{path: garbage, want: []string{"could not be started: exec format error", "is a program for this machine"}},
		{path: script, want: []string{`could not be started: its interpreter "/no/such/interpreter": no such file or directory`}},
		{path: os.Args[0], play: "exit", want: []string{"worker 0", "exited with status 4 before it was online", "\n  first words\n  last words\n", "nothing is left running", "by hand"}},
		{path: "/bin/true", want: []string{"exited with status 0 before it was online", "wrote nothing"}},
		{path: os.Args[0], play: "sleep", late: true, want: []string{"not online within 300ms of its start: no handshake came from it", "exited with status 2"}},
		{path: os.Args[0], play: badMute, late: true, want: []string{"no handshake came from it"}},
		{path: os.Args[0], play: badBytes, want: []string{"exited with status 7 before it was online: codec: byte 0"}},
		{path: os.Args[0], play: badPlain, want: []string{"plain protocol"}},
		{path: os.Args[0], play: badOffline, late: true, want: []string{"never said that it is online"}},
	} {
		t.Run(filepath.Base(tt.path)+tt.play, func(t *testing.T) {
			o := Options{
				Path: tt.path, Workers: 1, Loops: 1, Env: []string{envPlay + "=" + tt.play}, Logger: slog.New(slog.DiscardHandler),
				KillDelay: 100 * time.Millisecond,
			}
			if tt.late {
				o.StartTimeout = 300 * time.Millisecond
			}
			e, err := New(o)
			if err == nil {
				err = e.Start(t.Context())
				if left := e.living(); len(left) > 0 {
					t.Errorf("%d workers are left", len(left))
				}
				if err2 := e.Close(); err2 != nil {
					t.Error(err2)
				}
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, which lacks %q", err, want)
				}
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want one that is %v", err, tt.is)
			}
		})
	}
}

// Ignores drain, terminate and SIGTERM, and has a grandchild that holds its
// pipes: it is asked for its goroutines, which ends it, and its group with it.
func TestStubborn(t *testing.T) {
	var deaths deathsOf
	e := newReal(t, badStubborn, Options{
		OnDeath: deaths.on, DrainTimeout: 100 * time.Millisecond, ShutdownTimeout: 100 * time.Millisecond, KillDelay: 100 * time.Millisecond,
	})
	start(t, e)
	pid := pidsOf(e)[0]
	begun := time.Now()
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d < 250*time.Millisecond || d > 30*time.Second {
		t.Errorf("took %v", d)
	}
	d := deaths.wait(t, 1)[0]
	if d.ExitCode != 2 || !strings.Contains(d.Reason, "did not finish") || !strings.Contains(strings.Join(d.Dump, "\n"), "goroutine 1 ") {
		t.Errorf("death %+v", d)
	}
	until(t, "its group is gone", func() bool { return !groupAlive(pid) })
}

// The escalation in real time: each step within 300 ms of when it is due.
func TestEscalation(t *testing.T) {
	if testing.Short() {
		t.Skip("takes four seconds")
	}
	var mu sync.Mutex
	var steps []string
	var at []time.Duration
	var begun time.Time
	step := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		steps, at = append(steps, what), append(at, time.Since(begun))
	}
	var deaths deathsOf
	e := newReal(t, "deaf", Options{
		DrainTimeout: time.Second, ShutdownTimeout: time.Second, KillDelay: 2 * time.Second,
		Output:  func(l Line) { step(l.Text) },
		OnDeath: func(d Death) { step(d.Signal); deaths.on(d) },
	})
	start(t, e)
	s := open(t, e, "hang")
	defer s.Discard()
	mu.Lock()
	begun = time.Now()
	mu.Unlock()
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	deaths.wait(t, 1)
	mu.Lock()
	defer mu.Unlock()
	want := []string{"caught terminated", "caught quit", "SIGKILL"}
	due := []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second}
	if !slices.Equal(steps, want) {
		t.Fatalf("steps %q, want %q", steps, want)
	}
	for i := range due {
		if d := at[i] - due[i]; d < -10*time.Millisecond || d > 300*time.Millisecond {
			t.Errorf("%s after %v, want %v", want[i], at[i], due[i])
		}
	}
}

// Workers start where the engine's directory is by its name, also if that is a
// link and leads elsewhere by now; and where it was if it leads nowhere.
func TestDirectoryMoves(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, b, link := filepath.Join(base, "a"), filepath.Join(base, "b"), filepath.Join(base, "current")
	for _, dir := range []string{a, b} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link) // sets PWD, as a shell does
	said := make(chan string, 8)
	e := newReal(t, "where", Options{Output: func(l Line) { said <- l.Text }})
	start(t, e)
	if got, want := <-said, "in "+a+" <nil>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, step := range []struct {
		move func() error
		want string
	}{
		{func() error { return errors.Join(os.Remove(link), os.Symlink(b, link)) }, b},
		{func() error { return os.Remove(link) }, a},
	} {
		if err := step.move(); err != nil {
			t.Fatal(err)
		}
		if err := e.Restart(t.Context(), Selector{}, nil); err != nil {
			t.Fatal(err)
		}
		if got, want := <-said, "in "+step.want+" <nil>"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Processes that outlive the worker: one in its group is killed, one that left
// it holds the pipes and delays the record no longer than it may.
func TestGrandchildren(t *testing.T) {
	for _, kind := range []string{"group", "session"} {
		t.Run(kind, func(t *testing.T) {
			var deaths deathsOf
			e := newReal(t, "good", Options{OnDeath: deaths.on})
			start(t, e)
			s, err := e.Open(t.Context(), session.OpenOptions{Event: "grandchild " + kind})
			if err != nil {
				t.Fatal(err)
			}
			text, err := answer(s)
			if err != nil {
				t.Fatal(err)
			}
			grand, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if err := unix.Kill(pidsOf(e)[0], unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			deaths.wait(t, 1)
			took := time.Since(begun)
			if kind == "group" {
				until(t, "the grandchild is gone", func() bool { return !alive(grand) })
				return
			}
			if !alive(grand) {
				t.Error("a process that is not ours was killed")
			}
			_ = unix.Kill(grand, unix.SIGKILL)
			if took < drainPipes || took > drainPipes+30*time.Second {
				t.Errorf("the record came after %v", took)
			}
		})
	}
}

// Exits soon after it is online: rests grow. After a second of service: none.
func TestExitsAgainAndAgain(t *testing.T) {
	rests := func(play string, n int) (all []time.Duration) {
		var deaths deathsOf
		e := newReal(t, play, Options{OnDeath: deaths.on, Backoff: BackoffOptions{Min: 200 * time.Millisecond, Max: 10 * time.Second}})
		start(t, e)
		var begun []time.Time
		last := ""
		until(t, "enough processes", func() bool {
			if w := e.Status().Workers; len(w) > 0 && w[len(w)-1].ID != last && w[len(w)-1].State == "starting" {
				last = w[len(w)-1].ID
				begun = append(begun, time.Now())
			}
			return len(begun) >= n
		})
		for i, d := range deaths.wait(t, n)[:n] {
			if i > 0 {
				all = append(all, d.Uptime)
			}
		}
		_ = e.Close()
		var gaps []time.Duration
		for i := 1; i < len(begun); i++ {
			gaps = append(gaps, begun[i].Sub(begun[i-1])-all[min(i-1, len(all)-1)])
		}
		return gaps
	}
	early := rests("exits", 3)
	late := rests("exits-slowly", 3)
	t.Log("rests after early deaths", early, "and after a second of service", late)
	if len(early) < 2 || early[len(early)-1] < 150*time.Millisecond {
		t.Errorf("rests after early deaths: %v", early)
	}
	for _, d := range late {
		if d > 150*time.Millisecond {
			t.Errorf("rests after service: %v", late)
		}
	}
}

// Strangers on the real socket.
func TestRealStrangers(t *testing.T) {
	var log logBook
	e := newReal(t, "good", Options{Logger: log.logger(), HandshakeTimeout: 200 * time.Millisecond})
	start(t, e)
	id := e.Status().Workers[0].ID
	for name, p := range map[string][]byte{
		"nothing":   nil,
		"no frame":  []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"unknown":   greeting("11111111-2222-3333-4444-555555555555", 0),
		"stolen id": greeting(id, 0),
		"session":   codec.AppendInvoke(nil, 1, 3, "x", -1),
	} {
		c := rawDial(t, e, 0)
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 100)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %d bytes, %v", name, n, err)
		}
	}
	until(t, "all are counted", func() bool { return e.Stats().Strangers == 5 })
	if got, err := ask(t, e, "echo"); got != "first" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, mode := range []struct {
		path string
		want os.FileMode
	}{{e.opt.RuntimeDir, fs.ModeDir | 0o700}, {strings.TrimPrefix(e.lanes[0].endpoint, "unix:"), fs.ModeSocket | 0o600}} {
		if fi, err := os.Stat(mode.path); err != nil || fi.Mode() != mode.want {
			t.Errorf("%s: mode %v, %v; want %v", mode.path, fi.Mode(), err, mode.want)
		}
	}
}

// A worker that opens and cancels without end is refused, costs the engine no
// memory, and keeps the other worker from nothing.
func TestRealOpener(t *testing.T) {
	e := newReal(t, "second-opens", Options{Workers: 2})
	start(t, e)
	begun := time.Now()
	until(t, "it opens", func() bool { return e.Stats().Refused > 100_000 })
	t.Logf("%d sessions refused in %v", e.Stats().Refused, time.Since(begun))
	for _, c := range e.living() {
		for _, ch := range c.all() {
			if n, queued := ch.mux.Sessions(), ch.link.Queued(); n > 1000 || queued > 16<<20 {
				t.Errorf("%d sessions are kept, %d bytes queued", n, queued)
			}
		}
	}
	answers := make(chan error, 20) // of which some may wait behind what the offender was told
	for range cap(answers) {
		go func() { // ends with the answer, or with the engine
			_, err := ask(t, e, "echo")
			answers <- err
		}()
	}
	late := time.After(10 * time.Second)
	const enough = 3
	for n := range enough {
		select {
		case err := <-answers:
			if err != nil {
				t.Error(err)
			}
		case <-late:
			t.Fatalf("%d answers in 10 s", n)
		}
	}
	_ = e.Close()
	for range cap(answers) - enough {
		<-answers
	}
}

// A runtime directory of another engine, or one that is not ours alone.
func TestRuntimeDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	first := newReal(t, "good", Options{RuntimeDir: dir, Name: "a"})
	start(t, first)
	second := newReal(t, "good", Options{RuntimeDir: dir, Name: "a"})
	err := second.Start(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "in use by a running engine") {
		t.Errorf("second engine: %v", err)
	}
	if got, err := ask(t, first, "echo"); got != "first" || err != nil {
		t.Errorf("first engine: %q, %v", got, err)
	}
	start(t, newReal(t, "good", Options{RuntimeDir: dir, Name: "b"})) // another name is fine

	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := newReal(t, "good", Options{RuntimeDir: open}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("open directory: %v", err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("l", 100))
	if err := newReal(t, "good", Options{RuntimeDir: long}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "107 is the most") {
		t.Errorf("long path: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := newReal(t, "good", Options{RuntimeDir: link}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("symbolic link: %v", err)
	}
}

// An engine that is killed with SIGKILL leaves no worker behind.
func TestEngineKilled(t *testing.T) {
	c, pids := engineProcess(t)
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("worker %d does not live", pid)
		}
	}
	killed := time.Now()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	for _, pid := range pids {
		until(t, "the worker is gone", func() bool { return !alive(pid) })
	}
	t.Logf("workers were gone %v after their engine", time.Since(killed))
	if d := time.Since(killed); d > 30*time.Second {
		t.Errorf("workers outlived their engine by %v", d)
	}
}

// As PID 1 must, the engine reaps orphans that were handed to it, and neither
// its own workers nor what another part of the program has started.
func TestReaps(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skipf("no subreaper here: %v", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	var deaths deathsOf
	e := newReal(t, "good", Options{Reap: true, OnDeath: deaths.on})
	start(t, e)

	theirs := exec.Command("true") // dead, and waited for only in the end
	if err := theirs.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := ask(t, e, "grandchild brief")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pidsOf(e)[0], unix.SIGKILL); err != nil { // its child becomes ours
		t.Fatal(err)
	}
	if d := deaths.wait(t, 1)[0]; d.Signal != "SIGKILL" {
		t.Errorf("the worker was reaped by somebody else: %+v", d)
	}
	until(t, "the orphan is reaped", func() bool {
		_, err := os.Stat("/proc/" + text)
		return errors.Is(err, fs.ErrNotExist)
	})
	until(t, "one is counted", func() bool { return e.Stats().Reaped == 1 })
	if err := theirs.Wait(); err != nil {
		t.Errorf("a child of somebody else was reaped: %v", err)
	}
}

func TestEndsWithoutStart(t *testing.T) {
	e, err := New(Options{Path: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Start(t.Context()); err != ErrClosed {
		t.Errorf("got %v", err)
	}
	if st := e.Status(); len(st.Workers) != 0 || st.Name == "" {
		t.Errorf("status %+v", st)
	}
}

// A program whose file is still open for writing somewhere is tried again for a
// second, and no longer.
func TestBusyProgram(t *testing.T) {
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		open time.Duration
		ok   bool
	}{{guard.BusyGrace / 4, true}, {time.Hour, false}} {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, self, 0o755); err != nil {
			t.Fatal(err)
		}
		writer, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(tt.open, func() { writer.Close() })
		e, err := New(Options{Path: path, Workers: 1, Loops: 1, Env: []string{envPlay + "=good"}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err = e.Start(t.Context())
		took := time.Since(begun)
		var se *StartError
		switch {
		case tt.ok && (err != nil || took < tt.open):
			t.Errorf("open for %v: %v after %v", tt.open, err, took)
		case !tt.ok && (!errors.As(err, &se) || !errors.Is(se.Death.Err, syscall.ETXTBSY) || took < guard.BusyGrace):
			t.Errorf("open for ever: %v after %v, want text file busy", err, took)
		}
		timer.Stop()
		_ = writer.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
