package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/logs"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker/engine"
)

// A logsQuery is one of an app's.
type logsQuery struct {
	logs.Query
	App string `json:"app,omitempty"`
}

// topicLogs is asked with a logs.Query and answered by any number of replies, as
// (*logs.Output).Stream gives them.
const topicLogs = "logs"

// followLast is how many lines logs -f begins with.
const followLast = 10

func newLogs() *cobra.Command {
	var (
		control controlFlags
		q       logs.Query
		since   string
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show what the workers wrote",
		Long: `Logs shows the last lines that workers wrote to standard output and standard error,
with the time, the worker's index and its release. The daemon keeps them in memory,
4 MiB unless run --log-memory said otherwise; older ones are in the files of run
--log-stdout and --log-stderr, if it was given any.

With -f it goes on with whatever comes, until Ctrl-C (exit code 0) or until the
daemon ends (exit code 4). Who reads too slowly misses lines and is told how many, on
standard error; workers never wait.

SINCE is a time (2026-11-21T08:00:00Z; 2026-11-21, 2026-11-21 08:00:00 or 08:00 of
this machine's clock) or how long ago (10m). A selector is one
of heddle restart: an index (0), a range (1-3, 2-, -2), $PID, an id as status shows it,
any of these with ! before it for the others, or several with commas between. It is held
against the index that a worker had when it wrote.

With --json: {"seq","time","app","worker","id","release","pid","stream","text"} for
each line, and "more":true for a piece of one that is longer than 64 KiB.`,
		Example: `  heddle logs -n 100
  heddle logs -f -w 0
  heddle logs --since 10m --json | jq -r 'select(.stream=="stderr").text'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch set := cmd.Flags().Changed("lines"); {
			case set && q.Last < 0:
				return usage("logs", "-n %d: want a number of lines", q.Last)
			case !set && q.Follow && since == "":
				q.Last = followLast
			case !set:
				q.Last = -1
			}
			if _, err := engine.ParseSelector(q.Selector); err != nil {
				return usage("logs", "--workers: %s", err)
			}
			if since != "" {
				t, err := parseSince(since, time.Now())
				if err != nil {
					return usage("logs", "--since: %s", err)
				}
				q.Since = t
			}
			return showLogs(cmd.Context(), &control, q, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	control.add(cmd)
	fs := cmd.Flags()
	fs.IntVarP(&q.Last, "lines", "n", -1, "the last so many lines (default: all that are kept; with -f and no --since, 10)")
	fs.StringVar(&since, "since", "", "none from before that time, or longer ago than that")
	fs.BoolVarP(&q.Follow, "follow", "f", false, "go on with the lines that come")
	fs.StringVarP(&q.Selector, "workers", "w", "", "of these workers only")
	completeFlag(cmd, "workers", completeSelector(&control))
	fs.BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	return cmd
}

// showLogs prints what the daemon answers.
func showLogs(ctx context.Context, control *controlFlags, q logs.Query, asJSON bool, out, talk io.Writer) error {
	client, err := control.dial(ctx, "logs")
	if err != nil {
		return err
	}
	defer client.Close()
	order, err := json.Marshal(logsQuery{q, control.app})
	if err != nil {
		return err
	}
	listen := ctx
	if q.Follow {
		var stop context.CancelFunc
		listen, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
	}
	w := bufio.NewWriter(out)
	for p, err := range client.Stream(listen, topicLogs, order) {
		var no refusal
		switch {
		case err == nil && bytes.HasPrefix(p, []byte(`{"failure":`)) && json.Unmarshal(p, &no) == nil: // no record begins so
			return control.hinted(no.Failure.failure())
		case err == nil:
		case listen.Err() != nil && ctx.Err() == nil:
			return nil // Ctrl-C is how one leaves
		case errors.Is(err, session.ErrLost):
			return control.hinted(daemonGone(fmt.Errorf("the daemon has ended: %w", err)))
		default:
			return err
		}
		err = logs.Records(p, func(raw []byte, r logs.Record) error {
			switch {
			case r.Skipped > 0:
				if err := w.Flush(); err != nil {
					return err
				}
				_, err := fmt.Fprintf(talk, "… %d lines skipped\n", r.Skipped)
				return err
			case asJSON:
				_, err := w.Write(raw)
				return err
			}
			return r.Print(w)
		})
		if err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if q.Follow && listen.Err() == nil {
		return control.hinted(daemonGone(errors.New("the daemon has ended")))
	}
	return nil
}

func daemonGone(err error) error {
	return &failure{code: exitUnreachable, err: err, fine: "all that was read of its workers' lines is above.", try: "try: heddle status"}
}

// sinceLayouts are the times that --since takes without a zone.
var sinceLayouts = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// parseSince reads a time, or a duration before now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return time.Time{}, fmt.Errorf("%s lies ahead; want how long ago, such as 10m", text)
		}
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range sinceLayouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time and no duration: want such as 10m, 08:00, 2026-11-21 08:00:00 or 2026-11-21T08:00:00Z", text)
}
