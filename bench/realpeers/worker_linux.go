package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/service/servicetest"
)

// dialect is the peer's as the packages have it.
func (p *peer) dialect() heddle.Dialect {
	if p.Dialect == "v0" {
		return heddle.V0
	}
	return heddle.V1
}

// served starts the peer's worker under heddle run.
func (r *rig) served(ctx context.Context, p *peer, locator string, flags ...string) (*daemon.Daemon, *asker, error) {
	dir, err := os.MkdirTemp(r.dir, "d")
	if err != nil {
		return nil, nil, err
	}
	words := p.command(nil)
	d, err := daemon.Start(ctx, daemon.Options{
		Heddle: r.heddle, Dir: dir, Target: words[0], Args: words[1:],
		Flags: append([]string{"--workers", "2", "--dialect", p.Dialect, "--cloud", locator}, flags...),
	})
	if err != nil {
		return nil, nil, err
	}
	return d, &asker{"http://" + d.Addr, newClient()}, nil
}

// newClient has connections of its own.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
}

// workerChecks: the peer serves HTTP under our engine.
func (r *rig) workerChecks(ctx context.Context, p *peer, note notes) error {
	cloud := servicetest.New(bench(p.Name), p.dialect(), servicetest.Options{OnSlip: func(servicetest.Slip) {}})
	defer cloud.Close()
	d, a, err := r.served(ctx, p, cloud.Endpoint())
	if err != nil {
		return err
	}
	defer d.Stop()
	if _, err := d.Await(ctx, 20*time.Second, "two workers", twoServe); err != nil {
		return err
	}
	note("start", "two workers are online", nil)
	a.httpChecks(ctx, note)

	seen, err := a.failed(ctx)
	note("handler fails", seen, err)
	if err := r.unknownEvent(ctx, p, cloud.Endpoint(), note); err != nil {
		return err
	}
	st, err := d.Await(ctx, 40*time.Second, "two workers", twoServe)
	if err != nil {
		return err
	}
	seen, err = kill(ctx, d, a, st)
	note("kill -9", seen, err)
	if _, err = d.Await(ctx, 40*time.Second, "two workers", twoServe); err != nil {
		return err
	}
	seen, err = deployed(ctx, p, d, a)
	note("deploy under load", seen, err)
	if st, err = d.Await(ctx, 40*time.Second, "two workers", twoServe); err != nil {
		return err
	}
	seen, err = r.heartbeats(ctx, d, st)
	note("left alone", seen, err)
	seen, err = left(d, st)
	note("terminate", seen, err)
	return nil
}

func twoServe(st daemon.Status) bool {
	n := 0
	for _, w := range st.Workers {
		if w.State == "online" {
			n++
		}
	}
	return n == 2 && len(st.Workers) == 2
}

// failed asks for a handler that fails, and then for one that does not.
func (a *asker) failed(ctx context.Context) (string, error) {
	got, err := a.ask(ctx, "GET", "/fail", nil)
	if err != nil {
		return "", err
	}
	if got.code < 500 {
		return "", fmt.Errorf("got %d %q, want a 5xx", got.code, got.body)
	}
	for range 4 { // whichever worker it was
		if _, err := a.pid(ctx, "/pid"); err != nil {
			return "", fmt.Errorf("after a %d: %w", got.code, err)
		}
	}
	return got.words(), nil
}

// words are the code and the first line, without the request's id, which is
// another one each time.
func (a *answer) words() string {
	s, _, _ := strings.Cut(string(a.body), "\n")
	s, _, _ = strings.Cut(s, " (request ")
	return said("%d %s", a.code, strings.TrimPrefix(s, said("%d ", a.code)))
}

// unknownEvent serves the peer as an event that it does not have.
func (r *rig) unknownEvent(ctx context.Context, p *peer, locator string, note notes) error {
	d, a, err := r.served(ctx, p, locator, "--event", "nobody")
	if err != nil {
		return err
	}
	defer d.Stop()
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := a.ask(short, "GET", "/pid", nil)
	switch {
	case short.Err() != nil:
		note("unknown event", "", errors.New("no answer in 5s"))
	case err != nil:
		note("unknown event", "", err)
	case got.code < 500:
		note("unknown event", "", fmt.Errorf("got %d, want a 5xx", got.code))
	default:
		note("unknown event", got.words(), nil)
	}
	return nil
}

// kill ends a worker by SIGKILL: the next requests are answered, and there is a
// new one.
func kill(ctx context.Context, d *daemon.Daemon, a *asker, st daemon.Status) (string, error) {
	victim := st.Workers[0]
	if err := syscall.Kill(victim.Pid, syscall.SIGKILL); err != nil {
		return "", err
	}
	// What it had in that moment is lost; what comes once the engine knows is not.
	gone := func(st daemon.Status) bool {
		return !slices.ContainsFunc(st.Workers, func(w daemon.Worker) bool { return w.ID == victim.ID })
	}
	if _, err := d.Await(ctx, 5*time.Second, "no dead worker", gone); err != nil {
		return "", err
	}
	for range 10 {
		if _, err := a.pid(ctx, "/pid"); err != nil {
			return "", err
		}
	}
	if _, err := d.Await(ctx, 30*time.Second, "a new worker", twoServe); err != nil {
		return "", err
	}
	return "10 of 10 answered, and there is a new worker", nil
}

// deployed deploys the same program while four clients ask.
func deployed(ctx context.Context, p *peer, d *daemon.Daemon, a *asker) (string, error) {
	load, end := context.WithCancel(ctx)
	defer end()
	var (
		wg    sync.WaitGroup
		asked atomic.Int64
		mu    sync.Mutex
		lost  []error
	)
	for range 4 {
		wg.Go(func() { // until load ends
			for load.Err() == nil {
				asked.Add(1)
				if _, err := a.pid(ctx, "/slow?ms=5"); err != nil {
					mu.Lock()
					lost = append(lost, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	words := p.command(nil)
	res, err := d.Run(ctx, "deploy", append([]string{words[0], "--"}, words[1:]...)...)
	time.Sleep(200 * time.Millisecond) // with the new ones
	end()
	wg.Wait()
	switch {
	case err != nil:
		return "", err
	case res.Code != 0:
		return "", fmt.Errorf("heddle deploy: exit code %d: %s", res.Code, res.Stderr)
	case len(lost) > 0:
		return "", fmt.Errorf("%d of %d requests were lost, as %w", len(lost), asked.Load(), lost[0])
	}
	return "none of the requests was lost", nil
}

// heartbeats leaves the workers alone and sees whether they stay.
func (r *rig) heartbeats(ctx context.Context, d *daemon.Daemon, st daemon.Status) (string, error) {
	select {
	case <-time.After(r.o.quiet):
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	now, err := d.Status(ctx)
	if err != nil {
		return "", err
	}
	for i, w := range st.Workers {
		if i >= len(now.Workers) || now.Workers[i].ID != w.ID || now.Workers[i].State != "online" {
			return "", fmt.Errorf("after %v worker %d is another one or not online: %+v", r.o.quiet, w.Index, now.Workers)
		}
	}
	return said("the same workers after %v", r.o.quiet), nil
}

var leftLine = regexp.MustCompile(`msg="engine: worker (left|died)".* pid=(\d+) reason="([^"]*)"`)

// left stops the daemon and says how the workers ended. None may be there
// afterwards.
func left(d *daemon.Daemon, st daemon.Status) (string, error) {
	if err := d.Stop(); err != nil {
		return "", err
	}
	var how []string
	for _, line := range d.Log.Lines() {
		m := leftLine.FindStringSubmatch(line)
		if m == nil || !slices.ContainsFunc(st.Workers, func(w daemon.Worker) bool { return fmt.Sprint(w.Pid) == m[2] }) {
			continue
		}
		if !slices.Contains(how, m[3]) {
			how = append(how, m[3])
		}
	}
	for _, w := range st.Workers {
		if syscall.Kill(w.Pid, 0) == nil {
			return "", fmt.Errorf("worker %d, pid %d, is still there", w.Index, w.Pid)
		}
	}
	if len(how) == 0 {
		return "", errors.New("the log does not say how the workers left")
	}
	return strings.Join(how, "; "), nil
}
