package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/heddle-go/heddle/worker/engine"
	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/httpcompat/front"
)

// runOptions are run's command line, checked.
type runOptions struct {
	appOptions
	file string // that names the target; "": the command line does

	title   string // of the daemon; "" until the target is known
	control string // "": by the name
	front   frontFlags
	admin   adminFlags
	cloud   cloudFlags
	loops   int
	watch   bool            // for one app
	filed   map[string]bool // keys of the configuration that set flags, or an app's options

	// With a configuration; apps and routes in place of the one app above.
	config *config.Config
	given  []override
	apps   []*appOptions // in the file's order
	routes picker
}

// appOptions are what run says of an app.
type appOptions struct {
	name   string // "": the daemon's
	target string
	args   []string // the program's
	dir    string   // where its workers run; "": where the daemon was started

	userName, groupName string       // whom its workers run as, as given; "": the daemon's
	user                *engine.User // once findUser has found it; nil: the daemon's
	tabled              bool         // a table of the configuration says all this

	// Of the daemon's environment, and of its own, what the workers get; nil: all.
	environ func(base []string) []string
	logs    logFlags
	plain   plainFlags
	foreign foreignFlags
	cloudAt string // locators that its workers are told of; "": the daemon's own

	workers     int
	standbys    int
	suspended   bool
	concurrency int             // sessions of one worker on one loop; 0: no limit
	limits      front.AppLimits // of an app of several
	queue       int             // requests
	queueAge    time.Duration

	startTimeout     time.Duration
	heartbeatTimeout time.Duration
	drainTimeout     time.Duration
	shutdownTimeout  time.Duration
	killDelay        time.Duration

	recycleRequests uint64 // 0: never
	recycleAge      time.Duration
	recycleMemory   size
}

// wanted are the apps that the options name.
func (o *runOptions) wanted() []*appOptions {
	if len(o.apps) > 0 {
		return o.apps
	}
	return []*appOptions{&o.appOptions}
}

// A picker says which app answers a request, by its Host and target as they
// came; -1: none.
type picker interface {
	Pick(host, target []byte) int
}

func newRun() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] [TARGET] [-- ARGS]",
		Short: "Start a program as workers and serve it",
		Long: `Run starts TARGET as several worker processes and serves their answers over HTTP.

TARGET is a Go package (a directory such as ./examples/hello, or an import path),
which is built first in its own module, or an executable. It must serve with
httpcompat.ListenAndServe(addr, handler). Its arguments go behind --.

Without TARGET run does what heddle.toml in the current directory says, or the file
of --config (docs/configuration.md). Flags that are given go before what it says.

With --http it is any program in any language that serves plain HTTP, and is run
where it is, not from a copy: run --http -- node server.js. Each worker is told of
three addresses and may serve at whichever it likes: descriptor 3, a socket that
listens (LISTEN_FDS, as from systemd); PORT, on 127.0.0.1; HEDDLE_SOCKET, the path of a
unix socket. {port} and {socket} in ARGS are replaced by theirs. It is ready when it
answers a request to --health, with whatever status. Nothing that it has started
outlives it or the daemon.

With --dialect v0 or v1 it is a worker that was written with one of Cocaine's frameworks,
for 0.10 and 0.11 or for 0.12, run in place too: run --dialect v1 -- python3 app.py. It
gets the arguments that a Cocaine runtime would give, and nothing in it is changed
(docs/cocaine.md).

With --locator ADDR the daemon is a small cloud for clients of either dialect: it has a
locator at ADDR, and by that logging, storage, node and the apps (docs/cloud.md). Only an
address that says so, such as 0.0.0.0:10053, is open to other machines.

Clients speak HTTP/1.0, HTTP/1.1 or HTTP/2, over TLS with --tls-cert, HTTP/2 in
clear where they begin with it. Requests get X-Request-Id, X-Forwarded-For, -Proto
and -Host, and Forwarded; what clients say there is believed of --trusted-proxies
only.

The ports are taken at once; requests that come before the workers are ready wait.
When the front serves, a line that begins with "ready" and the URL appears on
standard error. What workers write appears there too, prefixed with the worker's
index and release; heddle logs shows it later. Ctrl-C (or SIGTERM) drains: no new
requests, those that are being answered are finished. A second one stops at once.
SIGQUIT writes what every goroutine does and which requests are under way, and ends
nothing. SIGUSR1 opens log files anew that were moved away.

A daemon of root runs the workers as the user that --user names, and warns without.

With --watch it looks after what TARGET is built of: the Go files of the package and of
those that it imports from its own module, what they embed, go.mod and go.sum; or the
executable, and with --http the files that ARGS name. On a change requests wait, for
--queue-age (here one minute) at most, while it is built and deployed. If it does not
build, or does not get ready, the compiler's or the worker's words are shown and the
release before serves on. This is for one app; of a file that names several, it is
refused.

What changes while it runs: deploy, rollback, scale, restart, suspend, resume, stop.`,
		Example: `  heddle run ./examples/hello
  heddle run --workers 2 --listen 127.0.0.1:9000 ./shop -- -db shop.db
  heddle run --listen 127.0.0.1:0 --listen unix:/tmp/shop.sock /usr/local/bin/shop
  heddle run --watch ./examples/hello
  heddle run --http -- python3 -m http.server --bind 127.0.0.1 {port}
  heddle run --dialect v0 -- node worker.js
  heddle run --locator 127.0.0.1:10053 ./shop
  heddle run --standbys 1 --recycle-age 24h --recycle-memory 512Mi ./shop
  heddle run --config /etc/heddle/shop.toml --workers 4
  heddle run --log-stdout shop.out --log-stderr shop.err --access-log access.log ./shop
  heddle run --listen :8443 --tls-cert cert.pem --tls-key key.pem ./shop`,
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.configure(cmd, args); err != nil {
				return err
			}
			if o.watch && !cmd.Flags().Changed("queue-age") && !o.filed["queue-age"] {
				for _, a := range o.wanted() {
					a.queueAge = watchedQueueAge
				}
			}
			if err := o.check(); err != nil {
				return err
			}
			if runtime.GOOS != "linux" {
				return &failure{
					code: exitError,
					err:  fmt.Errorf("run needs Linux; this is %s", runtime.GOOS),
					fine: "the program itself runs anywhere: httpcompat.ListenAndServe is net/http here.",
					try:  "try: go run " + o.target,
				}
			}
			if err := o.findUsers(); err != nil {
				return err
			}
			return serve(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	o.front.add(cmd)
	o.admin.add(cmd)
	fs.StringVar(&o.file, "config", "", "file that says what to run, without TARGET (default: heddle.toml, if there is one)")
	o.logs.add(cmd)
	o.plain.add(cmd)
	o.foreign.add(cmd)
	o.cloud.add(cmd)
	fs.StringVar(&o.cloudAt, "cloud", "", "host:port of the locator that workers are told of, several with commas, of a cloud that is elsewhere (default: the daemon's own)")
	fs.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "number of worker processes")
	fs.IntVar(&o.standbys, "standbys", 0, "workers besides that stand ready to take a dead or broken one's place")
	fs.BoolVar(&o.suspended, "suspended", false, "let requests wait, once the workers are ready, until heddle resume")
	fs.StringVar(&o.title, "name", "", "name of the daemon (default: TARGET's base name)")
	fs.BoolVar(&o.watch, "watch", false, "build and deploy anew whenever what TARGET is made of changes; requests wait meanwhile; for one app")
	fs.StringVar(&o.control, "control", "", "control socket (default: $XDG_RUNTIME_DIR/heddle/NAME.sock, else /tmp/heddle-UID/NAME.sock)")
	fs.IntVar(&o.loops, "loops", engine.DefaultLoops(), "number of I/O loops")
	fs.IntVar(&o.concurrency, "concurrency", 0, "requests a worker answers at once, on each loop; 0: no limit")
	fs.IntVar(&o.queue, "queue", 16384, "requests that wait while every worker is busy; more get 503")
	fs.DurationVar(&o.queueAge, "queue-age", 10*time.Second, "how long a request waits there before it gets 503")
	fs.DurationVar(&o.startTimeout, "start-timeout", time.Minute, "how long a worker may take until it is ready")
	fs.DurationVar(&o.heartbeatTimeout, "heartbeat-timeout", 30*time.Second, "how long a silent worker counts as alive, at least 10s")
	fs.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second, "how long requests may take to finish after Ctrl-C")
	fs.DurationVar(&o.shutdownTimeout, "shutdown-timeout", 10*time.Second, "how long a worker that has finished, or has to, may take to leave; then SIGTERM")
	fs.DurationVar(&o.killDelay, "kill-delay", 5*time.Second, "how long a worker, and all in its process group, may take after SIGTERM; then SIGKILL")
	fs.StringVar(&o.userName, "user", "", "user whom the workers run as, a name or number, if the daemon is root's (default: the daemon's)")
	fs.StringVar(&o.groupName, "group", "", "their group, a name or number (default: the user's)")
	fs.Uint64Var(&o.recycleRequests, "recycle-requests", 0, "replace a worker after that many requests; 0: never")
	fs.DurationVar(&o.recycleAge, "recycle-age", 0, "replace a worker that is so old; 0: never")
	fs.Var(&o.recycleMemory, "recycle-memory", "replace a worker that holds so many bytes of memory, such as 512Mi or 2G; 0: never")
	return cmd
}

// named says which app an error is of, if it has a name of its own.
func (o *appOptions) named(err error) error {
	var f *failure
	switch {
	case o.name == "":
		return err
	case errors.As(err, &f):
		g := *f
		g.err = fmt.Errorf("app %s: %w", o.name, f.err)
		return &g
	}
	return fmt.Errorf("app %s: %w", o.name, err)
}

// inPlace says whether an executable is run where it is, not from a copy.
func (o *appOptions) inPlace() bool { return o.plain.http || o.foreign.is() }

// take sorts the arguments; dash is how many stand before --, or -1.
func (o *runOptions) take(args []string, dash int) error {
	before := args
	if dash >= 0 {
		before, o.args = args[:dash], args[dash:]
	}
	if len(before) == 0 && o.inPlace() && len(o.args) > 0 { // run --http -- PROGRAM ARGS
		before, o.args = o.args[:1], o.args[1:]
	}
	switch len(before) {
	case 0:
		if len(o.args) > 0 {
			return usage("run", "run needs a TARGET before --; behind it are the program's own arguments. A program that serves plain HTTP goes with --http: heddle run --http -- %s", quotedWords(o.args))
		}
		return usage("run", "run needs a TARGET: a Go package such as ./examples/hello, or an executable; or a heddle.toml here that names one")
	case 1:
		o.target = before[0]
		if o.target == "" {
			return usage("run", "TARGET is empty")
		}
		return nil
	}
	return usage("run", "run takes one TARGET; got %q (the program's own arguments go behind --)", before)
}

// check refuses what cannot be meant.
func (o *runOptions) check() error {
	for _, n := range []struct {
		flag       string
		value, min int
		max        int
	}{
		{"workers", o.workers, 1, engine.MaxWorkers},
		{"standbys", o.standbys, 0, engine.MaxStandbys},
		{"loops", o.loops, 1, 256},
		{"concurrency", o.concurrency, 0, 1 << 20},
		{"queue", o.queue, 1, 1 << 20},
	} {
		if n.value < n.min || n.value > n.max {
			return usage("run", "--%s %d: want a number from %d to %d", n.flag, n.value, n.min, n.max)
		}
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"queue-age", o.queueAge}, {"start-timeout", o.startTimeout}, {"heartbeat-timeout", o.heartbeatTimeout}, {"drain-timeout", o.drainTimeout}, {"shutdown-timeout", o.shutdownTimeout}, {"kill-delay", o.killDelay},
	} {
		if d.value <= 0 {
			return usage("run", "--%s %v: want a duration above zero, such as 30s", d.flag, d.value)
		}
	}
	if o.recycleAge < 0 {
		return usage("run", "--recycle-age %v: want a duration such as 24h, or 0 for never", o.recycleAge)
	}
	if o.heartbeatTimeout < leastHeartbeat {
		return usage("run", "--heartbeat-timeout %v: want at least %v, since workers beat every 5s", o.heartbeatTimeout, leastHeartbeat)
	}
	if o.title != "" {
		if err := checkName(o.title); err != nil {
			return usage("run", "--name: %s", err)
		}
	}
	if err := o.logs.check(); err != nil {
		return err
	}
	if err := o.plain.check(); err != nil {
		return err
	}
	for _, a := range o.wanted() {
		if err := a.foreign.check(a.plain.http); err != nil {
			return a.named(err)
		}
	}
	if err := o.cloud.check(); err != nil {
		return err
	}
	if err := config.CheckCloud(o.cloudAt); err != nil {
		return usage("run", "--cloud %s", err)
	}
	if _, err := o.front.options(nil); err != nil {
		return err
	}
	if _, err := o.admin.address(); err != nil {
		return err
	}
	if len(o.control) > maxSocketPath {
		return usage("run", "--control: the path has %d bytes; a unix socket's path has at most %d", len(o.control), maxSocketPath)
	}
	return nil
}

// errInterrupted is the cause of contexts that a signal has ended.
var errInterrupted = errors.New("interrupted")

// interrupted is the failure of what Ctrl-C ended before the front served.
func interrupted(ctx context.Context) error {
	return &failure{code: exitError, err: fmt.Errorf("%w before it served", context.Cause(ctx)), fine: "nothing is left running."}
}

// watchedQueueAge is --queue-age with --watch: a build may take longer than a
// worker may be busy.
const watchedQueueAge = time.Minute

// leastHeartbeat leaves a worker, who beats every five seconds, one beat to
// lose.
const leastHeartbeat = 10 * time.Second
