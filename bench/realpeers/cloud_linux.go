package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/service/servicetest"
)

// appName is our app's in real runtimes and in servicetest's clouds.
const appName = "loom"

// A cloud is a real runtime with our worker as the app appName.
type cloud struct {
	*process
	peer *peer
	port string // of its locator
}

// started starts a runtime and waits until its locator knows the app.
func (r *rig) started(ctx context.Context, p *peer, args ...string) (*cloud, error) {
	scratch, err := os.MkdirTemp(r.dir, "r")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	proc, err := begin(scratch, p.command(append([]string{r.worker}, args...), "{scratch}", scratch, "{port}", port, "{app}", appName))
	if err != nil {
		return nil, err
	}
	c := &cloud{proc, p, port}
	short, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no app in 20s"))
	defer cancel()
	t := c.transport("http")
	if err := proc.await(short, "the locator", func() error { _, err := t.resolve(short); return err }); err != nil {
		proc.stop(time.Second)
		return nil, err
	}
	return c, nil
}

func (c *cloud) transport(event string) *cloudTransport {
	return &cloudTransport{"127.0.0.1:" + c.port, c.peer.dialect(), appName, event}
}

func (c *cloud) asker(event string) *asker {
	return &asker{"http://" + appName, &http.Client{Transport: c.transport(event)}}
}

// runtimeStop is more than what real runtimes give their workers to leave.
const runtimeStop = 20 * time.Second

// httpProgramChecks: httpcompat.ListenAndServe in a real runtime. Such a program
// takes every event for HTTP.
func (r *rig) httpProgramChecks(ctx context.Context, p *peer, note notes) error {
	c, err := r.started(ctx, p)
	if err != nil {
		return err
	}
	defer c.stop(runtimeStop)
	c.asker("http").httpChecks(ctx, note)
	seen := ""
	got, err := c.asker("whatever").ask(ctx, "GET", "/pid", nil)
	if err == nil {
		seen = said("%d", got.code)
	}
	note("GET, another event", seen, err)
	return nil
}

// runtimeChecks: our worker of two events in a real runtime.
func (r *rig) runtimeChecks(ctx context.Context, p *peer, note notes) error {
	c, err := r.started(ctx, p, "events")
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			c.stop(time.Second)
		}
	}()
	note("start", "the locator knows the app", nil)
	a := c.asker("http")
	a.httpChecks(ctx, note)
	seen, err := a.failed(ctx)
	note("handler fails", seen, err)
	got, err := c.asker("nobody").ask(ctx, "GET", "/pid", nil)
	if err == nil && got.code < 500 {
		err = fmt.Errorf("got %d", got.code)
	}
	if err == nil {
		seen = string(got.body)
	}
	note("unknown event", seen, err)
	seen, err = c.killed(ctx, a)
	note("kill -9", seen, err)

	pids, err := a.hundred(ctx)
	if err == nil {
		select {
		case <-time.After(r.o.quiet):
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		var pid int
		if pid, err = a.pid(ctx, "/pid"); err == nil && !slices.Contains(pids, pid) {
			err = fmt.Errorf("after %v another process answers", r.o.quiet)
		}
	}
	note("left alone", said("the same workers after %v", r.o.quiet), err)

	how := c.stop(runtimeStop)
	stopped = true
	for _, pid := range pids {
		if err = ended(ctx, pid); err != nil {
			break
		}
	}
	note("runtime stopped", "runtime: "+how+"; our workers are gone", err)
	return nil
}

// killed kills the worker that answers: the runtime starts another one.
func (c *cloud) killed(ctx context.Context, a *asker) (string, error) {
	pid, err := a.pid(ctx, "/pid")
	if err != nil {
		return "", err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return "", err
	}
	short, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("20s"))
	defer cancel()
	err = c.await(short, "an answer of another worker", func() error {
		now, err := a.pid(short, "/pid")
		if err == nil && now == pid {
			err = errors.New("the killed one answered")
		}
		return err
	})
	return "another one answers", err
}

// modelChecks: the client in a cloud of our test package.
func (r *rig) modelChecks(ctx context.Context, p *peer, note notes) error {
	var (
		mu    sync.Mutex
		slips []string
	)
	c := servicetest.New(bench(p.Name), p.dialect(), servicetest.Options{OnSlip: func(s servicetest.Slip) {
		mu.Lock()
		defer mu.Unlock()
		slips = append(slips, s.String())
	}})
	defer c.Close()
	c.App(appName, nil)
	if err := r.client(ctx, p, c.Endpoint(), note); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	if len(slips) == 0 {
		note("mistakes of the client", "none", nil)
		return nil
	}
	note("mistakes of the client", "", errors.New(strings.Join(slips, "; ")))
	return nil
}

// clientOfRuntime: the same client in a real runtime, for comparison.
func (r *rig) clientOfRuntime(ctx context.Context, p, rt *peer, note notes) error {
	c, err := r.started(ctx, rt, "events")
	if err != nil {
		return err
	}
	defer c.stop(runtimeStop)
	return r.client(ctx, p, "127.0.0.1:"+c.port, note)
}

// client runs a client to its end. It says what it has seen in lines of standard
// output: seen, the check's name and what was seen, with tabs between.
func (r *rig) client(ctx context.Context, p *peer, locator string, note notes) error {
	port := locator[strings.LastIndex(locator, ":")+1:]
	proc, err := begin(r.dir, p.command(nil, "{locator}", locator, "{port}", port, "{app}", appName))
	if err != nil {
		return err
	}
	defer proc.stop(time.Second)
	select {
	case <-proc.exited:
	case <-time.After(30 * time.Second):
		proc.stop(time.Second)
		note("end", "", errors.New("it did not end in 30s"))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	lines := 0
	for line := range strings.Lines(proc.out.String()) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 && (f[0] == "seen" || f[0] == "failed") {
			lines++
			err := error(nil)
			if f[0] == "failed" {
				err = errors.New(f[2])
			}
			note(f[1], f[2], err)
		}
	}
	if lines == 0 || proc.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("%v; its last words: %s", proc.cmd.ProcessState, proc.out.last())
	}
	return nil
}

// ownProxyChecks: HTTP through heddle proxy and a real runtime to our worker.
func (r *rig) ownProxyChecks(ctx context.Context, rt *peer, note notes) error {
	own := &peer{Start: []string{r.heddle, "proxy", "--listen", "127.0.0.1:{port}", "--locator", "{locator}"}}
	return r.proxyChecks(ctx, own, rt, note)
}

// proxyChecks: HTTP through a real proxy and a real runtime to our worker.
func (r *rig) proxyChecks(ctx context.Context, p, rt *peer, note notes) error {
	c, err := r.started(ctx, rt)
	if err != nil {
		return err
	}
	defer c.stop(runtimeStop)
	return r.proxied(ctx, p, "127.0.0.1:"+c.port, note)
}

// proxied: HTTP through a real proxy to our worker, in the cloud of that locator.
func (r *rig) proxied(ctx context.Context, p *peer, locator string, note notes) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(r.dir, "p")
	if err != nil {
		return err
	}
	proc, err := begin(scratch, p.command(nil, "{scratch}", scratch, "{locator}", locator, "{port}", port))
	if err != nil {
		return err
	}
	defer proc.stop(2 * time.Second)
	a := &asker{"http://127.0.0.1:" + port + "/" + appName + "/http", newClient()}
	short, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no answer in 20s"))
	defer cancel()
	if err := proc.await(short, "the proxy", func() error { _, err := a.pid(short, "/pid"); return err }); err != nil {
		return err
	}
	note("start", "it answers", nil)
	a.httpChecks(ctx, note)
	seen, err := a.failed(ctx)
	note("handler fails", seen, err)
	return nil
}
