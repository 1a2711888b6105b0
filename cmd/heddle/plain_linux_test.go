package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat/front"
)

const plainGo = `package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	ln, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		panic(err)
	}
	panic(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "fine") })))
}
`

const plainNode = `require('http').createServer((q, s) => s.end('fine\n')).listen(process.env.HEDDLE_SOCKET)
`

// TestPlainPrograms deploys real programs, of several languages, under load by
// sockets that never retry.
func TestPlainPrograms(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("index.html", "fine\n")
	write("server.js", plainNode)
	write("main.go", plainGo)
	write("go.mod", "module plain\n\ngo 1.26\n")
	write("wrapped", "#!/bin/sh\nsleep 300 &\nnode server.js\necho not reached\n")
	write("prometheus.yml", "")
	for _, tt := range []struct {
		name, needs string
		path, want  string
		command     []string
	}{
		{"go", "go", "/", "fine\n", []string{"."}},
		{"attached", "app", "/", "hello from app\n", []string{"app"}},
		{"node", "node", "/", "fine\n", []string{"node", "server.js"}},
		{"python", "python3", "/", "fine\n", []string{"python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"}},
		{"sh", "node", "/", "fine\n", []string{"./wrapped"}},
		{"prometheus", "prometheus", "/-/ready", "Prometheus Server is Ready.\n", []string{"prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data/{port}", "--web.listen-address=127.0.0.1:{port}", "--log.level=error"}},
		{"caddy", "caddy", "/", "fine\n", []string{"caddy", "file-server", "--listen", "127.0.0.1:{port}"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tt.needs); err != nil {
				t.Skipf("no %s on this machine", tt.needs)
			}
			d := startPlain(t, dir, "p"+tt.name, tt.path, tt.command...)
			l := loadPlain(t, d.addr, tt.path, tt.want)
			for range plainDeploys() {
				before := l.good.Load()
				until(func() bool { return l.good.Load() > before+20 })
				if out, err := d.heddle("deploy"); err != nil {
					t.Fatalf("deploy: %v\n%s\n%s", err, out, d.said.String())
				}
			}
			l.stop()
			if l.bad.Load() > 0 || l.good.Load() < 60 {
				t.Errorf("%d requests answered, %d lost: %v", l.good.Load(), l.bad.Load(), l.first.Load())
			}
			t.Logf("%d requests sent, %d lost, during %d deploys", l.good.Load()+l.bad.Load(), l.bad.Load(), plainDeploys())
			pids := plainPids(t, d)
			if out, err := d.heddle("stop"); err != nil {
				t.Errorf("stop: %v\n%s", err, out)
			}
			<-d.done
			for _, pid := range pids {
				if !until(func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }) {
					t.Errorf("process %d is left", pid)
				}
			}
		})
	}
}

// plainDeploys is how many deploys of each program there are, unless
// HEDDLE_TEST_DEPLOYS says another number.
func plainDeploys() int {
	if n, err := strconv.Atoi(os.Getenv("HEDDLE_TEST_DEPLOYS")); err == nil {
		return n
	}
	return 3
}

// A plainDaemon is a heddle run --http of a test.
type plainDaemon struct {
	*child
	name, state, addr string
}

func startPlain(t *testing.T, dir, name, health string, command ...string) *plainDaemon {
	t.Helper()
	return startDaemon(t, dir, name, append([]string{"--http", "--health", health, "--workers", "2", "--listen", "127.0.0.1:0", "--"}, command...)...)
}

// startDaemon starts heddle run in dir.
func startDaemon(t *testing.T, dir, name string, flags ...string) *plainDaemon {
	t.Helper()
	state, err := os.MkdirTemp("", "hd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(heddle, append([]string{"run", "--name", name}, flags...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+state, "PWD="+dir)
	c, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	d := &plainDaemon{child: c, name: name, state: state}
	if !until(func() bool {
		m := readyLine.FindStringSubmatch(c.said.String())
		if m != nil {
			d.addr = strings.TrimPrefix(m[1], "http://")
		}
		return m != nil
	}) {
		t.Fatalf("not ready; it said:\n%s", c.said.String())
	}
	return d
}

func (d *plainDaemon) heddle(verb string) (string, error) {
	cmd := exec.Command(d.cmd.Path, verb, "--name", d.name)
	cmd.Env, cmd.Dir = d.cmd.Env, d.cmd.Dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// plainPids are the processes below a daemon.
func plainPids(t *testing.T, d *plainDaemon) (pids []int) {
	t.Helper()
	below := map[string]bool{fmt.Sprint(d.cmd.Process.Pid): true}
	for range 4 { // generations of processes
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			t.Fatal(err)
		}
		pids = nil
		for _, file := range stats {
			b, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
			pid := filepath.Base(filepath.Dir(file))
			if len(f) > 1 && below[f[1]] {
				below[pid] = true
				var n int
				fmt.Sscan(pid, &n)
				pids = append(pids, n)
			}
		}
	}
	if len(pids) < 4 {
		t.Errorf("processes %v: want two programs and their guardians at least", pids)
	}
	return pids
}

// A plainLoad asks without ever asking again.
type plainLoad struct {
	head    string   // of each request
	answers []string // that are right

	good, bad atomic.Int64
	first     atomic.Value // of the errors
	last      atomic.Value // of the answers
	end       context.CancelFunc
	wg        sync.WaitGroup
}

func loadPlain(t *testing.T, addr, path, want string) *plainLoad {
	return loadOf(t, addr, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n", want)
}

func loadOf(t *testing.T, addr, head string, answers ...string) *plainLoad {
	ctx, cancel := context.WithCancel(context.Background())
	l := &plainLoad{head: head, answers: answers, end: cancel}
	for i := range 4 {
		l.wg.Go(func() { // ends with stop
			for ctx.Err() == nil {
				if err := l.converse(ctx, addr, i%2 == 0); err != nil {
					l.bad.Add(1)
					l.first.CompareAndSwap(nil, err.Error())
				}
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *plainLoad) stop() {
	l.end()
	l.wg.Wait()
}

// converse asks on one connection, kept or not.
func (l *plainLoad) converse(ctx context.Context, addr string, kept bool) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for n := 0; n == 0 || kept && ctx.Err() == nil; n++ {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, l.head); err != nil {
			return err
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || !slices.Contains(l.answers, string(body)) {
			return fmt.Errorf("status %d, %q, %w", resp.StatusCode, body, err)
		}
		l.last.Store(string(body))
		l.good.Add(1)
		time.Sleep(time.Millisecond)
	}
	return nil
}

// TestPlainDirectory: a link on the way to the working directory is looked at at
// each start (a deploy by a link called current).
func TestPlainDirectory(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 on this machine")
	}
	dir := t.TempDir()
	for _, v := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, v, "index.html"), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "current")
	if err := os.Symlink("one", current); err != nil {
		t.Fatal(err)
	}
	d := startPlain(t, current, "link", "/", "python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}")
	get := func() string {
		resp, err := http.Get("http://" + d.addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	defer http.DefaultClient.CloseIdleConnections()
	if got := get(); got != "one" {
		t.Errorf("got %q", got)
	}
	if err := errors.Join(os.Remove(current), os.Symlink("two", current)); err != nil {
		t.Fatal(err)
	}
	if out, err := d.heddle("deploy"); err != nil {
		t.Fatal(err, out)
	}
	if got := get(); got != "two" {
		t.Errorf("after the link was moved and a deploy: got %q", got)
	}
}

// TestInPlaceChanged: what stands in the program's place by now is told without
// waiting for it.
func TestInPlaceChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("one"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newStore(t.TempDir())
	r := &release{Name: s.reserve(), InPlace: true, Program: path, Args: []string{}}
	if err := s.add(t.Context(), r, "program", func(context.Context, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		do         func() error
	}{
		{"as it was", "", func() error { return nil }},
		{"touched", "", func() error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) }},
		{"other bytes", "has changed", func() error { return os.WriteFile(path, []byte("two"), 0o700) }},
		{"longer", "has changed", func() error { return os.WriteFile(path, []byte("three"), 0o700) }},
		{"gone", "has gone", func() error { return os.Remove(path) }},
		{"a pipe", "has changed", func() error { return syscall.Mkfifo(path, 0o700) }},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if got := r.changed(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q in it", c.name, got, c.want)
		}
	}
	f, err := s.open(r.Name)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

// TestPlainProxyKept: a reload that leaves the time-out as it is leaves the proxy.
func TestPlainProxyKept(t *testing.T) {
	o := &appOptions{name: "shop", plain: plainFlags{http: true}}
	a := &app{d: &daemon{o: &runOptions{apps: []*appOptions{o}}}, o: o, log: slog.New(slog.DiscardHandler)}
	first := a.proxy()
	if a.proxy() != first {
		t.Error("another proxy for the same limits")
	}
	a.limit(front.AppLimits{ResponseHeaderTimeout: time.Second})
	if a.proxy() == first {
		t.Error("the same proxy for another time-out")
	}
}

// TestMetricsOfPlain: so it is with a program that serves plain HTTP, whose requests
// are all by net/http.
func TestMetricsOfPlain(t *testing.T) {
	w := runWatched(t, true, "--workers", "2", "--loops", "2", "--queue", "1", "--http", "--health", "/say", "app", "--", "-plain", "-addr", "127.0.0.1:{port}", "-say", "one")
	w.traffic("r1")
	w.agree()
	mustHeddle(t, "deploy", "app", "--", "-plain", "-addr", "127.0.0.1:{port}", "-say", "two")
	w.traffic("r2")
	w.agree()
	mustHeddle(t, "suspend")
	waiter := make(chan int, 1)
	go func() { waiter <- w.ask("", "GET", "/say", nil) }()
	w.has(map[string]float64{`heddle_queue_length{app="w"}`: 1})
	if code := w.ask("", "GET", "/say", nil); code != 503 {
		t.Errorf("got %d, want 503: nobody had it", code)
	}
	mustHeddle(t, "resume")
	if code := <-waiter; code != 200 {
		t.Errorf("who waited got %d", code)
	}
	w.agree()
}
