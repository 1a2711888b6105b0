package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/bench"
	"github.com/heddle-go/heddle/cmd/internal/bench/report"
)

// runBench runs bench until its end, or the first signal; a second one ends the
// process.
func runBench(cmd *cobra.Command, o *benchFlags, limits bench.Thresholds) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	release := context.AfterFunc(ctx, stop)
	defer release()
	if t := &o.target; t.isApp() && t.locator == "" {
		target, leave, err := t.visit(ctx)
		if err != nil {
			return err
		}
		defer leave()
		o.options.Target = target
	}
	out := newOutlet(os.Stderr, outletLimit)
	quiet := sync.OnceFunc(func() { out.Close(outletWait) })
	defer quiet() // before an error is printed
	live := newLiveLine(os.Stderr, out, o.length())
	if live != nil {
		o.options.OnInterval = live.show
	}
	log.SetOutput(io.Discard) // net/http complains there about servers that are counted
	o.options.Logger = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelError}))
	f, err := o.target.follow(ctx, &o.options.Target, live.say)
	if err != nil {
		return err
	}
	defer f.end()
	if err := o.files.create(); err != nil {
		return err
	}
	defer o.files.close()
	defer fewProcessors(&o.options)()
	r, err := bench.Run(ctx, o.options)
	quiet() // the line goes before the summary comes
	if err != nil {
		return err
	}
	f.mark(r)
	if err := reportBench(cmd.OutOrStdout(), r, o.json, limits, &o.files); err != nil {
		return err
	}
	switch warm := r.WarmupCounts.Answered + r.WarmupCounts.Late; {
	case r.Answered+r.Late > 0 || r.Cut:
	case warm > 0:
		return &failure{code: exitError, err: fmt.Errorf("nothing was measured: all %s came to requests of the warm-up", noun(int(warm), "answer")), try: "try: a shorter --warmup, or more --requests"}
	default:
		return &failure{code: exitError, err: errors.New("nothing was answered"), try: o.target.try(&o.options, r)}
	}
	return nil
}

// fewProcessors has the Go scheduler use one processor for each loop, until what it
// returns is called, unless net/http's client has its own work to do. Nothing else here
// has work worth one, and a loop that gives way, as the poller does before it sleeps,
// wakes a thread of each processor that is idle: a third of the CPU at one connection,
// taken from the server if that is on this machine.
func fewProcessors(o *bench.Options) (restore func()) {
	if o.Target.Web() {
		return func() {}
	}
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(min(before, max(o.Threads, 1)))
	return func() { runtime.GOMAXPROCS(before) }
}

// A liveLine is the terminal's last line while a run goes on, and what is said above
// it; nil: there is none. Whoever writes does not wait for the terminal.
type liveLine struct {
	to   *os.File
	out  *outlet // to it
	live report.Live
}

// newLiveLine returns the line of a run that takes so long, if to is a terminal.
func newLiveLine(to *os.File, out *outlet, total time.Duration) *liveLine {
	if !isTerminal(to) {
		return nil
	}
	return &liveLine{to: to, out: out, live: report.Live{Total: total}}
}

// show has the line say what i is, too. The last column stays free, or some terminals
// would begin a new line.
func (l *liveLine) show(i bench.Interval) { l.out.SetStatus(l.live.Add(i, terminalWidth(l.to)-1)) }

// say writes a line above it.
func (l *liveLine) say(text string) {
	if l != nil {
		l.out.Printf("%s", plainText(text))
	}
}
