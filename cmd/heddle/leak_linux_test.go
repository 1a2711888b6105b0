package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// An abort is one way in which a request comes to a bad end.
type abort struct {
	name string
	send string // what the client sends first
	// want is what must come back before the client goes; "" for nothing.
	want string
	// leave is how it goes then.
	leave func(c *net.TCPConn, r *bufio.Reader) error
}

const (
	toWait   = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
	toHijack = "GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nx"
	switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nx"
)

var part = strings.Repeat("0123456789abcdef", 2<<10) // 32 KiB

var aborts = []abort{
	{"reset before the answer", toWait, "", resetClient},
	{"reset after the head", "GET /wait?head HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", resetClient},
	{"reset with another request behind", toWait + toWait, "", resetClient},
	{"reset during a body up", "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + part, "", resetClient},
	{"half-close during a body up", "POST /take HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + part, "", halfCloseClient("")},
	{"reset during a body down", "GET /give HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", func(c *net.TCPConn, r *bufio.Reader) error {
		_, err := io.CopyN(io.Discard, r, int64(len(part)))
		return errors.Join(err, resetClient(c, r))
	}},
	{"half-close", toWait, "", halfCloseClient("bye\n")},
	{"panic before the head", "GET /panics HTTP/1.1\r\nHost: x\r\n\r\n", "", drainClient},
	{"panic within the body", "GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200", drainClient},
	{"reset after a hijack", toHijack, switched, resetClient},
}

func resetClient(c *net.TCPConn, _ *bufio.Reader) error {
	return errors.Join(c.SetLinger(0), c.Close())
}

// drainClient reads until the server ends the connection, in whatever way.
func drainClient(_ *net.TCPConn, r *bufio.Reader) error {
	_, err := io.Copy(io.Discard, r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// halfCloseClient wants to see the word in what still comes.
func halfCloseClient(word string) func(*net.TCPConn, *bufio.Reader) error {
	return func(c *net.TCPConn, r *bufio.Reader) error {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if !bytes.Contains(b, []byte(word)) {
			return fmt.Errorf("got %q, %v, want %q in it", b, err, word)
		}
		return nil
	}
}

func (a abort) play(addr string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(nc, a.send); err != nil {
		return err
	}
	r := bufio.NewReader(nc)
	if a.want != "" {
		got := make([]byte, len(a.want))
		if n, err := io.ReadFull(r, got); err != nil || string(got) != a.want {
			return fmt.Errorf("got %q, %v, want %q", got[:n], err, a.want)
		}
	}
	return a.leave(nc.(*net.TCPConn), r)
}

// playAll plays n aborts, all kinds in turn, on several connections at once.
func playAll(t *testing.T, addr string, n int) {
	t.Helper()
	const conns = 32
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		once sync.Once
		bad  error // the first
	)
	for range conns {
		wg.Go(func() { // ends when n have been played or with the first that fails
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				a := aborts[i%int64(len(aborts))]
				if err := a.play(addr); err != nil {
					once.Do(func() { bad = fmt.Errorf("%s: %w", a.name, err) })
					return
				}
			}
		})
	}
	wg.Wait()
	if bad != nil {
		t.Fatal(bad)
	}
}

// A holding is what the processes of a daemon hold at one moment.
type holding struct {
	sessions    int
	descriptors map[string]int // by process
	threads     map[string]int
	goroutines  map[string]int // of the workers
}

// more says what h has more of than start. Threads are the runtime's: it keeps
// what it once needed, and needs some more or less by chance.
func (h holding) more(start holding) (what []string) {
	const chance = 16
	if h.sessions > start.sessions {
		what = append(what, fmt.Sprintf("%d sessions, at the start %d", h.sessions, start.sessions))
	}
	for _, kind := range []struct {
		name      string
		now, then map[string]int
		slack     int
	}{
		{"descriptors", h.descriptors, start.descriptors, 0},
		{"threads", h.threads, start.threads, chance},
		{"goroutines", h.goroutines, start.goroutines, 0},
	} {
		for process, n := range kind.now {
			then, ok := kind.then[process]
			if !ok {
				what = append(what, "a new "+process)
			} else if n > then+kind.slack {
				what = append(what, fmt.Sprintf("%s: %d %s, at the start %d", process, n, kind.name, then))
			}
		}
	}
	return what
}

// lookAt asks the daemon and its workers what they hold.
func lookAt(t *testing.T, url string) holding {
	t.Helper()
	h := holding{descriptors: make(map[string]int), threads: make(map[string]int), goroutines: make(map[string]int)}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	out, err := exec.Command("heddle", "status", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var st statusReply
	if err := json.Unmarshal(out, &st); err != nil {
		t.Fatalf("heddle status --json: %v: %q", err, out)
	}
	pids := map[string]int{"daemon": st.Pid}
	for _, w := range st.Workers {
		h.sessions += w.Sessions
		pids[fmt.Sprintf("worker %d", w.Pid)] = w.Pid
	}
	ok := until(func() bool { // until each worker has been met
		resp, err := client.Get(url + "/goroutines")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var pid, n int
		if _, err := fmt.Fscan(resp.Body, &pid, &n); err != nil {
			t.Fatal(err)
		}
		h.goroutines[fmt.Sprintf("worker %d", pid)] = n
		return len(h.goroutines) >= len(st.Workers)
	})
	if !ok {
		t.Fatalf("not every worker answers: %v; %s", h.goroutines, out)
	}
	for process, pid := range pids {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		h.descriptors[process], h.threads[process] = len(fds), len(threads)
	}
	return h
}

// linger is longer than net/http keeps a connection that it has closed for
// writing: half a second.
const linger = 700 * time.Millisecond

var goroutineLine = regexp.MustCompile(`(?m)^goroutine \d+ .*\[`)

// TestAbortedRequestsLeaveNothing aborts 10,000 requests to two workers and
// wants descriptors, threads, goroutines and sessions to be where they were
// after the first hundreds of such requests.
func TestAbortedRequestsLeaveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 requests")
	}
	dir, err := os.MkdirTemp("", "hd") // sockets' paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	d, err := start(exec.Command("heddle", "run", "--name", "aborts", "--workers", "2", "--loops", "2", "--listen", "127.0.0.1:0", "aborted"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	if !until(func() bool { return readyLine.MatchString(d.said.String()) }) {
		t.Fatalf("the daemon did not get ready; it said:\n%s", d.said.String())
	}
	url := readyLine.FindStringSubmatch(d.said.String())[1]
	addr := strings.TrimPrefix(url, "http://")

	playAll(t, addr, 500) // what is made once, and kept
	var first holding
	settled := until(func() bool { // until two looks are the same
		before := first
		time.Sleep(linger)
		first = lookAt(t, url)
		return first.sessions == 0 && before.descriptors != nil && first.more(before) == nil && before.more(first) == nil
	})
	if !settled {
		t.Fatalf("it does not come to rest: %+v", first)
	}

	playAll(t, addr, 10_000)
	var last holding
	if !until(func() bool { last = lookAt(t, url); return last.more(first) == nil }) {
		t.Errorf("after 10,000 aborted requests there are more than before:\n%s", strings.Join(last.more(first), "\n"))
		showStacks(t, url)
	}
	if last.sessions != 0 {
		t.Errorf("%d sessions are open", last.sessions)
	}

	// The daemon tells its own goroutines, and serves on.
	var workers []process
	for name := range last.goroutines {
		pid, _ := strconv.Atoi(strings.TrimPrefix(name, "worker "))
		if p, alive := processOf(pid); alive {
			workers = append(workers, p)
		}
	}
	quiet := len(d.said.String())
	if err := d.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	dump := ""
	if !until(func() bool {
		dump = d.said.String()[quiet:]
		return strings.Contains(dump, "SIGQUIT: done; serving on\n")
	}) {
		t.Fatal("the daemon does not answer SIGQUIT")
	}
	if last = lookAt(t, url); last.sessions != 0 {
		t.Errorf("after SIGQUIT %d sessions are open", last.sessions)
	}
	d.kill()
	const most = 64 // a tenth of what one leak in a single kind of abort comes to
	if n := len(goroutineLine.FindAllString(dump, -1)); n == 0 || n > most {
		t.Errorf("the daemon had %d goroutines, want from 1 to %d:\n%.20000s", n, most, dump)
	}
	for _, p := range workers {
		if !until(func() bool { now, alive := processOf(p.pid); return !alive || now != p }) {
			t.Errorf("worker %d outlives its daemon", p.pid)
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// showStacks logs what the goroutines of one worker are.
func showStacks(t *testing.T, url string) {
	t.Helper()
	resp, err := http.Get(url + "/stacks")
	if err != nil {
		t.Log(err)
		return
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 20_000))
	t.Logf("%s", b)
}
