package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// A releasesReply is the answer to topicReleases, and the shape of releases
// --json.
type releasesReply struct {
	Name      string           `json:"name"`
	Serving   string           `json:"serving"` // "": none yet
	Operation *operationStatus `json:"operation,omitempty"`
	Releases  []releaseStatus  `json:"releases"` // by number
}

// A releaseStatus is a release and how many workers it has.
type releaseStatus struct {
	release
	Workers int `json:"workers"`
}

func newReleases() *cobra.Command {
	var (
		control controlFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "releases",
		Short: "List the releases",
		Long: `Releases lists what was deployed, by number: the state, since when, how many workers
each has, the program's hash, and what it was made of. States:

  deploying  its workers are being started
  serving    it has the work
  kept       it has served and its program is kept: rollback can bring it back
  retired    it has served; its program was removed to make room
  failed     it never served, for the reason that is shown; its program was removed

The programs of five releases are kept (and those that still have workers), and the
records of twenty. All end with the daemon.

With --json: {"name","serving","releases":[{"release","state","reason","from",
"target","source","program","args","sha256","size","created","served","pid",
"workers"}…]}; what does not apply is left out.`,
		Example: `  heddle releases
  heddle releases --json | jq -r .serving`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, raw, err := askReleases(cmd.Context(), &control, topicReleases)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(append(bytes.TrimRight(raw, "\n"), '\n'))
				return err
			}
			return printReleases(cmd.OutOrStdout(), list, time.Now())
		},
	}
	control.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReleases(w io.Writer, list releasesReply, now time.Time) error {
	if list.Operation != nil {
		fmt.Fprintln(w, list.Operation.line(now))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RELEASE\tSTATE\tAGE\tWORKERS\tSHA256\tTARGET")
	for _, r := range list.Releases {
		sum := "-"
		if len(r.SHA256) > 8 {
			sum = r.SHA256[:8]
		}
		target := r.Target
		if r.From != "" {
			target += ", from " + r.From
		}
		if r.Reason != "" {
			target += ": " + r.Reason
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.State, span(now.Sub(r.Created)), strconv.Itoa(r.Workers), sum, target)
	}
	return tw.Flush()
}
