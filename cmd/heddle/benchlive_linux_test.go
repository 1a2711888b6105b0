package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// TestBenchOnTerminal: a line of the terminal's width shows how a run goes, is written
// over and over again, follows the width, and is gone when the summary comes.
func TestBenchOnTerminal(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	for _, columns := range []uint16{40, 120} {
		// The shell's part is to wait until the terminal has its size.
		cmd := exec.Command("/bin/sh", "-c", `read go; exec "$0" "$@"`, heddle, "bench", "-r", "200", "-d", "1500ms", "--warmup", "500ms", "--interval", "100ms", s.URL+"/")
		cmd.Env = append(cmd.Environ(), "XDG_RUNTIME_DIR="+shortDir(t))
		c, master := startOnPty(t, cmd)
		rc, err := master.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var sized error
		if err := rc.Control(func(fd uintptr) {
			sized = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: columns})
		}); err != nil || sized != nil {
			t.Fatal(err, sized)
		}
		if _, err := master.WriteString("go\n"); err != nil {
			t.Fatal(err)
		}
		c.await(t, `generator +[0-9]`)
		<-c.done
		said := strings.TrimPrefix(c.said.String(), "go\r\n")
		live, summary, ok := strings.Cut(said, "\r\x1b[K127.0.0.1:")
		if !ok || strings.Contains(summary, "\x1b") || strings.Contains(live, "\n") {
			t.Fatalf("%d columns: the live line and the summary are mixed:\n%q", columns, said)
		}
		lines := strings.Split(live, "\r\x1b[K")
		if len(lines) < 10 {
			t.Errorf("%d columns: %d lines:\n%q", columns, len(lines), live)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(escapes.ReplaceAllString(line, "")); n >= int(columns) {
				t.Errorf("a line of %d columns of %d: %q", n, columns, line)
			}
		}
		for _, want := range []string{"of 1.5 s, warming up  ", "/s"} {
			if !strings.Contains(live, want) {
				t.Errorf("%d columns: no %q in\n%q", columns, want, live)
			}
		}
		last := lines[len(lines)-1]
		if wide := strings.Contains(last, " in flight  rate "); wide != (columns == 120) {
			t.Errorf("%d columns: %q", columns, last)
		}
		if !strings.Contains(summary, "open model: 200/s") || c.cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("exit code %d, summary\n%s", c.cmd.ProcessState.ExitCode(), fmt.Sprint(summary))
		}
	}
}

// TestBenchTellsOnTerminal: what becomes of the daemon is told above the line, which
// stays the last one.
func TestBenchTellsOnTerminal(t *testing.T) {
	dir := shortDir(t)
	d, _ := onPtyIn(t, dir, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	url := d.await(t, `ready (http://\S+)`)[1]
	b, master := onPtyIn(t, dir, "bench", "-r", "100", "-d", "2m", "--interval", "100ms", strings.TrimSpace(url)+"/")
	b.await(t, `p50 .* in flight`)
	ended(t, startIn(t, dir, "restart"))
	b.await(t, `\r\x1b\[K[0-9:.]{12} began: a restart\r\n`)
	b.await(t, `\r\x1b\[K[0-9:.]{12} done: a restart\r\n[0-9.]+ s of 2m  [0-9]+/s `)
	if _, err := master.Write([]byte{3}); err != nil { // ^C, the terminal's VINTR
		t.Fatal(err)
	}
	b.await(t, `done: a restart\r\n(?s:.*)measured over .*; cut short\r\n`)
	<-b.done
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	dismiss(t, d)
}

// TestBenchOnStoppedTerminal: a terminal that takes nothing more, as after ^S, keeps no
// run from its end and its report.
func TestBenchOnStoppedTerminal(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	_, terminal := openPty(t)
	defer terminal.Close()
	stopOutput(t, terminal, unix.TCOOFF)
	defer stopOutput(t, terminal, unix.TCOON) // or closing it would wait
	var report bytes.Buffer
	cmd := exec.Command(heddle, "bench", "-c", "1", "-d", "500ms", "--interval", "10ms", s.URL+"/")
	cmd.Env = append(cmd.Environ(), "XDG_RUNTIME_DIR="+shortDir(t))
	cmd.Stdout, cmd.Stderr = &report, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, done: make(chan struct{})}
	go func() { // ends with the process
		defer close(c.done)
		_ = cmd.Wait() // ProcessState has it
	}()
	defer c.kill()
	ended(t, c)
	if !strings.Contains(report.String(), "measured over ") {
		t.Errorf("got\n%s", &report)
	}
}

// stopOutput stops a terminal's output, or has it go on.
func stopOutput(t *testing.T, terminal *os.File, action int) {
	t.Helper()
	rc, err := terminal.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := rc.Control(func(fd uintptr) { failed = unix.IoctlSetInt(int(fd), unix.TCXONC, action) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

// startIn starts heddle with args and that state directory, on no terminal.
func startIn(t *testing.T, dir string, args ...string) *child {
	t.Helper()
	heddle, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(heddle, args...)
	cmd.Env = append(cmd.Environ(), "XDG_RUNTIME_DIR="+dir)
	c, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}
