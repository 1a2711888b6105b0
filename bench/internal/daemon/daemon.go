// Package daemon runs a heddle daemon in a directory of its own for a script
// that plays its user: it starts, asks, kills and stops it, reads its log, and
// looks for what it has left behind. It needs Linux to run and only the
// standard library to build.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

// Options say how a daemon is started.
type Options struct {
	Heddle string   // the executable
	Dir    string   // short and the script's own; the daemon's XDG_RUNTIME_DIR is Dir/run
	Listen string   // "": a free port of loopback
	Flags  []string // of heddle run, more than --name and --listen
	Target string
	Args   []string // the program's
}

// A Daemon is a heddle run.
type Daemon struct {
	Addr  string // host:port
	Log   *Log
	Ready time.Duration // from its start until it served

	o      Options
	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd has been waited for
}

const (
	name         = "lifecycle"
	startPatient = 60 * time.Second
	stopPatient  = 45 * time.Second // more than the default --drain-timeout
)

// runDir is where daemons keep their sockets.
func runDir(dir string) string { return filepath.Join(dir, "run") }

// Start runs a daemon and waits until it says that it serves.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	if err := os.Mkdir(runDir(o.Dir), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	args := append([]string{"run", "--name", name, "--listen", o.Listen}, o.Flags...)
	args = append(append(args, o.Target, "--"), o.Args...)
	d := &Daemon{Log: newLog(), o: o, cmd: exec.Command(o.Heddle, args...), exited: make(chan struct{})}
	d.cmd.Env = d.environ()
	d.cmd.Stderr = d.Log
	d.cmd.SysProcAttr = stack.Lineage()
	d.cmd.WaitDelay = 5 * time.Second // a killed daemon's workers may hold its standard error
	begin := time.Now()
	began := make(chan error, 1)
	// Ends when the process does; Stop and Kill see to that.
	go func() {
		runtime.LockOSThread() // whose end would end the process: see stack.Lineage
		defer runtime.UnlockOSThread()
		err := d.cmd.Start()
		began <- err
		if err == nil {
			_ = d.cmd.Wait()
			close(d.exited)
		}
	}()
	if err := <-began; err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatient)
	defer cancel()
	url, err := d.Log.await(ctx, d.exited, "ready http://")
	if err != nil {
		d.Stop()
		return nil, fmt.Errorf("heddle run: %w; its last words:\n%s", err, strings.Join(d.Log.Tail(20), "\n"))
	}
	d.Ready = time.Since(begin)
	d.Addr, _, _ = strings.Cut(url, " ")
	return d, nil
}

func (d *Daemon) environ() []string {
	return append(os.Environ(), "XDG_RUNTIME_DIR="+runDir(d.o.Dir), "NO_COLOR=1")
}

// Pid is the daemon's.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Kill ends the daemon by SIGKILL and waits for it, not for its workers.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// Stop asks the daemon to drain, and kills it if that takes too long. It may be
// called again.
func (d *Daemon) Stop() error {
	select {
	case <-d.exited:
		return nil
	default:
	}
	_ = d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.exited:
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("heddle run left with exit code %d; its last words:\n%s", code, strings.Join(d.Log.Tail(5), "\n"))
		}
		return nil
	case <-time.After(stopPatient):
		d.Kill()
		return fmt.Errorf("heddle run did not end within %v and was killed", stopPatient)
	}
}

// Exited is closed when the daemon has ended.
func (d *Daemon) Exited() <-chan struct{} { return d.exited }

// A Result is how a verb ended.
type Result struct {
	Code   int
	Stdout string
	Stderr string
	Took   time.Duration
}

// verbPatient is longer than any verb's own patience.
const verbPatient = 2 * time.Minute

// Run runs a verb on the daemon: heddle VERB --name NAME ARGS. The error is
// that of a verb that could not be run or did not end; an exit code is none.
func (d *Daemon) Run(ctx context.Context, verb string, args ...string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, verbPatient)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.o.Heddle, append([]string{verb, "--name", name}, args...)...)
	cmd.Env = d.environ()
	cmd.SysProcAttr = stack.Lineage()
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runtime.LockOSThread() // see stack.Lineage
	defer runtime.UnlockOSThread()
	began := time.Now()
	err := cmd.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(began)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("heddle %s: %w", verb, context.Cause(ctx))
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		return r, fmt.Errorf("heddle %s: %w", verb, err)
	}
	return r, nil
}

// A Status is what the scripts need of heddle status --json.
type Status struct {
	Release string   `json:"release"`
	State   string   `json:"state"`
	Workers []Worker `json:"workers"`
}

// A Worker is one of them.
type Worker struct {
	Index   int    `json:"index"`
	ID      string `json:"id"`
	Pid     int    `json:"pid"`
	State   string `json:"state"`
	Release string `json:"release"`
	Standby bool   `json:"standby"`
}

// Serving are the workers that may be given work, or have it held back from
// them: those online, suspended or broken, without standbys.
func (s Status) Serving() []Worker { return s.which(false, "online", "suspended", "broken") }

// Standing are the standbys that are warm.
func (s Status) Standing() []Worker { return s.which(true, "online", "suspended") }

func (s Status) which(standby bool, states ...string) (some []Worker) {
	for _, w := range s.Workers {
		for _, state := range states {
			if w.Standby == standby && w.State == state {
				some = append(some, w)
			}
		}
	}
	return some
}

// Status asks the daemon.
func (d *Daemon) Status(ctx context.Context) (Status, error) {
	var st Status
	r, err := d.Run(ctx, "status", "--json")
	if err != nil {
		return st, err
	}
	if r.Code != 0 {
		return st, fmt.Errorf("heddle status: exit code %d: %s", r.Code, r.Stderr)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &st); err != nil {
		return st, fmt.Errorf("heddle status --json: %w: %q", err, r.Stdout)
	}
	return st, nil
}

// Await asks for the status until it is as wanted, and returns it.
func (d *Daemon) Await(ctx context.Context, patience time.Duration, what string, as func(Status) bool) (Status, error) {
	end := time.Now().Add(patience)
	for {
		st, err := d.Status(ctx)
		if err != nil || as(st) {
			return st, err
		}
		if time.Now().After(end) {
			return st, fmt.Errorf("after %v there is no status with %s; there is %+v", patience, what, st)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return st, context.Cause(ctx)
		}
	}
}
