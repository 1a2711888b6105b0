package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/workertest"
)

// patience is how long a test waits for something that should be quick.
const patience = 20 * time.Second

// program compiles testdata/program.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/program").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// A process is the program, started as an engine would.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // to be read after end
	ended  chan struct{}
	err    error
}

// start runs the program at path as a worker of e; the program's own arguments
// follow the engine's.
func start(t *testing.T, path string, e *workertest.Engine, plain bool, args ...string) *process {
	t.Helper()
	p := &process{ended: make(chan struct{})}
	if plain {
		args = append(e.Args(), args...)
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = os.Environ()
	if !plain {
		p.cmd.Env = append(p.cmd.Env, e.Environ()...)
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process, which Cleanup kills
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// end waits for the process and checks its exit code and how the lines begin
// that it wrote, those of the logger left out.
func (p *process) end(t *testing.T, code int, lines ...string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("the program does not end")
	}
	var got []string
	for line := range strings.Lines(p.stderr.String()) {
		if strings.HasPrefix(line, "event:") || strings.HasPrefix(line, "worker:") {
			got = append(got, line)
		}
	}
	begins := func(line, prefix string) bool { return strings.HasPrefix(line, prefix) }
	if p.cmd.ProcessState.ExitCode() != code || !slices.EqualFunc(got, lines, begins) {
		t.Errorf("got exit code %d, stderr\n%swant %d and\n%s", p.cmd.ProcessState.ExitCode(), &p.stderr, code, strings.Join(lines, "\n"))
	}
}

// listen plays an engine on real sockets.
func listen(t *testing.T, o workertest.Options) *workertest.Engine {
	t.Helper()
	e := workertest.New(o)
	dir, err := os.MkdirTemp("", "wt") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Listen(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Kill()
		_ = os.RemoveAll(dir)
	})
	return e
}

// until waits for something to become true of what the engine has seen.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestPrograms: a program with flags of its own lives under either kind of
// engine, and its child, which links this package too, is not fooled.
func TestPrograms(t *testing.T) {
	path := program(t)
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			e := listen(t, p.o)
			prog := start(t, path, e, p.o.Plain, "-name", "world", "a", "b")
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			for _, c := range []struct{ event, want string }{
				{"greet", "hello world a,b"},
				{"self", `args=["-name" "world" "a" "b"] env=[]`},
				{"child", `launched=false not=true args=["-child"] env=[]<nil>`},
			} {
				s, err := e.Open(ctx, session.OpenOptions{Event: c.event, First: []byte("x"), Last: true})
				if err != nil {
					t.Fatal(err)
				}
				_ = s.SetReadDeadline(time.Now().Add(patience))
				if got, err := answer(t, s); got != c.want || err != nil {
					t.Errorf("%s: got %q, %v; want %q", c.event, got, err, c.want)
				}
			}
			argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", prog.cmd.Process.Pid))
			if err != nil || !p.o.Plain && bytes.Contains(argv, []byte(workertest.UUID)) {
				t.Errorf("argv %q, %v: holds the uuid", argv, err)
			}
			e.Terminate(1, "enough")
			prog.end(t, 0, "event: connect", "event: terminate 1 enough")
		})
	}
}

// TestSignals: SIGINT is nothing to a worker, and SIGTERM asks to be drained.
func TestSignals(t *testing.T) {
	e := listen(t, workertest.Options{Channels: 2})
	prog := start(t, program(t), e, false, "-name", "world")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	greet := func() {
		t.Helper()
		s, err := e.Open(ctx, session.OpenOptions{Event: "greet", Last: true, First: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SetReadDeadline(time.Now().Add(patience))
		if got, err := answer(t, s); got != "hello world " || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	greet()
	signal := func(s os.Signal) {
		t.Helper()
		if err := prog.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(os.Interrupt)
	signal(os.Interrupt)
	greet()
	signal(syscall.SIGTERM)
	until(t, "leaving", func() bool { return len(e.Seen().Leaving) == 1 })
	if got := e.Seen().Leaving[0]; got != "SIGTERM" {
		t.Errorf("leaving because of %q", got)
	}
	greet() // it serves until it is drained
	greet()
	select {
	case <-prog.ended:
		t.Fatal("it left without being drained")
	default:
	}
	e.Drain(time.Minute)
	prog.end(t, 0, "event: connect", "event: drain")
	if seen := e.Seen(); seen.HalfClosed != 2 || seen.Closed[0] != nil || seen.Closed[1] != nil {
		t.Errorf("got %+v, want both channels half-closed by the worker", seen)
	}
}

// TestEngineDies: a worker does not outlive its engine.
func TestEngineDies(t *testing.T) {
	e := listen(t, workertest.Options{})
	prog := start(t, program(t), e, false)
	<-e.Online()
	_ = e.Kill()
	prog.end(t, 1, "event: connect", "event: error", "worker: channel lost")
}

// TestBadLaunch: a launch of no use is an error, not a program that runs alone.
func TestBadLaunch(t *testing.T) {
	path := program(t)
	for _, c := range []struct {
		env, args []string
		want      string
	}{
		{[]string{"HEDDLE_PROTOCOL=2", "HEDDLE_UUID=u"}, nil, `worker: HEDDLE_PROTOCOL="2"`},
		{nil, []string{"--uuid", "u", "--endpoint", "/x", "--protocol", "9"}, "worker: --protocol 9"},
		{nil, nil, "worker: not started by an engine"},
	} {
		cmd := exec.Command(path, c.args...)
		cmd.Env = append(os.Environ(), c.env...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(string(out), c.want) {
			t.Errorf("%q %q: got exit code %d, %q; want 1, %q", c.env, c.args, cmd.ProcessState.ExitCode(), out, c.want)
		}
	}
}

// TestNobodyListens: the error of a connect names the endpoint and the errno.
func TestNobodyListens(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := refused.Addr().String()
	_ = refused.Close()
	for endpoint, want := range map[string]error{
		addr: syscall.ECONNREFUSED, "unix:" + filepath.Join(t.TempDir(), "no"): syscall.ENOENT, "unix:/" + strings.Repeat("x", 200): nil,
	} {
		wo, d := noted(worker.Options{Launch: &worker.Launch{Heddle: true, Dialect: heddle.V1, Endpoint: endpoint, UUID: "u"}})
		w, err := worker.New(wo)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Connect(context.Background())
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), endpoint) {
			t.Errorf("%s: got %v, want %v", endpoint, err, want)
		}
		until(t, "the error event", func() bool { return d.String() == "error" })
		if w.State() != worker.StateClosed {
			t.Errorf("got %s", w.State())
		}
	}
}

// TestTCP: an engine may be on a TCP endpoint as well.
func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	w, err := worker.New(worker.Options{Launch: &worker.Launch{Dialect: heddle.V0, Endpoint: ln.Addr().String(), UUID: "u"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	want := "\x93\x00\x00\x91\xa1u" + "\x93\x01\x00\x90" // handshake, heartbeat (PROTOCOL 2.4)
	got := make([]byte, len(want))
	if _, err := c.Read(got); err != nil || string(got) != want {
		t.Errorf("got % x, %v; want % x", got, err, want)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(got); n != 0 || err == nil {
		t.Errorf("after Close: got %d bytes, %v", n, err)
	}
}
