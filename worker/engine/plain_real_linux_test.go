package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/worker"
)

// warming is how long plain-attach takes until it says that it is online.
const warming = 500 * time.Millisecond

// playPlain is a plain program: it serves at one of the addresses that it is told
// of, and answers with what it knows.
func playPlain(play string) {
	var ln net.Listener
	var err error
	switch play {
	case "plain-listen":
		if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") != "1" {
			panic("LISTEN_PID is " + os.Getenv("LISTEN_PID"))
		}
		ln, err = net.FileListener(os.NewFile(3, "listener"))
	case "plain-port", "plain-not-yet":
		ln, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	case "plain-six":
		ln, err = net.Listen("tcp", "[::1]:"+os.Getenv("PORT"))
	case "plain-attach": // warms up, and asks to be replaced when /break is asked for
		worker.ManualOnline()
		time.AfterFunc(warming, func() { _ = worker.ReportOnline() })
		ln, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	case "plain-talk": // has messages, and warms up before it attaches
		if err := talkHandlers(); err != nil {
			panic(err)
		}
		time.AfterFunc(warming, func() { _ = worker.Ready() })
		ln, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	case "plain-socket":
		ln, err = net.Listen("unix", os.Getenv("HEDDLE_SOCKET"))
	case "plain-link": // would have us ask somebody else's socket
		if err := os.Symlink(os.Getenv("LINK"), os.Getenv("HEDDLE_SOCKET")); err != nil {
			panic(err)
		}
		select {}
	case "plain-way": // would have no other process start
		own := filepath.Dir(os.Getenv("HEDDLE_SOCKET"))
		for i := 2; i < 10; i++ {
			_ = os.MkdirAll(filepath.Join(own, fmt.Sprintf("h%d.s", i), "x"), 0o700)
		}
		ln, err = net.Listen("unix", os.Getenv("HEDDLE_SOCKET"))
	case "plain-deep": // makes more directories in one another than we have descriptors
		if err := deepen(filepath.Dir(os.Getenv("HEDDLE_SOCKET")), 1000); err != nil {
			panic(err)
		}
		ln, err = net.Listen("unix", os.Getenv("HEDDLE_SOCKET"))
	case "plain-rubbish":
		ln, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
		for err == nil {
			var c net.Conn
			if c, err = ln.Accept(); err == nil {
				fmt.Fprint(c, "SSH-2.0-rubbish\r\n\r\n")
				c.Close()
			}
		}
	}
	if err != nil {
		panic(err)
	}
	begun, notYet := time.Now(), 500*time.Millisecond
	if text := os.Getenv("NOT_YET"); text != "" {
		notYet, _ = time.ParseDuration(text)
	}
	panic(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/break" {
			_ = worker.ReportBroken("asked to")
		}
		switch {
		case play == "plain-not-yet" && time.Since(begun) < notYet:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/health":
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprintf(w, "%s %d %s", play, os.Getpid(), r.URL.Path)
	})))
}

// startPlain starts a real engine of this binary as a plain program.
func startPlain(t *testing.T, play string, o Options) (*Engine, error) {
	t.Helper()
	o.HTTP = &PlainHTTP{Health: "/health"}
	o.Env = append(o.Env, envPlay+"="+play)
	if o.Path == "" {
		o.Path = os.Args[0]
	}
	o.Workers = 1
	dir, err := os.MkdirTemp("", "he")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o.RuntimeDir = dir
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return e, e.Start(t.Context())
}

func getPlain(t *testing.T, e *Engine) string {
	t.Helper()
	return getPlainPath(t, e, "/x")
}

func getPlainPath(t *testing.T, e *Engine, path string) string {
	t.Helper()
	u, err := e.Acquire(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Give(false)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return u.Dial(ctx)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://plain" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPlainPrograms: each address is found by programs that know just that one.
func TestPlainPrograms(t *testing.T) {
	for _, play := range []string{"plain-listen", "plain-port", "plain-six", "plain-socket", "plain-not-yet"} {
		t.Run(play, func(t *testing.T) {
			if play == "plain-six" && !hasSix() {
				t.Skip("this machine has no ::1")
			}
			t.Parallel()
			e, err := startPlain(t, play, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%s %d /x", play, e.Status().Workers[0].Pid)
			if got := getPlain(t, e); got != want {
				t.Errorf("got %q, want %q: status shows the program's own process", got, want)
			}
		})
	}
}

// TestPlainStartErrors: what a person reads of programs that do not serve.
func TestPlainStartErrors(t *testing.T) {
	script := func(text string) []string { return []string{"-c", text} }
	for _, c := range []struct {
		name, play string
		o          Options
		want       []string
	}{
		{"never yet", "plain-not-yet", Options{Env: []string{"NOT_YET=1h"}}, []string{"on 127.0.0.1: answered with 503 (Service Unavailable), which counts as not ready"}},
		{"rubbish", "plain-rubbish", Options{}, []string{"LISTEN_FDS (descriptor 3): accepted and silent", "on 127.0.0.1: answered, but not in HTTP: \"SSH-2.0-rubbish", "HEDDLE_SOCKET: not there", "SIGTERM"}},
		{"exits", "", Options{Path: "/bin/sh", Args: script("echo port $PORT is no good >&2; exit 4")}, []string{"exited with status 4 before it was online", "is no good"}},
		{"killed", "", Options{Path: "/bin/sh", Args: script("kill -SEGV $$")}, []string{"was killed by SIGSEGV before"}},
		{"elsewhere", "", Options{Path: "/bin/sh", Args: script("sleep 60")}, []string{"on 127.0.0.1: refused"}},
		{"says so", "", Options{Path: "/bin/sh", Args: script(`python3 -c 'import os,socket; socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM).sendto(b"READY=1",os.environ["NOTIFY_SOCKET"])'; sleep 60`)}, []string{"and yet it said READY=1"}},
		{"no directory", "", Options{Path: "/bin/sh", Dir: "/nowhere/at/all"}, []string{"could not be started: its working directory /nowhere/at/all: no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.name == "says so" {
				if _, err := exec.LookPath("python3"); err != nil {
					t.Skip("no python3")
				}
			}
			c.o.StartTimeout = 2 * time.Second
			_, err := startPlain(t, c.play, c.o)
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %q in it", err, want)
				}
			}
		})
	}
}

// family is a script whose workers are in sessions and groups of their own; it
// writes their numbers and serves.
const family = `
sleep 300 & echo $! >> "$PIDS"
setsid sleep 300 & echo $! >> "$PIDS"
setsid sh -c 'sleep 300 & echo $! >> "$PIDS"; trap "" TERM; sleep 300' & echo $! >> "$PIDS"
echo $$ >> "$PIDS"
"$SELF" & echo $! >> "$PIDS"
wait
`

// startFamily returns the numbers of all that the script has started.
func startFamily(t *testing.T) (e *Engine, pids []int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pids")
	e, err := startPlain(t, "plain-port", Options{Path: "/bin/sh", Args: []string{"-c", family}, Env: []string{"PIDS=" + file, "SELF=" + os.Args[0]}, KillDelay: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return e, readPids(t, file, 6)
}

func readPids(t *testing.T, file string, n int) (pids []int) {
	t.Helper()
	for range 1000 {
		b, _ := os.ReadFile(file)
		if f := strings.Fields(string(b)); len(f) >= n {
			for _, s := range f {
				pid, err := strconv.Atoi(s)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			return pids
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the script did not start")
	return nil
}

// gonePids waits until none of the processes is there.
func gonePids(t *testing.T, pids []int) {
	t.Helper()
	end := time.Now().Add(5 * time.Second)
	for _, pid := range pids {
		for alivePid(pid) {
			if time.Now().After(end) {
				t.Errorf("process %d is left of %v", pid, pids)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func alivePid(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestPlainFamily: whatever ends a program, nothing that it has started is left.
func TestPlainFamily(t *testing.T) {
	kill := func(t *testing.T, pid int) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("shutdown", func(t *testing.T) {
		t.Parallel()
		e, pids := startFamily(t)
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		gonePids(t, pids)
	})
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		e, pids := startFamily(t)
		e.Close()
		gonePids(t, pids)
	})
	t.Run("kill the program", func(t *testing.T) {
		t.Parallel()
		e, pids := startFamily(t)
		kill(t, e.Status().Workers[0].Pid)
		gonePids(t, pids)
	})
	t.Run("kill the guardian", func(t *testing.T) {
		t.Parallel()
		e, pids := startFamily(t)
		c := e.living()[0]
		kill(t, c.pid())
		// What was in a session of its own is beyond anybody's reach then.
		gonePids(t, []int{pids[0], e.Status().Workers[0].Pid})
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
}

// TestPlainEngineKilled: nothing is left of an engine that is killed with -9, not
// even of a group that was stopped.
func TestPlainEngineKilled(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		t.Run(fmt.Sprintf("stopped=%v", stopped), func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "he")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			file := filepath.Join(dir, "pids")
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), envPlay+"=plain-engine", "PIDS="+file, "DIR="+dir)
			c.Stderr = os.Stderr
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			pids := readPids(t, file, 6)
			if stopped {
				group, err := unix.Getpgid(pids[3])
				if err != nil || group == unix.Getpgrp() {
					t.Fatal(group, err)
				}
				if err := unix.Kill(-group, unix.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				pids = append(pids, group)
			}
			_ = c.Process.Kill()
			_ = c.Wait()
			if stopped {
				Sweep(filepath.Join(dir, "run")) // lets the guardian do it, who finds more
				for _, pid := range pids {
					if alivePid(pid) {
						t.Errorf("process %d is left by Sweep", pid)
					}
				}
			}
			gonePids(t, pids)
		})
	}
}

// playPlainEngine is an engine with a family, for ever.
func playPlainEngine() {
	e, err := New(Options{Path: "/bin/sh", Args: []string{"-c", family}, HTTP: new(PlainHTTP), Workers: 1, RuntimeDir: filepath.Join(os.Getenv("DIR"), "run"), Env: []string{envPlay + "=plain-port", "SELF=" + os.Args[0]}})
	if err == nil {
		err = e.Start(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

// TestPlainPorts: no two processes are told of one port, and none that the kernel
// gives to who asks for any.
func TestPlainPorts(t *testing.T) {
	table := portTable{taken: make(map[int]io.Closer)}
	seen := make(map[int]bool)
	from, to := portRange()
	for range 300 {
		p, err := table.take()
		if err != nil {
			t.Fatal(err)
		}
		if seen[p] || p < from || p >= to {
			t.Fatalf("port %d, of %d to %d", p, from, to)
		}
		seen[p] = true
	}
	other := portTable{taken: make(map[int]io.Closer)} // another process has one of its own
	for p := range seen {
		if other.reserve(p) {
			t.Fatalf("port %d is taken twice", p)
		}
		table.give(p)
		if other.reserve(p) { // unless somebody else was faster
			other.give(p)
		}
	}
	if len(table.taken) > 0 {
		t.Error(table.taken)
	}
}

// TestPlainHealthPath refuses what cannot be one.
func TestPlainHealthPath(t *testing.T) {
	for _, path := range []string{"healthz", "/a b", "/a\r\nX: y", "/ü"} {
		if _, err := New(Options{Path: os.Args[0], HTTP: &PlainHTTP{Health: path}}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
	e, err := New(Options{Path: os.Args[0], HTTP: new(PlainHTTP)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Acquire(t.Context(), ""); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestPlainAttach: a program that links package worker, below a shell and in a
// session of its own, attaches; a process that is not below its guardian cannot,
// though it knows all that the program does.
func TestPlainAttach(t *testing.T) {
	e, err := startPlain(t, "plain-attach", Options{Path: "/bin/sh", Args: []string{"-c", `setsid -w "$SELF"; exit 1`}, Env: []string{"SELF=" + os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	before := e.Status().Workers[0]
	if d := time.Since(e.living()[0].begun); d < warming {
		t.Errorf("ready after %v, before it said so", d)
	}
	c := rawDial(t, e, 0)
	offer := &heddle.Offer{Version: heddle.Raw("test"), PID: uint64(before.Pid)}
	for _, f := range features {
		offer.Features = append(offer.Features, heddle.Raw(f))
	}
	if _, err := c.Write(codec.AppendHandshake(nil, heddle.V1, before.ID, offer)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a stranger was answered: %d bytes, %v", n, err)
	}
	getPlainPath(t, e, "/break")
	until := time.Now().Add(20 * time.Second)
	for e.Stats().Expected == 0 && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	if got := getPlain(t, e); e.Status().Workers[0].ID == before.ID || !strings.HasSuffix(got, " /x") {
		t.Errorf("not replaced; got %q", got)
	}
	if s := e.Stats(); s.Strangers != 1 || s.Lost != 0 || s.Deaths != 1 || s.Expected != 1 {
		t.Errorf("stats %+v", s)
	}
}
