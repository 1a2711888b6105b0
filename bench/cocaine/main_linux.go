// Cocaine measures what a session costs an engine and a worker of Cocaine's
// together: a plain dialect, an event "echo", one chunk each way.
//
//	go run ./bench/cocaine [-rounds 5] [-d 1.5s] [-size 128] [-also PROGRAM] [-profile DIR]
//
// This process is the engine, and asks on its loop; the worker is this program
// again, started as such workers are, with package worker and a handler that
// blocks. Heddle's own dialect is measured beside v1 and v0, in turns. CPU is user
// and system time over the sessions; the asking is in the engine's. Every answer is
// compared with what was asked. -also measures another worker of dialect v1 that
// answers "echo" with the chunks it gets.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/bench/internal/figures"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/engine"
)

// envWorker makes this program a worker; its value is the file for a CPU profile,
// or "-".
const envWorker = "HEDDLE_BENCH_COCAINE"

// A plan is what the flags say.
type plan struct {
	rounds   int
	d        time.Duration // length of one load
	size     int           // bytes each way
	flight   []int         // sessions in flight
	also     string        // program
	profiles string        // directory
}

func main() {
	var err error
	if profile := os.Getenv(envWorker); profile != "" {
		err = serve(profile)
	} else {
		p := plan{flight: []int{1, 64}}
		flag.IntVar(&p.rounds, "rounds", 5, "rounds, each loading every pair once per case")
		flag.DurationVar(&p.d, "d", 1500*time.Millisecond, "length of one load")
		flag.IntVar(&p.size, "size", 128, "bytes each way")
		flag.StringVar(&p.also, "also", "", "measure this worker of dialect v1, too: a `program`")
		flag.StringVar(&p.profiles, "profile", "", "write a CPU profile of the engine, and of each worker, into this `directory`")
		flag.Parse()
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err = p.profiled(func() error { return run(ctx, p, os.Stdout) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/cocaine:", err)
		os.Exit(1)
	}
}

// serve is the worker.
func serve(profile string) error {
	w, err := worker.New(worker.Options{})
	if err != nil {
		return err
	}
	w.Handle("echo", worker.HandlerFunc(echo))
	if profile == "-" {
		return w.Run(context.Background())
	}
	return withProfile(profile, func() error { return w.Run(context.Background()) })
}

// echo gives every chunk back, until the asker ends.
func echo(_ context.Context, s *session.Session) {
	for {
		m, err := s.Recv()
		if err != nil {
			if err != io.EOF {
				s.Abort(err)
			}
			return // the worker ends our direction
		}
		err = s.WriteChunk(m.Data)
		m.Drop()
		if err != nil {
			return
		}
	}
}

func withProfile(path string, f func() error) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

func (p plan) profiled(f func() error) error {
	if p.profiles == "" {
		return f()
	}
	return withProfile(filepath.Join(p.profiles, "engine.pprof"), f)
}

// A kind is an engine with its worker.
type kind struct {
	name    string
	dialect engine.Dialect
	program string // default this one
}

func (p plan) kinds() []kind {
	list := []kind{{name: "v1", dialect: engine.DialectV1}, {name: "v0", dialect: engine.DialectV0}, {name: "Heddle's own", dialect: engine.DialectHeddle}}
	if p.also != "" {
		list = append(list, kind{"v1, " + filepath.Base(p.also), engine.DialectV1, p.also})
	}
	return list
}

// startup is how long all workers may take to get ready and to end.
const startup = 20 * time.Second

func run(ctx context.Context, p plan, to io.Writer) error {
	if p.rounds < 1 || p.d <= 0 || p.size < 8 || p.size > session.MaxChunk {
		return fmt.Errorf("at least one round of some length and 8 to %d bytes are needed", session.MaxChunk)
	}
	kinds := p.kinds()
	ctx, cancel := context.WithTimeout(ctx, startup+time.Duration((p.rounds+1)*len(p.flight)*len(kinds))*2*p.d)
	defer cancel()
	pairs := make([]*pair, len(kinds))
	for i, k := range kinds {
		var err error
		if pairs[i], err = p.start(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		defer pairs[i].stop()
	}
	table := [][]string{{"in flight", "dialect", "CPU µs/session", "engine", "worker", "ratio", "sessions/s"}}
	for _, flight := range p.flight {
		samples := make([][]sample, len(pairs))
		for round := range p.rounds + 1 {
			for i := range pairs {
				i = (i + round) % len(pairs) // none is always first
				d := p.d
				if round == 0 {
					d = min(d, 300*time.Millisecond) // to warm up
				}
				s, err := pairs[i].load(ctx, flight, p.size, d)
				if err != nil {
					return fmt.Errorf("%s, %d in flight: %w", kinds[i].name, flight, err)
				}
				if round > 0 {
					samples[i] = append(samples[i], s)
				}
			}
		}
		first := median(samples[0])
		for i, k := range kinds {
			m := median(samples[i])
			table = append(table, []string{fmt.Sprint(flight), k.name, fmt.Sprintf("%.2f", m.engine+m.worker), fmt.Sprintf("%.2f", m.engine),
				fmt.Sprintf("%.2f", m.worker), fmt.Sprintf("%.2f", (m.engine+m.worker)/(first.engine+first.worker)), fmt.Sprintf("%.0f", m.rate)})
		}
	}
	fmt.Fprintf(to, "echo of %d B, %d rounds of %v, %d CPUs, %s\n\n", p.size, p.rounds, p.d, runtime.NumCPU(), runtime.Version())
	return figures.Markdown(to, table, 2)
}

// start starts an engine with one worker and waits until it has answered.
func (p plan) start(ctx context.Context, k kind) (*pair, error) {
	online := make(chan int, 1)
	o := engine.Options{Path: k.program, Name: "bench", Dialect: k.dialect, Workers: 1, Loops: 1, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if o.Path == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		profile := "-"
		if p.profiles != "" {
			if profile, err = filepath.Abs(filepath.Join(p.profiles, "worker-"+string(k.dialect)+".pprof")); err != nil {
				return nil, err
			}
		}
		o.Path, o.Env = self, []string{envWorker + "=" + profile}
	}
	o.OnWorker = func(e engine.WorkerEvent) {
		if e.Kind == engine.WorkerOnline {
			select {
			case online <- e.Worker.Pid:
			default:
			}
		}
	}
	e, err := engine.New(o)
	if err != nil {
		return nil, err
	}
	if err := e.Start(ctx); err != nil {
		return nil, err
	}
	pr := &pair{e: e}
	select {
	case pr.pid = <-online:
		return pr, nil
	case <-time.After(startup / 2):
		err = errors.New("the worker is not ready")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	pr.stop()
	return nil, err
}

// A pair is an engine and its worker.
type pair struct {
	e   *engine.Engine
	pid int // the worker's
}

func (p *pair) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), startup/2)
	defer cancel()
	_ = p.e.Shutdown(ctx) // an error: it was killed
	_ = p.e.Close()
}

// A sample is one load: µs of CPU per session, and sessions per second.
type sample struct{ engine, worker, rate float64 }

func median(samples []sample) sample {
	return sample{
		engine: figures.Median(samples, func(s sample) float64 { return s.engine }),
		worker: figures.Median(samples, func(s sample) float64 { return s.worker }),
		rate:   figures.Median(samples, func(s sample) float64 { return s.rate }),
	}
}

// load keeps flight sessions open for d.
func (p *pair) load(ctx context.Context, flight, size int, d time.Duration) (sample, error) {
	a := &asker{e: p.e, open: flight, done: make(chan struct{})}
	workers, err := cpuOf(p.pid)
	if err != nil {
		return sample{}, err
	}
	engines, begun := child.CPU(), time.Now()
	a.end = begun.Add(d)
	err = p.e.Loops()[0].Do(func() {
		for i := range flight {
			c := &call{asker: a, body: make([]byte, size)}
			for j := range c.body {
				c.body[j] = byte(j*7 + i)
			}
			c.later = c.opened
			c.begin()
		}
	})
	if err != nil {
		return sample{}, err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return sample{}, context.Cause(ctx)
	}
	took := time.Since(begun)
	engines = child.CPU() - engines
	after, err := cpuOf(p.pid)
	switch {
	case a.err != nil:
		return sample{}, a.err
	case err != nil:
		return sample{}, err
	}
	n := float64(a.sessions)
	micro := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) / n }
	return sample{micro(engines), micro(after - workers), n / took.Seconds()}, nil
}

// An asker keeps sessions in flight until its time is over. Loop only until done.
type asker struct {
	e        *engine.Engine
	end      time.Time
	open     int // calls that begin anew whenever they end
	sessions int
	err      error
	done     chan struct{}
}

// A call is the handler of one session after the other.
type call struct {
	*asker
	body  []byte
	later func(*session.Session, error) // its opened
	right bool                          // the answer has come and is what was asked
}

func (c *call) begin() {
	c.right = false
	binary.NativeEndian.PutUint64(c.body[len(c.body)-8:], uint64(c.sessions))
	s, _, err := c.e.OpenOn(0, session.OpenOptions{Event: "echo", First: c.body, Last: true, Handler: c}, c.later)
	if s != nil || err != nil {
		c.opened(s, err)
	}
}

func (c *call) opened(_ *session.Session, err error) {
	if err != nil {
		c.leave(err)
	}
}

func (c *call) OnMessage(_ *session.Session, m session.Message) {
	if m.Kind == session.Chunk {
		c.right = !c.right && string(m.Data) == string(c.body)
	}
}

func (c *call) OnWritable(*session.Session) {}

var errAnswer = errors.New("an answer is not what was asked")

func (c *call) OnEnd(s *session.Session, err error) {
	s.Release()
	c.sessions++
	switch {
	case err != nil:
		c.leave(err)
	case !c.right:
		c.leave(errAnswer)
	case c.err != nil || !time.Now().Before(c.end):
		c.leave(nil)
	default:
		c.begin()
	}
}

func (c *call) leave(err error) {
	if c.err == nil {
		c.err = err
	}
	if c.open--; c.open == 0 {
		close(c.done)
	}
}
