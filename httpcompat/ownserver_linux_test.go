package httpcompat_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/worker/workertest"
)

// itself is what envProgram says for a program that serves by Serve and tells what
// it hears.
const itself = "itself"

func serveItself() {
	srv := &http.Server{}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/shutdown":
			go srv.Shutdown(context.Background()) // ends with Serve
		case "/again":
			fmt.Println("again:", httpcompat.Serve(&http.Server{}))
		case "/close":
			go srv.Close() // ends with Serve
		}
		io.WriteString(w, "fine")
	})
	srv.RegisterOnShutdown(func() { fmt.Println("told") })
	fmt.Println("ended:", httpcompat.Serve(srv))
	os.Exit(0)
}

// A plainProcess is that program under an engine of plain HTTP.
type plainProcess struct {
	t     *testing.T
	e     *workertest.Engine
	cmd   *exec.Cmd
	lines *bufio.Scanner
	path  string
}

func startItself(t *testing.T, port bool) *plainProcess {
	t.Helper()
	dir, err := os.MkdirTemp("", "hc")
	if err != nil {
		t.Fatal(err)
	}
	e := workertest.New(workertest.Options{})
	if err := e.Listen(dir); err != nil {
		t.Fatal(err)
	}
	p := &plainProcess{t: t, e: e, path: filepath.Join(dir, "http"), cmd: exec.Command(os.Args[0])}
	ln, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if port {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.path = free.Addr().String()
		_ = free.Close()
	} else {
		// LISTEN_PID is known only there.
		p.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	}
	_, number, _ := net.SplitHostPort(p.path)
	p.cmd.ExtraFiles = []*os.File{f}
	p.cmd.Env = append(append(os.Environ(), envProgram+"="+itself, "HEDDLE_HTTP=1", "LISTEN_FDS=1", "PORT="+number), e.Environ()...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_ = ln.Close()
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		_ = e.Kill()
		_ = os.RemoveAll(dir)
	})
	<-e.Online()
	return p
}

// ask asks for path on a connection of its own.
func (p *plainProcess) ask(path string) {
	p.t.Helper()
	network := "tcp"
	if strings.HasPrefix(p.path, "/") {
		network = "unix"
	}
	var c net.Conn
	var err error
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // attached comes before listening
		if c, err = net.Dial(network, p.path); err == nil || time.Now().After(until) {
			break
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "fine" {
		p.t.Errorf("got %q, %v", b, err)
	}
}

// says wants the next lines.
func (p *plainProcess) says(want ...string) {
	p.t.Helper()
	for _, line := range want {
		if !p.lines.Scan() || p.lines.Text() != line {
			p.t.Fatalf("it says %q, want %q", p.lines.Text(), line)
		}
	}
}

// ends wants status 0.
func (p *plainProcess) ends() {
	p.t.Helper()
	p.says("ended: " + http.ErrServerClosed.Error())
	if err := p.cmd.Wait(); err != nil {
		p.t.Error(err)
	}
}

func (p *plainProcess) leaving() []string {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if l := p.e.Seen().Leaving; l != nil {
			return l
		}
	}
	return nil
}

// TestItselfDrained: told of a drain it goes on accepting, until SIGTERM.
func TestItselfDrained(t *testing.T) {
	for _, port := range []bool{false, true} {
		p := startItself(t, port)
		p.ask("/")
		p.e.Drain(time.Minute)
		p.says("told")
		p.ask("/")
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.ends()
	}
}

// TestItselfAsked: a SIGTERM that does not come from the engine, and the program's
// own Shutdown, ask that for the drain.
func TestItselfAsked(t *testing.T) {
	for _, by := range []string{"SIGTERM", "Shutdown"} {
		p := startItself(t, false)
		p.ask("/")
		if by == "SIGTERM" {
			_ = p.cmd.Process.Signal(syscall.SIGINT) // a terminal's, of no meaning
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		} else {
			p.ask("/shutdown")
		}
		if got := p.leaving(); !slices.Equal(got, []string{"shutdown"}) {
			t.Errorf("%s: leaving %q", by, got)
		}
		p.ask("/")
		p.e.Drain(time.Minute)
		p.says("told")
		p.ask("/")
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.ends()
	}
}

// TestItselfClosed: Close ends it at once.
func TestItselfClosed(t *testing.T) {
	p := startItself(t, false)
	p.ask("/")
	c, err := net.Dial("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /close HTTP/1.1\r\nHost: h\r\n\r\n")
	p.ends()
}

// TestItselfTwice: descriptor 3 is taken once; whatever has its number later is not
// touched.
func TestItselfTwice(t *testing.T) {
	p := startItself(t, false)
	p.ask("/again")
	p.says("again: httpcompat: neither LISTEN_FDS nor PORT says where to serve")
	p.ask("/")
}
