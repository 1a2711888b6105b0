package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/session/ipc"
)

const verbSendReq = "send-req"

// How long a worker may take, unless the flags say otherwise.
const (
	defaultFirst = 30 * time.Second
	defaultGap   = 10 * time.Second
)

func newSendReq() *cobra.Command {
	t := talking{verb: verbSendReq}
	var first, gap time.Duration
	cmd := &cobra.Command{
		Use:   "send-req [flags] REQUEST [JSON]",
		Short: "Ask workers and print their replies",
		Long: `Send-req asks workers, each by itself, and prints their replies as they come, a line
each: the worker's index, id and process in brackets, and the reply as JSON. A handler
(worker.HandleRequest) may answer with any number of replies. Whoever fails, dies or takes
too long is told of on standard error; the others go on. Ctrl-C ends the request at the
workers, too.

JSON is an object, or - to read one from standard input; without it the request has no
payload. -w says which workers, as in heddle send-msg: indexes (0, 1-3), $PID, ids, !
before one for the others, several with commas; without it, all active ones.

A reply that is a Go value is shown as JSON, one that is bytes as a JSON string or, if
they are no text, as base64 with that word before it.

With --json: {"index","id","pid","release","data"} for each reply ("base64" in place of
data for bytes that are no text, neither for an empty reply), and {"index","id","pid",
"release","error":{"category","code","text","timeout"}} for each worker that failed.
Exit codes: 0 all answered, 1 some failed, 2 the command line makes no sense, 3 no worker
is it, 4 no daemon, 6 some did not answer in time and no other failed.`,
		Example: `  heddle send-req stats
  heddle send-req lookup '{"key":"a"}' -w '!0' --timeout 2s
  echo '{"all":true}' | heddle send-req dump - --json | jq .data`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for flag, d := range map[string]time.Duration{"timeout": first, "gap": gap} {
				if d <= 0 || d > ipc.MaxLimit {
					return usage(t.verb, "--%s %v: want more than 0s and at most %v", flag, d, ipc.MaxLimit)
				}
			}
			if err := t.read(args, cmd.InOrStdin()); err != nil {
				return err
			}
			return t.run(cmd.Context(), func(ctx context.Context, daemon *ipc.Peer) error {
				return t.ask(ctx, cmd, daemon, ipc.Query{Namespace: t.ns, Topic: t.topic, Body: t.body, First: first, Gap: gap})
			})
		},
	}
	t.add(cmd)
	cmd.Flags().DurationVar(&first, "timeout", defaultFirst, "how long each worker may take to its first reply")
	cmd.Flags().DurationVar(&gap, "gap", defaultGap, "and from one reply to the next, or the end")
	return cmd
}

// ask prints what comes of a request.
func (t *talking) ask(ctx context.Context, cmd *cobra.Command, daemon *ipc.Peer, q ipc.Query) error {
	out, talk := cmd.OutOrStdout(), cmd.ErrOrStderr()
	chosen, failed, late := 0, 0, 0
	replies := make(map[string]int)     // of workers that have not ended, by id
	spoilt := make(map[string]struct{}) // those one of whose replies is none
	for a, err := range daemon.RequestTo(ctx, t.to(), q) {
		if err != nil {
			return err
		}
		s := saidBy(&a.From)
		switch a.Kind {
		case ipc.AnswerChosen:
			chosen = a.Chosen
			continue
		case ipc.AnswerReply:
			replies[s.ID]++
			if err := s.put(&a.Reply); err != nil { // its worker's fault alone
				s.failed(err)
				spoilt[s.ID] = struct{}{}
			}
		case ipc.AnswerEnd:
			if n := replies[s.ID]; n == 0 && !t.asJSON {
				if _, err := fmt.Fprintf(talk, "[%s %.8s %d] ended without a reply\n", indexOf(s.Index), s.ID, s.Pid); err != nil {
					return err
				}
			}
			delete(replies, s.ID)
			continue
		case ipc.AnswerFailed:
			delete(replies, s.ID)
			delete(spoilt, s.ID)
			failed++
			if s.failed(a.Err); s.Error.Timeout {
				late++
			}
		}
		if err := s.print(out, talk, t.asJSON); err != nil {
			return err
		}
	}
	failed += len(spoilt)
	switch {
	case chosen == 0:
		return t.nobody()
	case failed == 0:
		return nil
	case failed == late:
		return &failure{code: exitTimeout, err: fmt.Errorf("%d of %s did not answer in time", late, noun(chosen, "worker")), try: "try: heddle send-req with a longer --timeout or --gap; heddle status"}
	}
	return &failure{code: exitError, err: fmt.Errorf("%d of %s failed", failed, noun(chosen, "worker")), try: "try: heddle logs; heddle status"}
}
