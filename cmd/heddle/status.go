package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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
type statusReply struct {
	Name    string                `json:"name"`
	Release string                `json:"release"`
	State   string                `json:"state"`
	Pid     int                   `json:"pid"`
	Started time.Time             `json:"started"`
	Listen  []string              `json:"listen"`
	SHA256  string                `json:"sha256"`  // of the release's program, hexadecimal
	Dropped int                   `json:"dropped"` // lines that standard error did not take in time
	Front   front.Stats           `json:"front"`
	Workers []engine.WorkerStatus `json:"workers"`
}

func newStatus() *cobra.Command {
	var (
		control controlFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the daemon and its workers",
		Long: `Status asks the running daemon what it and its workers do: index, id, process,
state and since when, sessions open now, and restarts. With several daemons,
--name says which.`,
		Example: `  heddle status
  heddle status --json | jq '.workers[].pid'
  heddle status --name shop`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := askStatus(cmd.Context(), &control)
			if err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), raw, asJSON, time.Now())
		},
	}
	control.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// askStatus returns the daemon's JSON.
func askStatus(ctx context.Context, control *controlFlags) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	client, err := control.dial(ctx, "status")
	if err != nil {
		return nil, err
	}
	defer client.Close()
	raw, err := client.Request(ctx, topicStatus, nil)
	switch {
	case err == nil:
		return raw, nil
	case errors.Is(err, session.ErrLost):
		return nil, &failure{code: exitUnreachable, err: fmt.Errorf("the daemon ended before it answered: %w", err), try: "try: heddle status"}
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &failure{code: exitTimeout, err: fmt.Errorf("the daemon did not answer within %v", statusTimeout), try: "try: heddle status; a daemon that stays silent is stopped by kill -INT and its pid"}
	}
	return nil, err
}

func printStatus(w io.Writer, raw []byte, asJSON bool, now time.Time) error {
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
	fmt.Fprintf(w, "%s %s, %s, up %s, pid %d%s\n", st.Name, st.Release, st.State, span(now.Sub(st.Started)), st.Pid, where)
	fmt.Fprintf(w, "%d requests, %d of them now; %d clients gone early, %d requests refused\n", st.Front.Requests, st.Front.Active, st.Front.Gone, st.Front.Refused)
	if len(st.Workers) == 0 {
		_, err := fmt.Fprintln(w, "no workers yet")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "INDEX\tID\tPID\tSTATE\tSINCE\tSESSIONS\tRESTARTS")
	for _, wk := range st.Workers {
		fmt.Fprintf(tw, "%d\t%.8s\t%d\t%s\t%s\t%d\t%d\n", wk.Index, wk.ID, wk.Pid, wk.State, span(now.Sub(wk.Since)), wk.Sessions, wk.Restarts)
	}
	return tw.Flush()
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
