package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/cmd/internal/logs"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker/engine"
)

// topicStatus is asked without payload and answered by a statusReply as JSON.
const topicStatus = "status"

// statusTimeout is how long a verb waits for the daemon's answer.
const statusTimeout = 10 * time.Second

// What a daemon does, as its status says.
const (
	stateStarting = "starting"
	stateServing  = "serving"
	stateDraining = "draining"
)

// A statusReply is what a daemon says of itself, and the shape of status --json.
// Of one app, or the one asked for, it has the status; of several, all.
type statusReply struct {
	Name    string      `json:"name"`
	State   string      `json:"state"`
	Pid     int         `json:"pid"`
	Started time.Time   `json:"started"`
	Listen  []string    `json:"listen"`
	Dropped int         `json:"dropped"` // lines that standard error did not take in time
	Front   front.Stats `json:"front"`
	Memory  int64       `json:"memory,omitempty"` // of the daemon itself, bytes resident
	CPU     float64     `json:"cpu,omitempty"`    // and its seconds on processors

	Access *logs.SinkStats `json:"access_log,omitempty"` // absent: there is none

	Cloud *cloudStatus `json:"cloud,omitempty"` // absent: without --locator

	App string `json:"app,omitempty"` // the one asked for, of several
	*AppStatus

	Apps []namedStatus `json:"apps,omitempty"` // in the file's order
}

// each are the apps that it tells of. One alone has no name here.
func (st *statusReply) each() []namedStatus {
	if st.AppStatus != nil {
		return []namedStatus{{st.App, *st.AppStatus}}
	}
	return st.Apps
}

// what it runs: a release, or so many apps.
func (st *statusReply) what() string {
	switch {
	case st.AppStatus != nil && st.App != "":
		return st.App + " " + st.Release
	case st.AppStatus != nil:
		return st.Release
	}
	return noun(len(st.Apps), "app")
}

// A namedStatus is one app's of several.
type namedStatus struct {
	Name string `json:"name"`
	AppStatus
}

// An AppStatus is what a daemon says of an app.
type AppStatus struct {
	Release   string           `json:"release"`
	SHA256    string           `json:"sha256"`            // of the release's program, hexadecimal
	Changed   string           `json:"changed,omitempty"` // what has become of the file of a program that is run in place
	Suspended bool             `json:"suspended"`
	Wanted    int              `json:"wanted"`   // workers
	Standbys  int              `json:"standbys"` // wanted
	Operation *operationStatus `json:"operation,omitempty"`
	Output    logs.Stats       `json:"output"` // what workers have written

	Workers []engine.WorkerStatus `json:"workers"`
}

// An operationStatus says what is under way.
type operationStatus struct {
	Doing    string    `json:"doing"` // "a deploy of r3"
	Since    time.Time `json:"since"`
	Pid      int       `json:"pid,omitempty"`      // of the command that asked
	Progress string    `json:"progress,omitempty"` // "starting 1/4"
}

func (o *operationStatus) line(now time.Time) string {
	s := fmt.Sprintf("under way: %s, for %s", o.Doing, span(now.Sub(o.Since)))
	if o.Progress != "" {
		s += ", " + o.Progress
	}
	return s
}

func newStatus() *cobra.Command {
	var (
		control controlFlags
		asJSON  bool
		again   againFlags
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the daemon and its workers",
		Long: `Status asks the running daemon what it and its workers do: index, id, process,
state and since when, sessions open now, and restarts. Standbys have no index. A
worker that is broken, or is being replaced, says why; of one that drains, the ids
of its open requests are listed (--json: all, to a hundred). With several daemons,
--name says which.

--watch shows it anew every second, or --interval, until Ctrl-C: on a terminal in
place, elsewhere as a new block, and with --json as a line each time.

With --json: {"name","release","state","pid","started","listen","front","memory",
"cpu","workers":[{"index","id","pid","state","since","release","sessions",
"sessions_total","restarts","memory","cpu"}…],…}; memory is in bytes and cpu in
seconds, and each is left out where it is unknown or none. Of several apps, release,
workers and what else is an app's stand in "apps":[{"name",…}…]; --app
shows one, with its name in "app".`,
		Example: `  heddle status
  heddle status --json | jq '.workers[].pid'
  heddle status --name shop --watch --interval 5s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return again.run(cmd, asJSON, func(ctx context.Context, w io.Writer) error {
				raw, err := askStatus(ctx, &control)
				if err != nil {
					return err
				}
				return printStatus(w, control, raw, asJSON, time.Now())
			})
		},
	}
	control.add(cmd)
	again.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// askStatus returns the daemon's JSON.
func askStatus(ctx context.Context, control *controlFlags) ([]byte, error) {
	return askOnce(ctx, control, "status", topicStatus)
}

// askOnce returns the daemon's answer to a topic that has no order.
func askOnce(ctx context.Context, control *controlFlags, verb, topic string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	client, err := control.dial(ctx, verb)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var payload []byte
	if control.app != "" {
		if payload, err = json.Marshal(order{App: control.app}); err != nil {
			return nil, err
		}
	}
	raw, err := client.Request(ctx, topic, payload)
	switch {
	case err == nil:
		var no refusal
		if json.Unmarshal(raw, &no) == nil && no.Failure != nil {
			return nil, control.hinted(no.Failure.failure())
		}
		return raw, nil
	case errors.Is(err, session.ErrLost), isClosing(err):
		return nil, &failure{code: exitUnreachable, err: fmt.Errorf("the daemon ended before it answered: %w", err), try: control.hint("try: heddle status")}
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &failure{code: exitTimeout, err: fmt.Errorf("the daemon did not answer within %v", statusTimeout), try: control.hint("try: heddle status; a daemon that stays silent is stopped by kill -INT and its pid")}
	}
	return nil, err
}

// isClosing says whether a daemon has refused to answer because it ends.
func isClosing(err error) bool {
	var e *session.Error
	return errors.As(err, &e) && e.Remote && e.Category == heddle.CategoryOverseer && e.Code == heddle.CodeQueueFull
}

func printStatus(w io.Writer, control controlFlags, raw []byte, asJSON bool, now time.Time) error {
	var st statusReply
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("the daemon's answer is not the JSON of a status: %w", err)
	}
	if asJSON {
		_, err := w.Write(append(bytes.TrimRight(raw, "\n"), '\n'))
		return err
	}
	where := ""
	if len(st.Listen) > 0 {
		where = ", " + strings.Join(st.Listen, " ")
	}
	fmt.Fprintf(w, "%s %s, %s, up %s, pid %d%s\n", st.Name, st.what(), st.State, span(now.Sub(st.Started)), st.Pid, where)
	if c := st.Cloud; c != nil {
		fmt.Fprintf(w, "a cloud with its locator at %s", c.Locator)
		if len(c.Started) > 0 {
			fmt.Fprintf(w, "; clients have started %s", strings.Join(c.Started, ", "))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d requests, %d of them now; %d clients gone early, %d requests refused\n", st.Front.Requests, st.Front.Active, st.Front.Gone, st.Front.Refused)
	if st.AppStatus != nil {
		return printApp(w, &control, *st.AppStatus, now)
	}
	for _, a := range st.Apps {
		control.app = a.Name
		fmt.Fprintf(w, "\n%s %s\n", a.Name, a.Release)
		if err := printApp(w, &control, a.AppStatus, now); err != nil {
			return err
		}
	}
	return nil
}

func printApp(w io.Writer, control *controlFlags, st AppStatus, now time.Time) error {
	if st.Changed != "" {
		fmt.Fprintf(w, "%s; a worker that is started from now on runs what is there; %s makes it a release\n", st.Changed, control.hint("heddle deploy"))
	}
	if len(st.Workers) == 0 {
		_, err := fmt.Fprintln(w, "no workers yet")
		return err
	}
	if st.Operation != nil {
		fmt.Fprintln(w, st.Operation.line(now))
	}
	if st.Suspended {
		fmt.Fprintln(w, control.hint("suspended: requests wait; heddle resume lets them in"))
	}
	idle := func(wk engine.WorkerStatus) bool {
		return wk.State == "dead" || wk.State == "starting" && wk.Restarts > 0
	}
	if !st.Suspended && !slices.ContainsFunc(st.Workers, func(wk engine.WorkerStatus) bool { return !wk.Standby && !idle(wk) }) && slices.ContainsFunc(st.Workers, idle) {
		fmt.Fprintln(w, "no worker is online: requests wait, or get 503")
	}
	return printWorkers(w, st.Workers, now)
}

// printWorkers leaves out the columns that would say the same, or nothing, of
// every worker.
func printWorkers(w io.Writer, workers []engine.WorkerStatus, now time.Time) error {
	releases, reasons := false, false
	for _, wk := range workers {
		releases = releases || wk.Release != workers[0].Release
		reasons = reasons || wk.Reason != ""
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells []string, release, reason string) {
		if releases {
			cells = append(cells, release)
		}
		if reasons {
			cells = append(cells, cmp.Or(reason, "-"))
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	row([]string{"INDEX", "ID", "PID", "STATE", "SINCE", "SESSIONS", "RESTARTS"}, "RELEASE", "REASON")
	for _, wk := range workers {
		index := wk.Index
		if wk.Standby {
			index = -1
		}
		row([]string{indexOf(index), fmt.Sprintf("%.8s", wk.ID), strconv.Itoa(wk.Pid), wk.State, span(now.Sub(wk.Since)), strconv.Itoa(wk.Sessions), strconv.Itoa(wk.Restarts)}, wk.Release, wk.Reason)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, wk := range workers {
		if len(wk.Requests) > 0 {
			more := ""
			shown := wk.Requests
			if len(shown) > shownRequests {
				shown, more = shown[:shownRequests], " …"
			}
			if _, err := fmt.Fprintf(w, "pid %d drains; its open requests: %d: %s%s\n", wk.Pid, wk.Sessions, strings.Join(shown, " "), more); err != nil {
				return err
			}
		}
	}
	return nil
}

// shownRequests of a draining worker are named outside of --json.
const shownRequests = 5

// indexOf is a worker's index as people see it; standbys have none.
func indexOf(i int) string {
	if i < 0 {
		return "-"
	}
	return strconv.Itoa(i)
}

// span is d as a person says it: seconds are the finest, days the coarsest.
func span(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	days := d / (24 * time.Hour)
	d -= days * 24 * time.Hour
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, d/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.String()
}
