package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A Stack is one server under test: a process and all its descendants, and
// what serves behind it.
type Stack struct {
	Name string
	URL  string
	App  string // what a heddle calls its program

	cmd     *exec.Cmd
	exited  chan struct{} // closed once cmd has been waited for
	stderr  tail
	control string   // socket, of a heddle
	behind  []*Stack // counted and stopped with it
}

// Start runs path with args and waits until url answers 200, or, where it is
// unix: and a path, until that socket takes connections.
func Start(ctx context.Context, name, url, path string, args ...string) (*Stack, error) {
	s := &Stack{Name: name, URL: url, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	s.cmd.Stderr = &s.stderr
	s.cmd.SysProcAttr = Lineage()
	began := make(chan error, 1)
	// Ends when the process does; Stop sees to that.
	go func() {
		runtime.LockOSThread() // whose end would end the process: see Lineage
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		began <- err
		if err == nil {
			s.cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-began; err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.awaitReady(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w; its last words:\n%s", name, err, s.stderr.String())
	}
	return s, nil
}

func (s *Stack) awaitReady(ctx context.Context) error {
	for {
		if s.ready(ctx) {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.exited:
			return errors.New("left before it was ready")
		case <-ctx.Done():
			return errors.New("did not get ready in time")
		}
	}
}

func (s *Stack) ready(ctx context.Context) bool {
	if path, ok := strings.CutPrefix(s.URL, "unix:"); ok {
		c, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
	code, err := get(ctx, s.URL)
	return err == nil && code == http.StatusOK
}

// Before says that b serves behind s: what it costs is counted with s, and it
// is stopped after s.
func (s *Stack) Before(b *Stack) { s.behind = append(s.behind, b) }

// LastWords is the end of what the stack wrote to standard error.
func (s *Stack) LastWords() string {
	words := s.stderr.String()
	for _, b := range s.behind {
		words += b.LastWords()
	}
	return words
}

// Stop asks the process to end, and kills by pid what is left of the stack
// after ten seconds.
func (s *Stack) Stop() {
	defer func() {
		for _, b := range s.behind {
			b.Stop()
		}
	}()
	before, _ := tree(s.cmd.Process.Pid)
	s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		s.cmd.Process.Kill()
		<-s.exited
	}
	// Descendants outlive their parent only when something is wrong. A pid
	// counts as ours only while its start time is the one we saw.
	for _, p := range before {
		if now, err := readProc(p.pid); err == nil && now.start == p.start && now.state != 'Z' {
			fmt.Fprintf(os.Stderr, "%s: process %d was left behind; killing it\n", s.Name, p.pid)
			if proc, err := os.FindProcess(p.pid); err == nil {
				proc.Kill()
			}
		}
	}
}

// CPU is the user and system time that a stack's processes have used.
type CPU struct {
	Daemon time.Duration // the process that was started; its share of dead children too
	Others time.Duration // its living descendants, and what serves behind it
}

// All is the time of all the processes of the stack.
func (c CPU) All() time.Duration { return c.Daemon + c.Others }

// CPU reads utime and stime of every process of the stack, with what their
// reaped children used.
func (s *Stack) CPU() (CPU, error) {
	procs, err := tree(s.cmd.Process.Pid)
	if err != nil {
		return CPU{}, err
	}
	var c CPU
	for i, p := range procs {
		used := time.Duration(p.ticks) * time.Second / ticksPerSecond
		if i == 0 {
			c.Daemon = used
		} else {
			c.Others += used
		}
	}
	for _, b := range s.behind {
		more, err := b.CPU()
		if err != nil {
			return CPU{}, err
		}
		c.Others += more.All()
	}
	return c, nil
}

// FreeAddr returns a loopback address on which nobody listens now.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Build compiles the module's packages into dir, each under its base name.
// The working directory must be inside the module.
func Build(ctx context.Context, dir string, packages ...string) error {
	args := append([]string{"build", "-trimpath", "-o", dir + string(filepath.Separator)}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

func get(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0, err
	}
	req.Close = true // leave no idle connection for the load to compete with
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// tail keeps the last 8 KiB written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	const limit = 8 << 10 // bytes
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
