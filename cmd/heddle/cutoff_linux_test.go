package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestCutOff has requests take longer than the drain time-out, at the end of the
// daemon and at that of a release: their clients see an end in order, either a
// whole answer that says what happened or a connection that is closed, never one
// that is reset.
func TestCutOff(t *testing.T) {
	for _, way := range []string{"stop", "deploy"} {
		t.Run(way, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "hd") // sockets' paths are short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			t.Setenv("XDG_RUNTIME_DIR", dir)
			d, err := start(exec.Command("heddle", "run", "--name", "cut", "--workers", "1", "--loops", "1", "--drain-timeout", "500ms", "--listen", "127.0.0.1:0", "app"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.kill)
			addr := strings.TrimPrefix(d.await(t, `^ready (\S+)$`)[1], "http://")
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /slow?d=1m HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			d.await(t, "app begins 1m0s")

			began := time.Now()
			changed := make(chan error, 1)
			go func() { // ends with the command
				args := []string{"stop"}
				if way == "deploy" {
					args = []string{"deploy", "app"}
				}
				out, err := exec.Command("heddle", args...).CombinedOutput()
				if err != nil {
					err = fmt.Errorf("%w: %s", err, out)
				} else if way == "deploy" && !strings.HasSuffix(string(out), "; 1 request was cut off, not having finished in time\n") {
					err = fmt.Errorf("it does not say what was cut off: %s", out)
				}
				changed <- err
			}()
			_ = conn.SetReadDeadline(began.Add(patience))
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if d := time.Since(began); d < 450*time.Millisecond {
				t.Errorf("cut off after %v", d)
			}
			if way == "stop" {
				if _, more := r.ReadByte(); !errors.Is(err, io.ErrUnexpectedEOF) || more != io.EOF {
					t.Errorf("got %v, then %v; want the end of the connection, in order", err, more)
				}
				if err := <-changed; exitOf(err) != exitTimeout {
					t.Errorf("stop: %v, want exit code %d", err, exitTimeout)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadGateway || err != nil || !strings.Contains(string(b), "the worker gave no answer") {
				t.Errorf("got %s, %q, %v; want a whole 502", resp.Status, b, err)
			}
			if err := <-changed; err != nil {
				t.Errorf("deploy: %v", err)
			}
			// The connection is as good as before.
			if _, err := io.WriteString(conn, "GET /say HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if resp, err = http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("the next request: %v, %v", resp, err)
			}
		})
	}
}

// exitOf is the exit code that err tells of a command.
func exitOf(err error) int {
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return ee.ExitCode()
	}
	return 0
}
