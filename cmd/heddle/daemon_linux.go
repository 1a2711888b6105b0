package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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

	sig   signals
	ended chan struct{} // closed when it has been drained, or has failed

	// The goroutine of serve only.
	place   *place
	loop    *loop.Loop // the control socket's
	looped  chan error // what its Run returned
	control *ipc.Server
	front   *front.Server

	life   *lifecycle
	deaths *deaths

	mu           sync.Mutex
	name         string
	state        string
	engine       *engine.Engine // nil until it starts
	drainTimeout time.Duration
	outcome      error // once ended is closed
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
		sig:     watchSignals(parent),
		ended:   make(chan struct{}),

		drainTimeout: o.drainTimeout,
	}
	defer d.sig.stop()
	defer watchQuit(out, d.dumpRequests)()
	defer d.end()
	err := d.live(d.sig)
	d.mu.Lock()
	d.outcome = err
	d.mu.Unlock()
	close(d.ended)
	return err
}

// live serves until it is asked to stop, and drains then.
func (d *daemon) live(sig signals) error {
	if err := d.start(sig); err != nil {
		return err
	}
	d.setState(stateServing)
	d.life.serves(d.engine)
	d.out.Printf("ready %s", strings.Join(d.front.URLs(), " "))
	if d.o.suspended {
		d.out.Printf("suspended: requests wait; heddle resume lets them in")
	}
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
	t, err := findTarget(sig.ctx, "run", d.o.target)
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
	d.life = newLifecycle(d.name, d.place.release, d.log)
	d.deaths = newDeaths(filepath.Join(d.place.home, "deaths"), d.log)
	if err := d.listenControl(); err != nil {
		return err
	}
	if d.front, err = openFront(&d.o.front, d.log); err != nil {
		return err
	}
	if t.pkg != "" {
		d.progress("building %s", t.given)
	}
	r, err := makeRelease(sig.ctx, d.life.releases, t, d.o.args, d.out)
	if err != nil {
		return err
	}
	if err := d.startEngine(sig, r); err != nil {
		return err
	}
	if err := d.life.releases.serve(r.Name); err != nil {
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
	d.control.Handle(topicStop, func(ctx context.Context, r *ipc.Request) error {
		return d.life.answer(ctx, &asker{reply: r.Reply}, r.Payload, d.answerStop)
	})
	d.life.handle(d.control)
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
func (d *daemon) startEngine(sig signals, r *release) error {
	o := d.o
	e, err := engine.New(engine.Options{
		Path:             r.Program,
		Args:             o.args,
		Name:             d.name,
		Release:          r.Name,
		Workers:          o.workers,
		Standbys:         o.standbys,
		Suspended:        o.suspended,
		Recycle:          engine.RecycleOptions{Requests: o.recycleRequests, Age: o.recycleAge, Memory: int64(o.recycleMemory)},
		Loops:            o.loops,
		Concurrency:      o.concurrency,
		Queue:            engine.QueueOptions{Len: o.queue, Age: o.queueAge},
		StartTimeout:     o.startTimeout,
		HeartbeatTimeout: o.heartbeatTimeout,
		DrainTimeout:     o.drainTimeout,
		RuntimeDir:       d.place.home,
		Output:           d.workerLine,
		OnDeath:          d.died,
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
	var se *engine.StartError
	if !errors.As(err, &se) {
		return &failure{code: exitError, err: fmt.Errorf("workers did not start: %w", err), fine: "nothing is left running."}
	}
	return startFailure(se, r, exitError, "the other workers were stopped; nothing is left running.")
}

// died keeps the record of a worker's end.
func (d *daemon) died(death engine.Death) {
	d.life.died(death)
	d.deaths.add(death)
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
			if w.Ready || w.State == "online" || w.State == "suspended" {
				online++
			}
		}
		d.progress("starting workers %d/%d", online, d.o.workers+d.o.standbys)
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
		d.out.Printf("\x1b[%dm[%s %s]\x1b[0m %s", 31+(l.Index+1)%6, indexOf(l.Index), l.Release, l.Text)
		return
	}
	d.out.Printf("[%s %s] %s", indexOf(l.Index), l.Release, l.Text)
}

func (d *daemon) setState(s string) {
	d.mu.Lock()
	d.state = s
	d.mu.Unlock()
}

// answerStatus answers the topic status.
func (d *daemon) answerStatus(_ context.Context, r *ipc.Request) error {
	rel := d.life.releases.serving()
	if all := d.life.releases.all(); rel.Name == "" && len(all) > 0 {
		rel = all[0] // still starting
	}
	d.mu.Lock()
	st := statusReply{Name: d.name, State: d.state, Pid: os.Getpid(), Started: d.started, Dropped: d.out.Dropped(), Listen: []string{}, Workers: []engine.WorkerStatus{}}
	st.Release, st.SHA256, st.Operation = rel.Name, rel.SHA256, d.life.turns.status()
	e := d.engine
	if d.state != stateStarting {
		st.Listen = append(st.Listen, d.front.URLs()...) // written before the state was
		st.Front = d.front.Stats()
	}
	d.mu.Unlock()
	if e != nil {
		es := e.Status()
		st.Suspended, st.Wanted, st.Standbys = es.Suspended, es.Wanted, es.Standbys
		st.Workers = append(st.Workers, es.Workers...)
	}
	p, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return r.Reply(p)
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
	if d.life != nil {
		d.life.close()
	}
	if d.deaths != nil {
		d.deaths.close() // the engine tells of no more
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
