package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
)

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// A fakeEngine does what its test says.
type fakeEngine struct {
	deploy  func(ctx context.Context, p engine.Program, o engine.DeployOptions) (<-chan struct{}, error)
	other   func(ctx context.Context, what string) error
	mu      sync.Mutex
	status  engine.Status
	program engine.Program // deployed last
}

func (f *fakeEngine) Deploy(ctx context.Context, p engine.Program, o engine.DeployOptions) (<-chan struct{}, error) {
	f.mu.Lock()
	f.program = p
	f.mu.Unlock()
	if f.deploy != nil {
		return f.deploy(ctx, p, o)
	}
	drained := make(chan struct{})
	close(drained)
	return drained, nil
}

func (f *fakeEngine) do(ctx context.Context, what string) error {
	if f.other != nil {
		return f.other(ctx, what)
	}
	return nil
}

func (f *fakeEngine) Scale(ctx context.Context, workers, standbys int) error {
	return f.do(ctx, fmt.Sprintf("scale %d %d", workers, standbys))
}

func (f *fakeEngine) Restart(ctx context.Context, sel engine.Selector, progress func(done, of int)) error {
	progress(0, 2)
	return f.do(ctx, "restart "+sel.String())
}
func (f *fakeEngine) Suspend(ctx context.Context) error { return f.do(ctx, "suspend") }
func (f *fakeEngine) Resume(ctx context.Context) error  { return f.do(ctx, "resume") }
func (f *fakeEngine) DumpRequests(io.Writer)            {}

func (f *fakeEngine) Status() engine.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// A client is a command's side of a lifecycle.
type fakeClient struct {
	t  *testing.T
	lc *lifecycle

	mu     sync.Mutex
	events []event
	failed bool // replies fail
}

// newFake has r1 serve.
func newFake(t *testing.T, f *fakeEngine) *fakeClient {
	t.Helper()
	var out output
	lc := newLifecycle("d", t.TempDir(), logTo(&out))
	r := &release{Name: lc.releases.reserve(), Target: "./app", Source: "/src/app", Args: []string{"-old"}}
	if err := lc.releases.add(t.Context(), r, "app", putBytes("one")); err != nil {
		t.Fatal(err)
	}
	if err := lc.releases.serve(r.Name); err != nil {
		t.Fatal(err)
	}
	f.status = engine.Status{Wanted: 2, Workers: []engine.WorkerStatus{{Index: 0, Pid: 10, Release: "r1", State: "online"}, {Index: 1, Pid: 11, Release: "r1", State: "online"}}}
	lc.serves(f)
	t.Cleanup(func() {
		lc.close()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return &fakeClient{t: t, lc: lc}
}

func (c *fakeClient) reply(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return io.ErrClosedPipe
	}
	var e event
	if err := json.Unmarshal(p, &e); err != nil {
		c.t.Error(err)
	}
	c.events = append(c.events, e)
	return nil
}

// has says whether such an event has come.
func (c *fakeClient) has(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Event == what {
			return true
		}
	}
	return false
}

// ask gives an order and returns its end, and the code of its failure.
func (c *fakeClient) ask(ctx context.Context, topic string, o order, files ...*os.File) (res result, code int, text string) {
	c.t.Helper()
	p, err := json.Marshal(o)
	if err != nil {
		c.t.Fatal(err)
	}
	asked := &fakeClient{t: c.t, lc: c.lc}
	if err := c.lc.answer(ctx, &asker{reply: func(p []byte) error { return errors.Join(c.reply(p), asked.reply(p)) }, files: files}, p, c.lc.topics()[topic]); err != nil {
		c.t.Fatal(err)
	}
	asked.mu.Lock() // what was not waited for goes on telling
	defer asked.mu.Unlock()
	if len(asked.events) == 0 {
		return res, -1, "no event"
	}
	e := asked.events[len(asked.events)-1]
	for i := len(asked.events) - 1; i >= 0 && e.Result == nil; i-- {
		e = asked.events[i]
	}
	if e.Result == nil {
		c.t.Fatalf("%s ends with %+v", topic, e)
	}
	if e.Failure != nil {
		return *e.Result, e.Failure.Code, e.Failure.failure().Error()
	}
	return *e.Result, exitOK, ""
}

// program is an executable, opened.
func program(t *testing.T, b string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte(b), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f // the handler closes it
}

var deployOrder = order{Target: "./app", Source: "/src/app", Program: "app", Pid: 7}

func TestDeploy(t *testing.T) {
	f := &fakeEngine{}
	c := newFake(t, f)
	res, code, text := c.ask(t.Context(), topicDeploy, deployOrder, program(t, "two"))
	if code != exitOK || res.Release != "r2" || res.Previous != "r1" || res.State != releaseServing || !res.Drained {
		t.Errorf("got %+v, %d, %s", res, code, text)
	}
	if p := f.program; p.Release != "r2" || p.Path != filepath.Join(c.lc.releases.dir, "r2", "app") || len(p.Args) != 1 || p.Args[0] != "-old" {
		t.Errorf("got %+v, want r2's copy with the old arguments", p)
	}
	if got := states(c.lc.releases); got != "r1:kept+ r2:serving+" {
		t.Errorf("got %s", got)
	}
	o := deployOrder
	o.Args, o.Suspended = []string{}, true
	res, _, _ = c.ask(t.Context(), topicDeploy, o, program(t, "three"))
	if res.State != stateSuspended || len(f.program.Args) != 0 {
		t.Errorf("got %+v with %+v, want no arguments", res, f.program)
	}
	res, _, _ = c.ask(t.Context(), topicRollback, order{})
	if res.Release != "r4" || res.From != "r2" || f.program.Args[0] != "-old" {
		t.Errorf("rollback: got %+v with %+v, want r2's program and arguments", res, f.program)
	}
	if got := c.lc.list(); got.Serving != "r4" || len(got.Releases) != 4 || got.Releases[0].Workers != 2 || got.Releases[3].Pid != 0 || got.Releases[1].Pid != 7 {
		t.Errorf("got %+v", got)
	}
}

// TestDeployRefused: orders that could not be meant, and engines that refuse.
func TestDeployRefused(t *testing.T) {
	f := &fakeEngine{}
	c := newFake(t, f)
	for name, o := range map[string]order{"no name": {}, "dots": {Program: ".."}, "path": {Program: "../app"}, "root": {Program: "/"}, "long": {Program: strings.Repeat("x", 256)}} {
		if _, code, _ := c.ask(t.Context(), topicDeploy, o, program(t, "two")); code != exitError {
			t.Errorf("%s: got %d", name, code)
		}
	}
	if _, code, _ := c.ask(t.Context(), topicDeploy, deployOrder); code != exitError {
		t.Error("without a file: taken")
	}
	if _, code, _ := c.ask(t.Context(), topicDeploy, deployOrder, program(t, "2"), program(t, "3")); code != exitError {
		t.Error("with two files: taken")
	}
	a := &asker{reply: c.reply}
	if err := c.lc.answer(t.Context(), a, []byte(`{"target":"x","when":"never"}`), c.lc.deploy); err != nil || !c.has(eventFailed) {
		t.Errorf("an order with more than we know: %v", err)
	}
	for _, tt := range []struct {
		err  error
		code int
		want string
	}{
		{&engine.StartError{Index: 1, Death: engine.Death{Pid: 5, ExitCode: 3, Reason: "exited with status 3 before it was online", Stderr: []string{"no database"}}}, exitRefused, "worker 1 of ./app did not get ready: exited with status 3 before it was online\nits last words on standard error:\n  no database\nr1 still serves.\ntry: ./app -old, to see"},
		{&engine.ConflictError{Doing: "a restart"}, exitRefused, "a restart is under way\nit goes on"},
		{engine.ErrClosed, exitRefused, "the daemon is stopping\n"},
		{errors.New("fork: no room"), exitRefused, "did not get ready: fork: no room\nr1 still serves.\n"},
	} {
		f.deploy = func(context.Context, engine.Program, engine.DeployOptions) (<-chan struct{}, error) {
			return nil, tt.err
		}
		res, code, text := c.ask(t.Context(), topicDeploy, deployOrder, program(t, "two"))
		if code != tt.code || !strings.Contains(text, tt.want) || res.Error == "" || res.Drained {
			t.Errorf("%v: got %+v, %d, %s", tt.err, res, code, text)
		}
	}
	if got := states(c.lc.releases); got != "r1:serving+ r2:failed r3:failed r4:failed r5:failed" {
		t.Errorf("got %s", got)
	}
	young := newLifecycle("d", t.TempDir(), logTo(io.Discard))
	defer young.close()
	if _, code, text := (&fakeClient{t: t, lc: young}).ask(t.Context(), topicScale, order{Workers: 1, Standbys: -1}); code != exitRefused || !strings.Contains(text, "still starting") {
		t.Errorf("before it serves: got %d, %s", code, text)
	}
}

// hangs is an engine whose deploys do not get ready.
func hangs(ctx context.Context, _ engine.Program, _ engine.DeployOptions) (<-chan struct{}, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestDeployEnds: what ends a deploy that has not switched, and what the command
// reads.
func TestDeployEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		order order
		end   func(c *fakeClient, gone context.CancelFunc)
		code  int
		state string
		want  string
	}{
		"late": {order{Timeout: 50 * time.Millisecond}, func(*fakeClient, context.CancelFunc) {}, exitTimeout, stateWithdrawn, "r2 was not ready within 50ms and was withdrawn\nr1 still serves."},
		"gone": {order{}, func(_ *fakeClient, gone context.CancelFunc) { gone() }, exitError, stateWithdrawn, "r2 was withdrawn before it served\nr1 still serves."},
		"withdrawn": {order{}, func(c *fakeClient, _ context.CancelFunc) {
			if c.lc.withdraw(order{Release: "r1"}) != 0 || c.lc.withdraw(order{Release: "r2"}) != 1 {
				t.Error("withdrawn: the wrong one")
			}
		}, exitError, stateWithdrawn, "r2 was withdrawn before it served\nr1 still serves."},
		"stopping":   {order{}, func(c *fakeClient, _ context.CancelFunc) { c.lc.stop() }, exitRefused, stateRefused, "the daemon is stopping\n"},
		"superseded": {order{}, nil, exitRefused, stateSuperseded, "r2 was superseded by r3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeEngine{deploy: hangs}
			c := newFake(t, f)
			ctx, gone := context.WithCancel(t.Context())
			defer gone()
			o := deployOrder
			o.Timeout = tt.order.Timeout
			var wg sync.WaitGroup
			wg.Go(func() {
				until(func() bool { return c.has(eventStarting) })
				if tt.end != nil {
					tt.end(c, gone)
					return
				}
				o := deployOrder
				if _, code, text := c.ask(t.Context(), topicDeploy, o, program(t, "three")); code != exitRefused || !strings.Contains(text, "a deploy of r2 is under way") || !strings.Contains(text, "by pid 7") || !strings.Contains(text, "--supersede") {
					t.Errorf("at once: got %d, %s", code, text)
				}
				o.Supersede, o.Timeout = true, 50*time.Millisecond
				if _, code, text := c.ask(t.Context(), topicDeploy, o, program(t, "three")); code != exitTimeout {
					t.Errorf("the other: got %d, %s", code, text)
				}
			})
			res, code, text := c.ask(ctx, topicDeploy, o, program(t, "two"))
			if code != tt.code || res.State != tt.state || !strings.HasPrefix(text, tt.want) {
				t.Errorf("got %+v, %d, %s, want %s", res, code, text, tt.want)
			}
			wg.Wait()
			if got := states(c.lc.releases); !strings.HasPrefix(got, "r1:serving+ r2:failed") {
				t.Errorf("got %s", got)
			}
			if c.lc.turns.status() != nil {
				t.Error("the operation is under way still")
			}
		})
	}
}

// TestSupersedeWaits: a scale is told to end and waited for, and of those that
// wait the last one wins.
func TestSupersedeWaits(t *testing.T) {
	scaling, goOn := make(chan struct{}), make(chan struct{})
	f := &fakeEngine{other: func(ctx context.Context, what string) error {
		close(scaling)
		<-goOn
		return context.Cause(ctx)
	}}
	c := newFake(t, f)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, code, text := c.ask(t.Context(), topicScale, order{Workers: 3, Standbys: -1}); code != exitRefused || !strings.Contains(text, "the scale was superseded by r2") {
			t.Errorf("scale: got %d, %s", code, text)
		}
	})
	<-scaling
	o := deployOrder
	o.Supersede, o.Timeout = true, 20*time.Millisecond
	if _, code, text := c.ask(t.Context(), topicDeploy, o, program(t, "two")); code != exitTimeout {
		t.Errorf("out of time: got %d, %s", code, text)
	}
	o.Timeout = 0
	wg.Go(func() {
		if _, code, text := c.ask(t.Context(), topicDeploy, o, program(t, "three")); code != exitRefused || !strings.Contains(text, "r3 was superseded by r4") {
			t.Errorf("the first that waits: got %d, %s", code, text)
		}
	})
	until(func() bool {
		c.lc.turns.mu.Lock()
		defer c.lc.turns.mu.Unlock()
		return c.lc.turns.next != nil && c.lc.turns.next.release == "r3"
	})
	wg.Go(func() {
		if res, code, text := c.ask(t.Context(), topicDeploy, o, program(t, "four")); code != exitOK || res.Release != "r4" {
			t.Errorf("the last: got %+v, %d, %s", res, code, text)
		}
	})
	until(func() bool {
		c.lc.turns.mu.Lock()
		defer c.lc.turns.mu.Unlock()
		return c.lc.turns.next != nil && c.lc.turns.next.release == "r4"
	})
	if !c.has(eventWaiting) {
		t.Error("nobody is told what is waited for")
	}
	close(goOn)
	wg.Wait()
}

// TestDeployAfterSwitch: time-outs, and commands that go, end only the waiting
// for the old workers.
func TestDeployAfterSwitch(t *testing.T) {
	drained := make(chan struct{})
	f := &fakeEngine{deploy: func(context.Context, engine.Program, engine.DeployOptions) (<-chan struct{}, error) {
		return drained, nil
	}}
	c := newFake(t, f)
	f.mu.Lock() // and another deploy has begun meanwhile
	f.status.Workers = append(f.status.Workers, engine.WorkerStatus{Index: 0, Pid: 12, Release: "r3", State: "starting"})
	f.mu.Unlock()
	o := deployOrder
	o.Timeout = 50 * time.Millisecond
	res, code, text := c.ask(t.Context(), topicDeploy, o, program(t, "two"))
	if code != exitOK || res.State != releaseServing || res.Drained || res.Draining != 2 {
		t.Errorf("late: got %+v, %d, %s", res, code, text)
	}
	o.Timeout = 0
	ctx, gone := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, gone)
	if res, code, text = c.ask(ctx, topicDeploy, o, program(t, "three")); code != exitOK || res.State != releaseServing || res.Drained {
		t.Errorf("gone: got %+v, %d, %s", res, code, text)
	}
	close(drained)
}

// TestNoWait: the deploy goes on without its command, and a client that does not
// take its events costs nothing.
func TestNoWait(t *testing.T) {
	goOn := make(chan struct{})
	f := &fakeEngine{deploy: func(ctx context.Context, _ engine.Program, _ engine.DeployOptions) (<-chan struct{}, error) {
		select {
		case <-goOn:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return nil, errors.New("no luck")
	}}
	c := newFake(t, f)
	o := deployOrder
	o.NoWait = true
	ctx, gone := context.WithCancel(t.Context())
	res, code, text := c.ask(ctx, topicDeploy, o, program(t, "two"))
	if code != exitOK || res.State != stateAccepted || res.Release != "r2" {
		t.Errorf("got %+v, %d, %s", res, code, text)
	}
	gone()
	if op := c.lc.turns.status(); op == nil || op.Doing != "a deploy of r2" || op.Pid != 7 {
		t.Errorf("got %+v, want the deploy", op)
	}
	close(goOn)
	if !until(func() bool {
		return states(c.lc.releases) == "r1:serving+ r2:failed" && c.lc.turns.status() == nil
	}) {
		t.Errorf("got %s", states(c.lc.releases))
	}
	if r, _ := c.lc.releases.get("r2"); r.Reason != "no luck" {
		t.Errorf("got reason %q", r.Reason)
	}
	c.mu.Lock()
	c.failed = true
	c.mu.Unlock()
	f.deploy = nil
	p, err := json.Marshal(deployOrder)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.lc.answer(t.Context(), &asker{reply: c.reply, files: []*os.File{program(t, "3")}}, p, c.lc.deploy); err != nil {
		t.Error(err)
	}
	if got := c.lc.releases.serving().Name; got != "r3" {
		t.Errorf("%s serves, want r3 although its client is deaf", got)
	}
}
