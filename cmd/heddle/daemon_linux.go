package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

const (
	firstRelease  = "r1"
	outletWait    = 2 * time.Second // for standard error to take the last lines
	controlWait   = time.Second     // for requests of the control socket to end
	progressEvery = 100 * time.Millisecond
)

// A daemon is what run starts: a front, an engine, and a control socket.
type daemon struct {
	// Immutable after serve has made it.
	o       *runOptions
	out     *outlet
	term    bool // standard error is a terminal
	colour  bool
	log     *slog.Logger
	started time.Time

	// The goroutine of serve only.
	place   *place
	loop    *loop.Loop // the control socket's
	looped  chan error // what its Run returned
	control *ipc.Server
	front   *front.Server

	mu      sync.Mutex
	name    string
	state   string
	release *release
	engine  *engine.Engine // nil until it starts
}

// serve runs a daemon until it has been drained or stopped.
func serve(parent context.Context, o *runOptions) error {
	out := newOutlet(os.Stderr, outletLimit)
	defer out.Close(outletWait) // before the error is printed
	term := isTerminal(os.Stderr)
	d := &daemon{
		o:       o,
		out:     out,
		term:    term,
		colour:  term && os.Getenv("NO_COLOR") == "",
		log:     slog.New(slog.NewTextHandler(out, nil)),
		started: time.Now(),
		state:   stateStarting,
	}
	sig := watchSignals(parent)
	defer sig.stop()
	defer d.end()
	if err := d.start(sig); err != nil {
		return err
	}
	d.setState(stateServing)
	out.Printf("ready %s", strings.Join(d.front.URLs(), " "))
	select {
	case <-sig.ctx.Done():
		return d.drain(sig)
	case err := <-d.front.Failed():
		return errors.Join(err, d.drain(sig))
	case err := <-d.looped:
		d.looped <- err // for end
		return errors.Join(fmt.Errorf("the control socket's loop ended: %w", err), d.drain(sig))
	}
}

// start takes the name, the control socket and the ports, in this order, so
// that what is taken already is known before anything is built; then builds,
// starts the workers and serves.
func (d *daemon) start(sig signals) error {
	t, err := findTarget(sig.ctx, d.o.target)
	if err != nil {
		return err
	}
	if d.name = d.o.name; d.name == "" {
		d.name = t.name()
		if err := checkName(d.name); err != nil {
			return usage("run", "%s; give another with --name", err)
		}
	}
	if d.place, err = takePlace(d.name, d.o.control); err != nil {
		return err
	}
	if err := d.listenControl(); err != nil {
		return err
	}
	if d.front, err = openFront(&d.o.front, d.log); err != nil {
		return err
	}
	if t.pkg != "" {
		d.progress("building %s", t.given)
	}
	rel, err := makeRelease(sig.ctx, d.place.release, firstRelease, t, d.o.args, d.out)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.release = rel
	d.mu.Unlock()
	if err := d.startEngine(sig); err != nil {
		return err
	}
	return d.front.Serve(&httpcompat.Proxy{Opener: d.engine, Logger: d.log, HeadTimeout: d.o.front.limits.ResponseHeaderTimeout}, d.engine)
}

// listenControl opens the control socket.
func (d *daemon) listenControl() error {
	l, err := loop.New(loop.Options{Logger: d.log})
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	d.loop, d.looped = l, make(chan error, 1)
	go func() { d.looped <- l.Run() }() // ends when end closes the loop
	d.control = ipc.NewServer(ipc.Options{Logger: d.log})
	d.control.Handle(topicStatus, d.answerStatus)
	err = d.control.Listen(l, d.place.control)
	if err == nil {
		return nil
	}
	f := &failure{code: exitError, err: fmt.Errorf("control socket %s: %w", d.place.control, err), fine: "nothing was started.", try: "try: heddle run with another --control"}
	switch fi, serr := os.Lstat(d.place.control); {
	case serr == nil && fi.Mode().Type() != os.ModeSocket:
		f.err = fmt.Errorf("control socket %s: a file that is no socket is there; it is left as it is", d.place.control)
	case errors.Is(err, syscall.EADDRINUSE):
		f.code = exitRefused
		f.err = fmt.Errorf("another daemon answers on the control socket %s", d.place.control)
		f.fine = "it goes on serving; nothing else was started."
		f.try = fmt.Sprintf("try: heddle status --control %s, or heddle run with another --control", d.place.control)
	}
	return f
}

// startEngine starts the workers and waits until all are online.
func (d *daemon) startEngine(sig signals) error {
	o := d.o
	e, err := engine.New(engine.Options{
		Path:             d.release.Program,
		Args:             o.args,
		Name:             d.name,
		Release:          d.release.Name,
		Workers:          o.workers,
		Loops:            o.loops,
		Concurrency:      o.concurrency,
		Queue:            engine.QueueOptions{Len: o.queue, Age: o.queueAge},
		StartTimeout:     o.startTimeout,
		HeartbeatTimeout: o.heartbeatTimeout,
		DrainTimeout:     o.drainTimeout,
		RuntimeDir:       d.place.home,
		Output:           d.workerLine,
		Logger:           d.log,
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.engine = e
	d.mu.Unlock()
	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { d.watchStart(e, started) }) // ends when started is closed
	err = e.Start(sig.ctx)
	close(started)
	wg.Wait()
	if err == nil {
		return nil
	}
	if sig.ctx.Err() != nil {
		return interrupted(sig.ctx)
	}
	return startFailure(err, d.release, o)
}

// startFailure is what a person reads when the workers did not come online.
func startFailure(err error, r *release, o *runOptions) error {
	var se *engine.StartError
	if !errors.As(err, &se) {
		return &failure{code: exitError, err: fmt.Errorf("workers did not start: %w", err), fine: "nothing is left running."}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "worker %d of %s did not get ready: %s", se.Index, r.Target, se.Death.Reason)
	switch {
	case len(se.Death.Stderr) > 0:
		b.WriteString("\nits last words on standard error:")
	case se.Death.Pid != 0:
		b.WriteString("\nit wrote nothing on standard error")
	}
	for _, line := range se.Death.Stderr {
		fmt.Fprintf(&b, "\n  %s", line)
	}
	alone := r.Source
	if r.Source != r.Target && strings.HasPrefix(r.Target, ".") {
		alone = r.Target
	}
	by := alone
	if fi, err := os.Stat(r.Source); err == nil && fi.IsDir() {
		by = "go run " + alone
	}
	if len(o.args) > 0 {
		by += " " + strings.Join(o.args, " ")
	}
	f := &failure{code: exitError, err: errors.New(b.String()), fine: "the other workers were stopped; nothing is left running.", try: "try: " + by + ", to see what it does alone"}
	// Whatever leaves in order, or stays silent, is likely no worker at all.
	if d := se.Death; d.Pid != 0 && (d.ExitCode == 0 || d.Signal != "") {
		f.try = "a program under heddle must call httpcompat.ListenAndServe(addr, handler), in place of http.ListenAndServe.\n" + f.try
	}
	return f
}

// watchStart shows on a terminal how many workers are online.
func (d *daemon) watchStart(e *engine.Engine, started <-chan struct{}) {
	if !d.term {
		<-started
		return
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		online := 0
		for _, w := range e.Status().Workers {
			if w.State == "online" {
				online++
			}
		}
		d.progress("starting workers %d/%d", online, d.o.workers)
		select {
		case <-tick.C:
		case <-started:
			d.out.SetStatus("")
			return
		}
	}
}

// progress shows what is going on, on a terminal only.
func (d *daemon) progress(format string, args ...any) {
	if d.term {
		d.out.SetStatus(fmt.Sprintf(format, args...))
	}
}

// workerLine writes a line of a worker's with its prefix, coloured by index on
// a terminal.
func (d *daemon) workerLine(l engine.Line) {
	if d.colour {
		// SGR 31 to 36, ECMA-48.
		d.out.Printf("\x1b[%dm[%d %s]\x1b[0m %s", 31+(l.Index+1)%6, l.Index, l.Release, l.Text)
		return
	}
	d.out.Printf("[%d %s] %s", l.Index, l.Release, l.Text)
}

func (d *daemon) setState(s string) {
	d.mu.Lock()
	d.state = s
	d.mu.Unlock()
}

// answerStatus answers the topic status.
func (d *daemon) answerStatus(_ context.Context, r *ipc.Request) error {
	d.mu.Lock()
	st := statusReply{Name: d.name, State: d.state, Pid: os.Getpid(), Started: d.started, Dropped: d.out.Dropped(), Listen: []string{}, Workers: []engine.WorkerStatus{}}
	if d.release != nil {
		st.Release, st.SHA256 = d.release.Name, d.release.SHA256
	}
	e := d.engine
	if d.state != stateStarting {
		st.Listen = append(st.Listen, d.front.URLs()...) // written before the state was
		st.Front = d.front.Stats()
	}
	d.mu.Unlock()
	if e != nil {
		st.Workers = append(st.Workers, e.Status().Workers...)
	}
	p, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return r.Reply(p)
}

// drain finishes the requests that are being answered, for at most the drain
// time-out, then ends the workers. A second signal cuts it short.
func (d *daemon) drain(sig signals) error {
	d.setState(stateDraining)
	again := "a second signal"
	if d.term {
		again = "Ctrl-C again"
	}
	d.out.Printf("draining: requests may take %v to finish; %s stops at once", d.o.drainTimeout, again)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	late := time.AfterFunc(d.o.drainTimeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	drained := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends when drained is closed, at the latest
		select {
		case <-sig.hard:
			cancel(errInterrupted)
		case <-drained:
		}
	})
	lost := d.engine.Stats().Lost
	ferr := d.front.Shutdown(ctx)
	cut := "no request was"
	if ferr != nil {
		if cut = "1 request was"; d.front.Active() != 1 {
			cut = fmt.Sprintf("%d requests were", d.front.Active())
		}
		d.front.Close()
	}
	eerr := d.engine.Shutdown(ctx)
	close(drained)
	wg.Wait()

	cause := context.Cause(ctx)
	switch {
	case ferr != nil && errors.Is(cause, errInterrupted):
		return &failure{code: exitError, err: fmt.Errorf("stopped at once, as asked; %s cut off", cut), fine: "nothing is left running."}
	case ferr != nil:
		return &failure{
			code: exitTimeout,
			err:  fmt.Errorf("%s cut off, not having finished within %v", cut, d.o.drainTimeout),
			fine: "every other request was answered; nothing is left running.",
			try:  "try: heddle run with a longer --drain-timeout",
		}
	case d.engine.Stats().Lost > lost:
		return &failure{
			code: exitError,
			err:  fmt.Errorf("a worker died while draining, and the requests it had were lost; the log names them"),
			fine: "every other request was answered; nothing is left running.",
		}
	case eerr != nil:
		d.log.Warn("workers did not leave in time and were killed; every request had been answered", "err", eerr)
	}
	if lost > 0 {
		d.out.Printf("stopped: every request taken was answered, but for %d that workers died with, as logged", lost)
		return nil
	}
	d.out.Printf("stopped: every request taken was answered")
	return nil
}

// end gives back whatever start took, in reverse.
func (d *daemon) end() {
	d.out.SetStatus("")
	if d.engine != nil {
		_ = d.engine.Close() // ended already unless start failed
	}
	if d.front != nil {
		d.front.Close()
	}
	if d.control != nil {
		ctx, cancel := context.WithTimeout(context.Background(), controlWait)
		if err := d.control.Close(ctx); err != nil {
			d.log.Warn("control socket", "err", err)
		}
		cancel()
	}
	if d.loop != nil {
		_ = d.loop.Close()
		if err := <-d.looped; err != nil {
			d.log.Warn("control socket's loop", "err", err)
		}
	}
	if d.place != nil {
		d.place.leave()
	}
}
