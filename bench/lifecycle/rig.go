package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-go/heddle/bench/internal/daemon"
	"github.com/heddle-go/heddle/bench/internal/pattern"
	"github.com/heddle-go/heddle/bench/internal/stack"
	"github.com/heddle-go/heddle/bench/internal/traffic"
)

// grace is what requests under way have until they end when the traffic stops.
const grace = 15 * time.Second

// A rig is what a scenario plays with.
type rig struct {
	plan     plan
	dir      string
	heddle   string
	programs map[string]string // by marker
	witness  string
	chance   *rand.Rand
	report   *report
	progress *progress

	d     *daemon.Daemon
	t     *traffic.Traffic
	runs  int // traffics so far
	noted []string
}

// play builds what is needed, plays s and takes everything down again.
func play(ctx context.Context, p plan, s scenario, stderr io.Writer) (_ *report, err error) {
	dir, err := os.MkdirTemp("", "heddle-life")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, daemon.Clean(dir)) }()
	r := &rig{
		plan: p, dir: dir,
		heddle:   filepath.Join(dir, "heddle"),
		witness:  filepath.Join(dir, "witness"),
		programs: make(map[string]string),
		chance:   rand.New(rand.NewPCG(p.seed, 0)),
		report:   &report{Scenario: s.name, Seed: p.seed},
		progress: newProgress(stderr),
	}
	defer r.progress.end()
	r.progress.say("building")
	if err := stack.Build(ctx, dir, "./cmd/heddle"); err != nil {
		return nil, err
	}
	for _, marker := range []string{"A", "B"} {
		build := buildApp
		if p.http && p.via == "node" {
			build = wrapNode
		}
		if r.programs[marker], err = build(ctx, dir, marker); err != nil {
			return nil, err
		}
	}
	defer func() {
		if r.t != nil {
			_ = r.t.Stop(0)
		}
		if r.d != nil {
			err = errors.Join(err, r.d.Stop())
		}
		err = errors.Join(err, r.saveLogs())
	}()
	began := time.Now()
	if err := s.play(ctx, r); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	r.report.Took = time.Since(began)
	if err := r.leave(); err != nil {
		return nil, err
	}
	return r.report, nil
}

// buildApp compiles the app as the program of that marker, and returns its path.
func buildApp(ctx context.Context, dir, marker string) (string, error) {
	path := filepath.Join(dir, "app-"+strings.ToLower(marker))
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-X main.marker="+marker, "-o", path, "./bench/lifecycle/app").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// wrapNode makes a script that runs the app in JavaScript as the program of that
// marker.
func wrapNode(_ context.Context, dir, marker string) (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", err
	}
	app, err := filepath.Abs("bench/lifecycle/app.js")
	if err != nil {
		return "", err
	}
	block := filepath.Join(dir, "block")
	if err := os.WriteFile(block, pattern.Block, 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "app-"+strings.ToLower(marker))
	return path, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\nexec '%s' '%s' %s '%s' \"$@\"\n", node, app, marker, block), 0o700)
}

// start starts a daemon that serves program A.
func (r *rig) start(ctx context.Context, workers int, listen string, flags ...string) error {
	r.progress.say("starting heddle")
	if r.plan.http {
		flags = append(flags, "--http")
	}
	flags = append(append([]string{"--workers", strconv.Itoa(workers)}, flags...), strings.Fields(r.plan.flags)...)
	d, err := daemon.Start(ctx, daemon.Options{Heddle: r.heddle, Dir: r.dir, Listen: listen, Flags: flags, Target: r.programs["A"], Args: r.args()})
	if err != nil {
		return err
	}
	r.d = d
	return nil
}

// args are the app's.
func (r *rig) args(more ...string) []string {
	args := []string{"-witness", r.witness}
	if r.plan.http {
		args = append(args, "-via", r.plan.via)
	}
	return append(args, more...)
}

// begin starts the traffic and waits until each kind has been answered.
func (r *rig) begin(ctx context.Context, o traffic.Options) error {
	r.runs++
	o.Addr, o.Witness, o.Run = r.d.Addr, r.witness, strconv.Itoa(r.runs)
	if o.Clients == [traffic.Kinds]int{} {
		o.Clients = [traffic.Kinds]int{traffic.KeptGet: 4, traffic.ClosingGet: 2, traffic.KeptPost: 4, traffic.ClosingPost: 2,
			traffic.Upload: 2, traffic.Download: 2, traffic.Events: 4, traffic.Socket: 4}
		for k := range o.Clients {
			o.Clients[k] *= r.plan.load
		}
	}
	r.t = traffic.Start(ctx, o)
	r.progress.follow(r.t)
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return r.t.Await(ctx, 1)
}

// cease stops the traffic and takes its counts down.
func (r *rig) cease() (*traffic.Traffic, error) {
	t := r.t
	r.t = nil
	r.progress.say("waiting for what is under way")
	if err := t.Stop(grace); err != nil {
		return t, err
	}
	r.report.add(t)
	return t, nil
}

// deploy deploys the program of that marker, with more flags of the app, and
// has the judge know what may answer from then on.
func (r *rig) deploy(ctx context.Context, marker string) (daemon.Result, error) {
	before, err := r.d.Status(ctx)
	if err != nil {
		return daemon.Result{}, err
	}
	r.t.Expect("")
	res, err := r.d.Run(ctx, "deploy", append([]string{r.programs[marker], "--"}, r.args()...)...)
	if err == nil && res.Code == 0 {
		r.t.Expect(marker, ids(before.Workers)...)
	}
	return res, err
}

// settled waits until nobody but n serving workers and the standbys is there.
func (r *rig) settled(ctx context.Context, n, standbys int) (daemon.Status, error) {
	what := fmt.Sprintf("just %d serving workers and %d standbys", n, standbys)
	return r.d.Await(ctx, 45*time.Second, what, func(st daemon.Status) bool {
		return len(st.Serving()) == n && len(st.Standing()) == standbys && len(st.Workers) == n+standbys
	})
}

// leave stops the daemon, and looks for what it has left.
func (r *rig) leave() error {
	if r.d == nil {
		return nil
	}
	d := r.d
	r.d = nil
	r.note(d)
	r.progress.say("stopping heddle")
	if err := d.Stop(); err != nil {
		r.report.broke("%v", err)
	}
	return r.remains("after the daemon was stopped")
}

// remains breaks the promise for each process and file of daemons that is left.
func (r *rig) remains(when string) error {
	pids, err := daemon.Processes(r.dir)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		r.report.broke("%s, processes are left: %v", when, pids)
	}
	files, err := daemon.Files(r.dir)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		r.report.broke("%s, files are left: %q", when, files)
	}
	return nil
}

// note keeps a daemon's log for --log.
func (r *rig) note(d *daemon.Daemon) { r.noted = append(r.noted, d.Log.Lines()...) }

func (r *rig) saveLogs() error {
	if r.plan.log == "" {
		return nil
	}
	if r.d != nil {
		r.note(r.d)
	}
	return os.WriteFile(r.plan.log, []byte(strings.Join(r.noted, "\n")+"\n"), 0o600)
}

// pause waits, but not beyond the context's end.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ids are the workers'.
func ids(workers []daemon.Worker) (all []string) {
	for _, w := range workers {
		all = append(all, w.ID)
	}
	return all
}

// kill ends a worker by SIGKILL.
func kill(w daemon.Worker) error {
	if w.Pid < 2 {
		return fmt.Errorf("worker %d has no process: %+v", w.Index, w)
	}
	proc, err := os.FindProcess(w.Pid)
	if err != nil {
		return err
	}
	if err := proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing worker %d, pid %d: %w", w.Index, w.Pid, err)
	}
	return nil
}
