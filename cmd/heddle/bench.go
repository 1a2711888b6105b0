package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// benchFlags are bench's command line.
type benchFlags struct {
	options bench.Options
	target  benchTarget
	rate    float64
	stages  string
	poisson bool

	method, body, bodyFile, mixFile string
	headers                         []string
	status                          int
	expect                          string

	wait  bool // for somebody to be there
	json  bool
	files benchFiles
}

func newBench() *cobra.Command {
	var o benchFlags
	cmd := &cobra.Command{
		Use:   "bench [flags] {URL | --app NAME --event EVENT}",
		Short: "Put load on a server and tell the truth about it",
		Long: `Bench sends requests to URL, http://host:port/path, https://... or unix:/socket:/path,
and says how long answers took, what was lost, what came twice, late or out of order, and
whether it was itself in the way. TLS and HTTP/2 are net/http's, and cost more CPU here.

With -c alone each connection sends its next request when its answer has come, as fast
as that goes (the closed model): a server that stalls is then asked less, and its stall
hardly shows. With -r or --stages requests leave when they are due whatever became of
those before, on up to -c connections, and latencies count from when they should have
left (the open model). --stages 10s:1000,30s:5000 holds rates, 30s:1000-5000 climbs.

With --event each request is a session of an app, without HTTP: it is opened with that
event, sent the body as its one piece (--pack: an HTTP request), and answered when it has
ended. The daemon's control socket leads to the app (--app, --name, --control), or any
Cocaine cloud's locator (--locator).

Each request carries an id in X-Request-Id; a server that gives it back has its answers
told apart by it. {id} in the path, a header or the body is replaced with it.

--mix FILE has several requests, as a JSON list of {"method", "path", "header", "body",
"weight", "status", "expect"}; each is drawn as often as its weight says.

If a daemon on this machine serves URL, its deploys, crashes and what else becomes of it
during the run are marked in every report; --name or --control names one that stands
behind something else.

On a terminal a line shows how it goes. --save keeps the whole result, of which heddle
bench report makes further reports and heddle bench compare tells what has changed;
--html is a page of charts.

Ctrl-C ends a run early and reports what there is. Exit code 5: a threshold failed.`,
		Example: `  heddle bench -c 64 -d 30s http://127.0.0.1:8080/
  heddle bench -r 2000 -d 1m --poisson --warmup 5s http://127.0.0.1:8080/
  heddle bench --stages 10s:100-1000,1m:1000 -c 200 http://127.0.0.1:8080/
  heddle bench -r 500 --max-p99 10ms --max-errors 0 --max-lost 0 --json http://127.0.0.1:8080/
  heddle bench --http2 --pipeline 20 --cacert ca.pem https://127.0.0.1:8443/
  heddle bench --app shop --event price --body '{id}' -c 4 --pipeline 16
  heddle bench -r 500 -d 1m --save run.json --html run.html http://127.0.0.1:8080/
  heddle bench -X POST -H 'Content-Type: text/plain' --body 'order {id}' unix:/run/app.sock:/orders`,
		Args: cobra.ArbitraryArgs, // see benchTarget.take
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	b := &o.options
	fs.IntVarP(&b.Conns, "connections", "c", 10, "connections")
	fs.IntVarP(&b.Threads, "threads", "t", 1, "loops, each with its share of the connections and the rate")
	fs.Float64VarP(&o.rate, "rate", "r", 0, "requests per second, whatever becomes of them (default: as fast as answers come)")
	fs.StringVar(&o.stages, "stages", "", "rates one after the other: 10s:1000,30s:1000-5000")
	fs.BoolVar(&o.poisson, "poisson", false, "random arrivals with that rate on average, not evenly spaced ones")
	fs.Uint64Var(&b.Seed, "seed", 1, "of what is drawn")
	fs.DurationVarP(&b.Duration, "duration", "d", 0, "how long requests are sent (default: 10s, or all stages)")
	fs.Uint64VarP(&b.Count, "requests", "n", 0, "requests after which the run ends (default: no limit)")
	fs.DurationVar(&b.Warmup, "warmup", 0, "how much of the beginning is not measured")
	fs.DurationVar(&b.Timeout, "timeout", 5*time.Second, "for an answer, and to connect")
	fs.IntVar(&b.Pipeline, "pipeline", 1, "requests outstanding on one connection")
	fs.BoolVar(&b.Reconnect, "reconnect", false, "a connection for each request")
	fs.DurationVar(&b.Think, "think", 0, "how long a connection rests after an answer")
	fs.StringVarP(&o.method, "method", "X", "", "of the requests (default: GET, or POST with a body)")
	fs.StringArrayVarP(&o.headers, "header", "H", nil, "a header, 'Name: value'; repeatable")
	fs.StringVar(&o.body, "body", "", "of the requests")
	fs.StringVar(&o.bodyFile, "body-file", "", "a file with the body")
	fs.StringVar(&o.mixFile, "mix", "", "a file with several requests")
	fs.IntVar(&o.status, "expect-status", 0, "the status that is no error (default: any 2xx or 3xx)")
	fs.StringVar(&o.expect, "expect-body", "", "the body that is no error (default: any)")
	fs.StringVar(&b.IDField, "id-field", "X-Request-Id", "the field with a request's id")
	fs.BoolVar(&b.NoIDs, "no-ids", false, "send no ids")
	fs.DurationVar(&b.Interval, "interval", time.Second, "of what is shown and kept over time")
	fs.BoolVar(&o.json, "json", false, "print the whole result as JSON")
	fs.StringVar(&o.files.save, "save", "", "a file for the whole result, as --json prints it; for bench report and compare")
	o.files.add(fs)
	o.target.add(cmd)
	fs.BoolVar(&o.wait, "wait", false, "go on trying to connect if nobody is there at first (default: end)")
	limits := addThresholds(fs)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.check(cmd, args); err != nil {
			return err
		}
		if runtime.GOOS != "linux" {
			return &failure{code: exitError, err: fmt.Errorf("bench needs Linux; this is %s", runtime.GOOS), fine: "nothing was sent."}
		}
		return runBench(cmd, &o, limits())
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.AddCommand(newBenchReport(), newBenchCompare())
	return cmd
}

// addThresholds adds their flags; what it returns gives those that were set.
func addThresholds(fs *pflag.FlagSet) (given func() bench.Thresholds) {
	var (
		durations [6]time.Duration
		counts    [3]uint64
		rate      float64
	)
	names := []string{"max-mean", "max-p50", "max-p90", "max-p99", "max-p99.9", "max-latency"}
	for i, name := range names {
		fs.DurationVar(&durations[i], name, 0, "fail if the latency's "+strings.TrimPrefix(strings.ReplaceAll(name, "latency", "maximum"), "max-")+" is above")
	}
	several := []string{"max-errors", "max-lost", "max-duplicated"}
	for i, name := range several {
		fs.Uint64Var(&counts[i], name, 0, "fail if more are "+map[string]string{"max-errors": "errors", "max-lost": "lost", "max-duplicated": "duplicated"}[name])
	}
	fs.Float64Var(&rate, "min-rate", 0, "fail if there are fewer answers per second")
	return func() (t bench.Thresholds) {
		for i, to := range []**time.Duration{&t.MaxMean, &t.MaxP50, &t.MaxP90, &t.MaxP99, &t.MaxP999, &t.MaxLatency} {
			if fs.Changed(names[i]) {
				*to = &durations[i]
			}
		}
		for i, to := range []**uint64{&t.MaxErrors, &t.MaxLost, &t.MaxDuplicated} {
			if fs.Changed(several[i]) {
				*to = &counts[i]
			}
		}
		if fs.Changed("min-rate") {
			t.MinRate = &rate
		}
		return t
	}
}

// benchUsage is what a person reads of what the package refuses.
func benchUsage(err error) error {
	return usage("bench", "%s", strings.TrimPrefix(err.Error(), "bench: "))
}

// check makes the run's options of the flags, and refuses what cannot be meant.
func (o *benchFlags) check(cmd *cobra.Command, args []string) (err error) {
	b := &o.options
	b.GiveUp = !o.wait
	if err := o.target.take(b, args); err != nil {
		return err
	}
	changed := cmd.Flags().Changed
	for _, f := range []struct { // whose zero is a default in a library, and a slip here
		name string
		zero bool
	}{{"connections", b.Conns == 0}, {"threads", b.Threads == 0}, {"pipeline", b.Pipeline == 0}, {"timeout", b.Timeout == 0}, {"interval", b.Interval == 0}, {"duration", b.Duration == 0}} {
		if f.zero && changed(f.name) {
			return usage("bench", "--%s 0: want more", f.name)
		}
	}
	switch {
	case changed("rate") && changed("stages"):
		return usage("bench", "--rate and --stages exclude each other")
	case changed("stages"):
		if changed("duration") {
			return usage("bench", "--stages says how long it takes; leave --duration out")
		}
		stages, err := bench.ParseStages(o.stages)
		if err == nil {
			b.Pace, err = bench.NewPace(stages, o.poisson, b.Seed)
		}
		if err != nil {
			return benchUsage(err)
		}
	case changed("rate"):
		if b.Duration == 0 {
			b.Duration = 10 * time.Second
		}
		if b.Pace, err = bench.NewPace([]bench.Stage{{Duration: b.Duration, From: o.rate, To: o.rate}}, o.poisson, b.Seed); err != nil {
			return benchUsage(err)
		}
	case o.poisson:
		return usage("bench", "--poisson needs --rate or --stages")
	}
	if err := o.requests(changed); err != nil {
		return err
	}
	if err := b.Check(); err != nil {
		return benchUsage(err)
	}
	if o.files.hdr != "" && !b.KeepsIntervals() {
		return usage("bench", "--hdr: want an --interval of 100ms or more, and at most 10,000 of them")
	}
	return nil
}

// length is how long the run takes that check has let pass; 0: until so many requests.
func (o *benchFlags) length() time.Duration {
	b := &o.options
	switch {
	case b.Count > 0:
		return 0
	case b.Duration == 0 && b.Pace != nil:
		return b.Pace.Length()
	case b.Duration == 0:
		return bench.DefaultDuration
	}
	return b.Duration
}

// maxMix is how long a file of --mix or --body-file may be.
const maxMix = 16 << 20 // bytes

// requests makes the run's requests of the flags and files.
func (o *benchFlags) requests(changed func(string) bool) error {
	if o.mixFile != "" {
		for _, name := range []string{"method", "header", "body", "body-file", "expect-status", "expect-body", "pack"} {
			if changed(name) {
				return usage("bench", "with --mix there is no --%s: the file says it", name)
			}
		}
		p, err := readAtMost(o.mixFile, maxMix)
		if err != nil {
			return err
		}
		if o.options.Requests, err = bench.ParseRequests(p); err != nil {
			return usage("bench", "%s: %s", o.mixFile, strings.TrimPrefix(err.Error(), "bench: "))
		}
		return nil
	}
	r := bench.Request{Method: o.method, Body: o.body, Status: o.status, Expect: o.expect, Header: make(http.Header)}
	r.Pack, r.Path = o.target.pack != "", o.target.pack
	if o.bodyFile != "" {
		if changed("body") {
			return usage("bench", "--body and --body-file exclude each other")
		}
		p, err := readAtMost(o.bodyFile, maxMix)
		if err != nil {
			return err
		}
		r.Body = string(p)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return usage("bench", "--header %q: want 'Name: value'", h)
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	o.options.Requests = []bench.Request{r}
	return nil
}

func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(p)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return p, err
}
