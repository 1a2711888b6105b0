package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/admin"
	"github.com/heddle-go/heddle/cmd/internal/logs"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker/engine"
)

const (
	controlWait   = time.Second // for requests of the control socket to end
	progressEvery = 100 * time.Millisecond
)

// A daemon is what run starts: a front, apps, and a control socket.
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
	hub     *ipc.Hub // of the control socket's clients
	front   *front.Server
	admin   *admin.Server // nil: without --admin
	edits   *edits        // nil without --watch

	switches *switchboard
	herald   *herald

	bodies httpcompat.Bodies // of requests for workers that want them whole
	visits visits            // clients that open sessions by themselves
	relays atomic.Int64      // messages and requests of control clients that are being sent on
	lines  lineRoom          // those of clients that speak lines

	reloading sync.Mutex // held while a reload is under way; guards o.config from then on

	notices noticeBoard

	mu           sync.Mutex
	cloud        *host.Cloud // nil: without --locator; written before the first app starts
	node         *node       // its service
	loops        *loops      // the workers' channels' and the clients'; nil until they have started
	apps         []*app      // in the file's order; none before the daemon's name is ours
	name         string
	access       *logs.Access // nil: no access log
	state        string
	drainTimeout time.Duration
	outcome      error // once ended is closed
}

// serve runs a daemon until it has been drained or stopped.
func serve(parent context.Context, o *runOptions) error {
	out := newOutlet(os.Stderr, outletLimit)
	defer out.Close(outletWait) // before the error is printed
	log := slog.New(slog.NewTextHandler(out, nil))
	h := newHerald(log) // before anything is started that would inherit its variables
	defer h.close()
	term := isTerminal(os.Stderr)
	d := &daemon{
		o:       o,
		out:     out,
		term:    term,
		colour:  term && os.Getenv("NO_COLOR") == "",
		log:     log,
		herald:  h,
		started: time.Now(),
		state:   stateStarting,
		sig:     watchSignals(parent),
		ended:   make(chan struct{}),

		drainTimeout: o.longestDrain(),
	}
	defer d.sig.stop()
	defer watchQuit(out, d.dumpRequests)()
	defer watchSignal(syscall.SIGUSR1, d.reopenLogs)()
	defer watchSignal(syscall.SIGHUP, d.reloadAsked)()
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
	d.out.Printf("ready %s", strings.Join(d.front.URLs(), " "))
	for _, a := range d.running() {
		switch {
		case a.o.suspended && len(d.o.apps) > 0:
			d.out.Printf("%s is suspended: its requests wait; heddle resume --app %s lets them in", a.name, a.name)
		case a.o.suspended:
			d.out.Printf("suspended: requests wait; heddle resume lets them in")
		}
	}
	if d.edits != nil {
		d.edits.begin()
	}
	d.herald.serves(d.summary, append(slices.Clone(d.loops.list), d.loop))
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
	targets, err := d.findTargets(sig)
	if err != nil {
		return err
	}
	if d.place, err = takePlace(d.title(), d.o.control); err != nil {
		return err
	}
	if err := d.o.logs.makeDirs(); err != nil {
		return err
	}
	access := newAccess(&d.o.logs, d.o.loops, d.log)
	d.mu.Lock()
	d.access = access
	d.mu.Unlock()
	d.o.front.access = onAccess(access)
	apps, err := d.makeApps()
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.apps = apps
	d.mu.Unlock()
	if err := d.listenControl(); err != nil {
		return err
	}
	if d.front, err = openFront(&d.o.front, d.herald.manager.Sockets, d.o.admin.listen != "", d.log); err != nil {
		return err
	}
	if err := d.openAdmin(); err != nil {
		return err
	}
	if d.o.watch { // from before the first build on
		if d.edits, err = newEdits(apps[0], targets[0]); err != nil {
			return apps[0].startFailure(err)
		}
	}
	ls, err := startLoops(d.o.loops, d.log)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.loops = ls
	d.mu.Unlock()
	if err := d.openCloud(); err != nil {
		return err
	}
	for i, a := range apps {
		if err := a.start(sig, targets[i], ls.list); err != nil {
			return a.startFailure(err)
		}
		if err := d.enlist(a); err != nil {
			return a.startFailure(err)
		}
	}
	d.switches = newSwitchboard(ls.list, apps, d.o.routes)
	return d.front.Serve(d.switches, d.switches.backend())
}

// listenControl opens the control socket.
func (d *daemon) listenControl() error {
	l, err := loop.New(loop.Options{Logger: d.log})
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	d.loop, d.looped = l, make(chan error, 1)
	go func() { d.looped <- l.Run() }() // ends when end closes the loop
	d.hub = d.newHub()
	d.control = ipc.NewServer(ipc.Options{Hub: d.hub, Lines: d.answerLine, Logger: d.log})
	d.control.Handle(topicStatus, d.answerStatus)
	d.control.Handle(topicStop, func(ctx context.Context, r *ipc.Request) error {
		return d.answerStop(ctx, &asker{reply: r.Reply}, r.Payload)
	})
	d.takeOrders(d.control)
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

// progress shows what is going on, on a terminal only.
func (d *daemon) progress(format string, args ...any) {
	if d.term {
		d.out.SetStatus(fmt.Sprintf(format, args...))
	}
}

// running are the apps, in the file's order.
func (d *daemon) running() []*app {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.apps)
}

// title is the daemon's name.
func (d *daemon) title() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.name
}

func (d *daemon) setState(s string) {
	d.mu.Lock()
	d.state = s
	d.mu.Unlock()
}

// answerStatus answers the topic status.
func (d *daemon) answerStatus(_ context.Context, r *ipc.Request) error {
	var asked *app
	if len(r.Payload) > 0 {
		var err error
		if asked, err = d.appOf(r.Payload); err != nil {
			return refuse(r, err)
		}
	}
	st := d.status(asked)
	p, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return r.Reply(p)
}

// status is the daemon's, and of its apps that of asked, or of all.
func (d *daemon) status(asked *app) statusReply {
	all := d.running()
	if len(all) == 1 && len(d.o.apps) == 0 {
		asked = all[0]
	}
	d.mu.Lock()
	st := statusReply{Name: d.name, State: d.state, Pid: os.Getpid(), Started: d.started, Dropped: d.out.Dropped(), Listen: []string{}}
	st.Access = accessStats(d.access)
	if d.state != stateStarting {
		st.Listen = append(st.Listen, d.front.URLs()...) // written before the state was
		st.Front = d.front.Stats()
	}
	d.mu.Unlock()
	st.Cloud = d.cloudStatus()
	if memory, cpu, err := engine.MeasureProcess(os.Getpid()); err == nil {
		st.Memory, st.CPU = memory, cpu.Seconds()
	}
	if asked != nil {
		of := asked.status()
		st.AppStatus = &of
		if len(d.o.apps) > 0 {
			st.App = asked.name
		}
		return st
	}
	for _, a := range all {
		st.Apps = append(st.Apps, namedStatus{a.name, a.status()})
	}
	return st
}

// end gives back whatever start took, in reverse.
func (d *daemon) end() {
	d.out.SetStatus("")
	if d.node != nil {
		d.node.stop(context.Background())
	}
	for _, a := range d.everyone() {
		a.end()
	}
	if d.front != nil {
		d.front.Close()
	}
	d.visits.end()
	d.closeCloud()
	for _, a := range d.everyone() {
		a.close()
	}
	if d.admin != nil {
		d.admin.Close()
	}
	if d.edits != nil {
		d.edits.watcher.Close()
	}
	if d.loops != nil {
		d.loops.close()
	}
	for _, a := range d.everyone() {
		a.output.End() // or those that follow would keep the control socket
	}
	d.notices.end() // likewise
	if d.control != nil {
		d.endMessages()
		ctx, cancel := context.WithTimeout(context.Background(), controlWait)
		if err := d.control.Close(ctx); err != nil {
			d.log.Warn("control socket", "err", err)
		}
		cancel()
		d.closeHub()
	}
	if d.loop != nil {
		_ = d.loop.Close()
		if err := <-d.looped; err != nil {
			d.log.Warn("control socket's loop", "err", err)
		}
	}
	for _, a := range d.everyone() {
		a.output.Close() // in time by itself
	}
	if d.access != nil {
		d.access.Close()
	}
	if d.place != nil {
		d.place.leave()
	}
}
