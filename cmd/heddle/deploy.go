package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// deployFlags are what deploy and rollback have in common.
type deployFlags struct {
	call
	suspended bool
	supersede bool
	noWait    bool
	timeout   time.Duration
}

func (d *deployFlags) add(cmd *cobra.Command) {
	d.call.add(cmd)
	fs := cmd.Flags()
	fs.BoolVar(&d.suspended, "suspended", false, "let requests wait, once the new workers are ready, until heddle resume")
	fs.BoolVar(&d.supersede, "supersede", false, "end a deploy that has not switched, a scale or a restart, if one is under way")
	fs.BoolVar(&d.noWait, "no-wait", false, "print the release's name and leave as soon as the daemon has it; heddle releases tells the rest")
	fs.DurationVar(&d.timeout, "timeout", 0, "withdraw the deploy if it has not switched by then, and do not wait longer for old workers; 0: no limit")
}

// deployJSON is the part of the help that says what --json prints.
const deployJSON = `With --json the result is one object:
  {"name":"shop","release":"r2","previous":"r1","state":"serving","sha256":"…",
   "workers":4,"standbys":0,"seconds":1.2,"drained":true,"draining":0}
with a state of serving, suspended, accepted (--no-wait), refused, failed, withdrawn
or superseded, and, where it did not serve, "error". Drained says that the old
workers have left; draining counts those that have not.

Exit codes: 0 the new release serves, 1 it does not build, or was interrupted,
2 usage, 3 refused (it did not get ready, another operation is under way, or it was
superseded), 4 no daemon, 6 --timeout passed before the switch. But for 0, what
served before serves on.`

func newDeploy() *cobra.Command {
	var d deployFlags
	cmd := &cobra.Command{
		Use:   "deploy [flags] [TARGET] [-- ARGS]",
		Short: "Bring a new version of the program into service",
		Long: `Deploy builds TARGET (a Go package) or takes it (an executable) as a new release:
a private copy, with a number of its own; an executable under run --http stays where it
is, and is not copied. The daemon starts the release's workers
beside those that serve. When all of them are ready they get the work; the old ones
finish what they have, for --drain-timeout of run at most, and leave. No request is
lost. If a new worker does not get ready, nothing has changed, and its last words
are shown.

Without TARGET, what the serving release was made of is built or copied anew.
Without --, the program's arguments are those of the serving release; "--" alone
means none.

Deploy waits until the old workers have left. Ctrl-C before the switch withdraws
the deploy; after it, it only ends the waiting. Without --suspended the new release
answers at once, also where requests waited before.

` + deployJSON,
		Example: `  heddle deploy
  heddle deploy ./shop -- -db shop.db
  heddle deploy --timeout 2m --json /usr/local/bin/shop
  heddle deploy --suspended ./shop && ./migrate && heddle resume`,
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			given, progArgs, err := splitTarget(args, cmd.ArgsLenAtDash())
			if err != nil {
				return err
			}
			return d.deploy(cmd, given, progArgs)
		},
	}
	d.add(cmd)
	return cmd
}

// splitTarget sorts deploy's arguments; dash is how many stand before --, or
// -1. No arguments of the program are not the same as none said.
func splitTarget(args []string, dash int) (given string, progArgs []string, err error) {
	before := args
	if dash >= 0 {
		before, progArgs = args[:dash], append([]string{}, args[dash:]...)
	}
	switch {
	case len(before) > 1:
		return "", nil, usage("deploy", "deploy takes one TARGET; got %q (the program's own arguments go behind --)", before)
	case len(before) == 0:
		return "", progArgs, nil
	case before[0] == "":
		return "", nil, usage("deploy", "TARGET is empty")
	}
	return before[0], progArgs, nil
}

// prepare fills in what both verbs have.
func (d *deployFlags) prepare(verb string) error {
	if d.timeout < 0 {
		return usage(verb, "--timeout %v: want a duration such as 2m, or 0 for no limit", d.timeout)
	}
	d.verb, d.withdraws = verb, true
	d.order.Suspended, d.order.Supersede, d.order.NoWait, d.order.Timeout = d.suspended, d.supersede, d.noWait, d.timeout
	d.progress = deployProgress
	d.done = func(r result) string { return d.control.hint(deployDone(r)) }
	return nil
}

func (d *deployFlags) deploy(cmd *cobra.Command, given string, progArgs []string) error {
	began := time.Now()
	if err := d.prepare(topicDeploy); err != nil {
		return err
	}
	// Who is not there, or has nothing to rebuild, is known before building.
	list, _, err := askReleases(cmd.Context(), &d.control, topicDeploy)
	if err != nil {
		return err
	}
	as := given
	if given == "" {
		if given, as, err = sourceOf(list); err != nil {
			return err
		}
	}
	var f *os.File
	var t target
	signalled := signalledWhile(func() { f, t, err = d.program(cmd, given, as) })
	if err != nil {
		return err
	}
	defer f.Close()
	if signalled {
		return interruptedDeploy("copied")
	}
	d.files = []*os.File{f}
	d.order.Target, d.order.Source, d.order.Program, d.order.Args = as, t.source(), t.name(), progArgs
	d.order.Built = t.pkg != ""
	if d.order.Spent = time.Since(began); d.timeout > 0 && d.order.Spent >= d.timeout {
		return d.lateBuild()
	}
	return d.run(cmd)
}

// sourceOf is what the serving release was made of, and as what it was given.
func sourceOf(list releasesReply) (source, given string, err error) {
	for _, r := range list.Releases {
		if r.State == releaseServing {
			return r.Source, r.Target, nil
		}
	}
	return "", "", &failure{code: exitRefused, err: errors.New("no release serves yet that could be deployed anew"), fine: "nothing was changed.", try: "try: heddle status; heddle deploy TARGET"}
}

// program builds or opens the target. What it needs for that is gone when it
// returns.
func (d *deployFlags) program(cmd *cobra.Command, given, as string) (*os.File, target, error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	t, err := findTarget(ctx, topicDeploy, given)
	if err != nil {
		return nil, t, err
	}
	t.given = as
	if t.pkg == "" {
		f, err := os.Open(t.path)
		if err != nil {
			return nil, t, &failure{code: exitError, err: fmt.Errorf("%s cannot be read: %w", as, err), fine: unharmed(topicDeploy), try: "try: ls -l " + t.path}
		}
		return f, t, nil
	}
	dir, err := os.MkdirTemp("", "heddle-deploy-")
	if err != nil {
		return nil, t, &failure{code: exitError, err: fmt.Errorf("no directory to build in: %w", err), fine: unharmed(topicDeploy), try: "try: df -h " + os.TempDir() + "; or set TMPDIR"}
	}
	defer os.RemoveAll(dir)
	line := statusLine{cmd.ErrOrStderr(), isTerminal(os.Stderr)}
	line.set("building " + as)
	path := filepath.Join(dir, t.name())
	err = t.build(ctx, path, clearing{line})
	line.set("")
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, t, d.lateBuild()
	case ctx.Err() != nil:
		return nil, t, interruptedDeploy("built")
	case err != nil:
		return nil, t, err
	}
	f, err := os.Open(path)
	return f, t, err
}

// signalledWhile says whether an interruption came while f ran, also one that f
// left unseen. Later ones end the process, until somebody listens again.
func signalledWhile(f func()) bool {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	f()
	signal.Stop(sigs) // has waited for what was under way
	return len(sigs) > 0
}

func interruptedDeploy(doing string) error {
	return &failure{code: exitError, err: fmt.Errorf("interrupted while it was %s", doing), fine: unharmed(topicDeploy)}
}

func (d *deployFlags) lateBuild() error {
	return &failure{code: exitTimeout, err: fmt.Errorf("it was not built within %v", d.timeout), fine: unharmed(topicDeploy), try: "try: heddle deploy with a longer --timeout"}
}

// A clearing takes the status line away before it writes.
type clearing struct{ line statusLine }

func (c clearing) Write(p []byte) (int, error) {
	if len(p) > 0 {
		c.line.set("")
	}
	return c.line.w.Write(p)
}

func deployProgress(e event) string {
	switch e.Event {
	case eventWaiting:
		return "waiting: " + e.Text + " is under way"
	case eventAccepted:
		return "copying " + e.Release
	case eventCopied:
		return "starting " + e.Release
	case eventStarting:
		return fmt.Sprintf("starting %s: %d/%d", e.Release, e.Done, e.Of)
	case eventSwitched:
		return e.Release + " serves"
	case eventDraining:
		return e.Release + " serves; " + stillDrain(e.Done)
	}
	return ""
}

func deployDone(r result) string {
	if r.State == stateAccepted {
		return r.Release
	}
	s := r.Release + " serves"
	if r.State == stateSuspended {
		s = r.Release + " stands suspended: requests wait; heddle resume lets them in"
	}
	if r.Previous != "" {
		s += ", in place of " + r.Previous
	}
	if r.From != "" {
		s += ", with the program of " + r.From
	}
	if !r.Drained {
		s += "; " + stillDrain(r.Draining)
	}
	if r.Lost > 0 {
		s += fmt.Sprintf("; %s cut off, not having finished in time", were(r.Lost, "request"))
	}
	return s
}

// were is n of what, in the past.
func were(n int, what string) string {
	if n == 1 {
		return "1 " + what + " was"
	}
	return noun(n, what) + " were"
}

// stillDrain says that n workers are left of what served before.
func stillDrain(n int) string {
	if n == 1 {
		return "1 old worker still drains"
	}
	return fmt.Sprintf("%d old workers still drain", n)
}

// askReleases returns the daemon's releases, and its JSON.
func askReleases(ctx context.Context, control *controlFlags, verb string) (list releasesReply, raw []byte, err error) {
	raw, err = askOnce(ctx, control, verb, topicReleases)
	if err != nil {
		return list, nil, err
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return list, nil, fmt.Errorf("the daemon's answer is not the JSON of releases: %w", err)
	}
	return list, raw, nil
}
