package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPty returns a new terminal's two ends, pty(7).
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	rc, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var ioctlErr error
	if err := rc.Control(func(fd uintptr) {
		if ioctlErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctlErr == nil {
			n, ioctlErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || ioctlErr != nil {
		t.Fatal(err, ioctlErr)
	}
	s, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return m, s
}

// onPty runs heddle with args on a terminal of its own, as a shell would, with a
// state directory of its own.
func onPty(t *testing.T, args ...string) (c *child, master *os.File) {
	t.Helper()
	return onPtyIn(t, shortDir(t), args...)
}

// shortDir is a temporary directory whose sockets have short paths.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func onPtyIn(t *testing.T, dir string, args ...string) (c *child, master *os.File) {
	t.Helper()
	path, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "NO_COLOR=")
	return startOnPty(t, cmd)
}

// startOnPty starts a command on a terminal of its own.
func startOnPty(t *testing.T, cmd *exec.Cmd) (c *child, master *os.File) {
	t.Helper()
	master, slave := openPty(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	c = &child{cmd: cmd, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	read := make(chan struct{})
	go func() { // ends when the last process has closed the terminal, or the test the master
		defer close(read)
		_, _ = io.Copy(&c.said, master)
	}()
	go func() { // ends with the process
		defer close(c.done)
		_ = cmd.Wait() // ProcessState has it
	}()
	t.Cleanup(func() {
		c.kill()
		master.Close()
		<-read
	})
	return c, master
}

func (c *child) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var m []string
	if !until(func() bool { m = re.FindStringSubmatch(c.said.String()); return m != nil }) {
		t.Fatalf("did not say %s; it said:\n%q", pattern, c.said.String())
	}
	return m
}

// TestCtrlC types it on a real terminal: the daemon drains, its workers never
// hear of it, and the request that is being answered gets its answer.
func TestCtrlC(t *testing.T) {
	c, master := onPty(t, "run", "--workers", "2", "--listen", "127.0.0.1:0", "app")
	url := c.await(t, `ready (http://\S+)`)[1]
	answer := make(chan string, 1)
	go func() { // ends with the answer
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		resp, err := client.Get(url + "/slow?d=1s")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(string(b), err)
	}()
	c.await(t, "app begins 1s")
	if _, err := master.Write([]byte{3}); err != nil { // ^C, the terminal's VINTR
		t.Fatal(err)
	}
	c.await(t, "draining: requests may take 30s to finish; Ctrl-C again stops at once")
	if got, want := <-answer, "slept 1s\n<nil>"; got != want {
		t.Errorf("the request that was being answered got %q, want %q", got, want)
	}
	<-c.done
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	said := c.said.String()
	for _, bad := range []string{"interrupt", "was canceled", "signal=SIG"} {
		if strings.Contains(said, bad) {
			t.Errorf("%q in what was said:\n%s", bad, said)
		}
	}
	if !strings.Contains(said, "starting workers ") || !strings.Contains(said, "\x1b[3") {
		t.Errorf("no progress or no colour on a terminal:\n%q", said)
	}
}

// TestCtrlCTwice: the second one does not wait.
func TestCtrlCTwice(t *testing.T) {
	c, master := onPty(t, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	url := c.await(t, `ready (http://\S+)`)[1]
	gone := make(chan struct{})
	go func() { // ends when the daemon cuts the request off
		defer close(gone)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		if resp, err := client.Get(url + "/slow?d=1m"); err == nil {
			resp.Body.Close()
		}
	}()
	c.await(t, "app begins 1m0s")
	began := time.Now()
	for _, want := range []string{"draining", "stopped at once, as asked; 1 request was cut off"} {
		if _, err := master.Write([]byte{3}); err != nil {
			t.Fatal(err)
		}
		c.await(t, want)
		time.Sleep(2 * sameSignal) // sooner, it would be the same one
	}
	<-c.done
	<-gone
	if code, d := c.cmd.ProcessState.ExitCode(), time.Since(began); code != exitError || d > 10*time.Second {
		t.Errorf("exit code %d after %v, want %d soon", code, d, exitError)
	}
}

// TestStoppedTerminal: a terminal that takes nothing (^S) stalls nobody.
func TestStoppedTerminal(t *testing.T) {
	c, master := onPty(t, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	url := c.await(t, `ready (http://\S+)`)[1]
	if _, err := master.Write([]byte{0x13}); err != nil { // ^S, VSTOP
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for range 20 {
		resp, err := client.Get(url + "/slow?d=1ms") // the worker writes a line for each
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(b, []byte("slept 1ms\n")) {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	if _, err := master.Write([]byte{0x11}); err != nil { // ^Q, VSTART
		t.Fatal(err)
	}
	if !until(func() bool { return strings.Count(c.said.String(), "app begins 1ms") == 20 }) {
		t.Errorf("lines are missing:\n%s", c.said.String())
	}
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	<-c.done
}

// TestInterruptedStart: Ctrl-C before the front serves leaves nothing.
func TestInterruptedStart(t *testing.T) {
	c, master := onPty(t, "run", "--workers", "1", "--listen", "127.0.0.1:0", "mute")
	c.await(t, "serving alone")
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	<-c.done
	if code := c.cmd.ProcessState.ExitCode(); code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	c.await(t, `heddle: interrupted \(interrupt\) before it served\r\nnothing is left running\.`)
	var dir string
	for _, v := range c.cmd.Env {
		if d, ok := strings.CutPrefix(v, "XDG_RUNTIME_DIR="); ok {
			dir = d
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "heddle", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestStderrGone: a daemon whose standard error is a pipe outlives its reader.
func TestStderrGone(t *testing.T) {
	dir, err := os.MkdirTemp("", "hd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path, err := exec.LookPath("heddle")
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(path, "run", "--workers", "1", "--listen", "127.0.0.1:0", "app")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ended := make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		_ = cmd.Wait() // ProcessState has it
	}()
	defer func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
		<-ended
	}()
	var said []byte
	var m [][]byte
	for buf := make([]byte, 4096); m == nil; m = readyLine.FindSubmatch(said) {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("%v; it said:\n%s", err, said)
		}
		said = append(said, buf[:n]...)
	}
	r.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for range 3 {
		resp, err := client.Get(string(m[1]) + "/slow?d=1ms") // the worker writes a line
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestDeployOnTerminal: the last line says how far it is, and Ctrl-C withdraws.
func TestDeployOnTerminal(t *testing.T) {
	dir := shortDir(t)
	d, _ := onPtyIn(t, dir, "run", "--workers", "2", "--listen", "127.0.0.1:0", "app")
	d.await(t, `ready (http://\S+)`)
	good, _ := onPtyIn(t, dir, "deploy", "app")
	good.await(t, `starting r2: 0/2`)
	good.await(t, `\x1b\[Kr2 serves, in place of r1\r\n`)
	bad, master := onPtyIn(t, dir, "deploy", "mute")
	bad.await(t, `starting r3: 0/2`)
	if _, err := master.Write([]byte{3}); err != nil { // ^C, the terminal's VINTR
		t.Fatal(err)
	}
	bad.await(t, `withdrawing r3`)
	bad.await(t, `\x1b\[Kheddle: r3 was withdrawn before it served\r\nr2 still serves\.\r\n`)
	<-bad.done
	if code := bad.cmd.ProcessState.ExitCode(); code != exitError {
		t.Errorf("exit code %d", code)
	}
}
