package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

// A process is a peer that we have started, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd has been waited for
	out    tail
}

// begin starts words in dir.
func begin(dir string, words []string) (*process, error) {
	p := &process{cmd: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = stack.Lineage()
	p.cmd.WaitDelay = 2 * time.Second
	began := make(chan error, 1)
	// Ends when the process does; stop sees to that.
	go func() {
		runtime.LockOSThread() // whose end would end the process: see stack.Lineage
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		began <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.exited)
		}
	}()
	return p, <-began
}

// stop asks the process to end, and kills its group if that takes too long. It
// says how it ended.
func (p *process) stop(patience time.Duration) string {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
		return said("was killed after %v", patience)
	}
	return p.cmd.ProcessState.String()
}

// await waits until f says nil, the process ends or ctx does.
func (p *process) await(ctx context.Context, what string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-p.exited:
			return fmt.Errorf("%s: it ended (%v); its last words: %s", what, p.cmd.ProcessState, p.out.last())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; last %v; its last words: %s", what, context.Cause(ctx), err, p.out.last())
		}
	}
}

// A tail keeps the last 64 KiB.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write is io.Writer's.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-64<<10):]
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	s := t.String()
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// freePort is a port of loopback that was free just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// ended waits until there is no process pid.
func ended(ctx context.Context, pid int) error {
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("pid %d is still there: %w", pid, context.Cause(ctx))
		}
	}
}
