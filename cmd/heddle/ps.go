package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/worker/engine"
)

// A psReply is the shape of ps --json: a part of a statusReply.
type psReply struct {
	Name string `json:"name"`

	*PsApp // of one app, or the one asked for

	Apps []namedPs `json:"apps,omitempty"` // of several
}

// A namedPs is one app's of several.
type namedPs struct {
	Name string `json:"name"`
	PsApp
}

// A PsApp is what ps --json says of an app.
type PsApp struct {
	Release string                `json:"release"`
	Workers []engine.WorkerStatus `json:"workers"`
}

func (st *statusReply) ps() psReply {
	r := psReply{Name: st.Name}
	if st.AppStatus != nil {
		r.PsApp = &PsApp{st.Release, st.Workers}
	}
	for _, a := range st.Apps {
		r.Apps = append(r.Apps, namedPs{a.Name, PsApp{a.Release, a.Workers}})
	}
	return r
}

func newPs() *cobra.Command {
	var (
		control controlFlags
		asJSON  bool
		again   againFlags
	)
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the workers, one line each",
		Long: `Ps lists the daemon's workers, one line each: index (none for a standby), id,
process, state and since when, release, sessions open now and given until now,
restarts, memory (resident) and time on processors, of the process alone. What is
unknown is a dash. Of several apps all are listed, with a column that names them;
--app lists those of one.

--watch shows it anew every second, or --interval, until Ctrl-C.

With --json: {"name","release","workers":[…]}, as in heddle status --json; of several
apps {"name","apps":[{"name","release","workers":[…]}…]}.`,
		Example: `  heddle ps
  heddle ps --watch --interval 5s
  heddle ps --app shop
  heddle ps --json | jq '.workers | map(.memory) | add'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return again.run(cmd, asJSON, func(ctx context.Context, w io.Writer) error {
				raw, err := askOnce(ctx, &control, "ps", topicStatus)
				if err != nil {
					return err
				}
				return printPs(w, raw, asJSON, time.Now())
			})
		},
	}
	control.add(cmd)
	again.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printPs(w io.Writer, raw []byte, asJSON bool, now time.Time) error {
	var st statusReply
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("the daemon's answer is not the JSON of a status: %w", err)
	}
	if asJSON {
		return json.NewEncoder(w).Encode(st.ps())
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	several := len(st.Apps) > 0
	if several {
		fmt.Fprint(tw, "APP\t")
	}
	fmt.Fprintln(tw, "INDEX\tID\tPID\tSTATE\tSINCE\tRELEASE\tSESSIONS\tTOTAL\tRESTARTS\tMEMORY\tCPU")
	for _, a := range st.each() {
		for _, wk := range a.Workers {
			if several {
				fmt.Fprint(tw, a.Name, "\t")
			}
			fmt.Fprintln(tw, strings.Join([]string{
				placeOf(wk), fmt.Sprintf("%.8s", wk.ID), strconv.Itoa(wk.Pid), wk.State, span(now.Sub(wk.Since)), wk.Release,
				strconv.Itoa(wk.Sessions), strconv.FormatUint(wk.Total, 10), strconv.Itoa(wk.Restarts), bytesOf(wk.Memory), secondsOf(wk),
			}, "\t"))
		}
	}
	return tw.Flush()
}

// placeOf is a worker's index as people see it.
func placeOf(w engine.WorkerStatus) string {
	if w.Standby {
		return indexOf(-1)
	}
	return indexOf(w.Index)
}

// secondsOf is a worker's time on processors. A process that has used none yet
// is known by its memory.
func secondsOf(w engine.WorkerStatus) string {
	if w.Memory == 0 && w.CPU == 0 {
		return "-"
	}
	return strconv.FormatFloat(w.CPU, 'f', 2, 64) + "s"
}

// bytesOf is n as a person says it: in powers of 1024, with three digits or
// four; 0 is unknown.
func bytesOf(n int64) string {
	if n <= 0 {
		return "-"
	}
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1000 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, unit)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
