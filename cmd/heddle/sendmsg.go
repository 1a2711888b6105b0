package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/session/ipc"
)

const verbSendMsg = "send-msg"

// A sentReply is the shape of send-msg --json.
type sentReply struct {
	Chosen int    `json:"chosen"`
	Sent   int    `json:"sent"`
	Failed []said `json:"failed,omitempty"` // at most ipc.MostFailed
}

func newSendMsg() *cobra.Command {
	t := talking{verb: verbSendMsg}
	cmd := &cobra.Command{
		Use:   "send-msg [flags] MESSAGE [JSON]",
		Short: "Send a message to workers, one way",
		Long: `Send-msg sends a message to workers, whose handlers of that name (worker.HandleMessage)
get it, and says how many got it: it was given to their channels, or waits there until
they are ready. What the handlers make of it nobody says; heddle send-req asks.

JSON is an object, or - to read one from standard input; without it the message has no
payload. The workers are all active ones, suspended ones included, unless -w says which:

  0, 1-3, 2-, -2   an index, or indexes from and to
  $4711            a process, also one that starts, leaves or is a standby
  01234567         a worker's id, whole or its first eight digits; likewise
  !0               the others that have an index
  0,$4711          several: who is named by any of them

With --json: {"chosen","sent","failed":[{"index","id","pid","release","error":{"category",
"code","text"}}…]}.
Exit codes: 0 all got it, 1 some did not, 2 the command line makes no sense, 3 no worker
is it, 4 no daemon, 6 the daemon did not answer.`,
		Example: `  heddle send-msg reload-config
  heddle send-msg log-level '{"level":"debug"}' -w 0
  heddle send-msg flush --ns cache --app shop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.read(args, cmd.InOrStdin()); err != nil {
				return err
			}
			return t.run(cmd.Context(), func(ctx context.Context, daemon *ipc.Peer) error {
				d, err := daemon.SendTo(ctx, t.to(), ipc.Message{Namespace: t.ns, Topic: t.topic, Body: t.body})
				if err != nil {
					return err
				}
				return t.delivered(cmd, &d)
			})
		},
	}
	t.add(cmd)
	return cmd
}

// delivered shows who got the message.
func (t *talking) delivered(cmd *cobra.Command, d *ipc.Delivery) error {
	out := cmd.OutOrStdout()
	reply := sentReply{Chosen: d.Chosen, Sent: d.Sent}
	for i := range d.Failed {
		f := &d.Failed[i]
		s := saidBy(&f.Member)
		s.failed(f.Err())
		reply.Failed = append(reply.Failed, s)
	}
	switch {
	case t.asJSON:
		if _, err := fmt.Fprintf(out, "%s\n", marshal(reply)); err != nil {
			return err
		}
	default:
		for i := range reply.Failed {
			if err := reply.Failed[i].print(out, cmd.ErrOrStderr(), false); err != nil {
				return err
			}
		}
		if d.Sent > 0 {
			if _, err := fmt.Fprintf(out, "%s got it\n", noun(d.Sent, "worker")); err != nil {
				return err
			}
		}
	}
	switch {
	case d.Chosen == 0:
		return t.nobody()
	case d.Sent < d.Chosen:
		return &failure{code: exitError, err: fmt.Errorf("%d of %s did not get it", d.Chosen-d.Sent, noun(d.Chosen, "worker")), try: "try: heddle status"}
	}
	return nil
}
