package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/worker/engine"
)

func newRestart() *cobra.Command {
	var c call
	cmd := &cobra.Command{
		Use:   "restart [flags] [SEL]",
		Short: "Replace some or all workers",
		Long: `Restart replaces workers with new ones of the same release, one after the other:
each gets a successor first, and finishes what it has then. No request is lost. It
waits until the replaced ones have left, and stops at the first successor that does
not get ready; the worker in question and those after it are as they were.

SEL says which; without it, all:

  0, 1-3, 2-, -2   an index, or indexes from and to
  $4711            a process
  01234567         a worker's id, whole or its first eight digits
  !0               the others that have an index
  0,$4711          several: who is named by any of them

Ctrl-C ends the waiting; the daemon goes on.

With --json: {"name","release","state","replaced","seconds"}.
Exit codes: 2 SEL is none, 3 no worker is it, or a successor did not get ready.`,
		Example: `  heddle restart
  heddle restart 0-1
  heddle restart '!0'`,
		ValidArgsFunction: completeWorkers(&c.control),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("restart", "restart takes one SEL; got %q (with commas between, several are one)", args)
			}
			if len(args) == 1 {
				if args[0] == "" {
					return usage("restart", "SEL is empty; to replace all workers leave it out")
				}
				if _, err := engine.ParseSelector(args[0]); err != nil {
					return usage("restart", "%s", err)
				}
				c.order.Selector = args[0]
			}
			c.verb = topicRestart
			c.progress = func(e event) string {
				if e.Event == eventReplacing {
					return fmt.Sprintf("replacing workers %d/%d", e.Done, e.Of)
				}
				return ""
			}
			c.done = func(r result) string { return noun(r.Replaced, "worker") + " replaced" }
			return c.run(cmd)
		},
	}
	c.add(cmd)
	return cmd
}
