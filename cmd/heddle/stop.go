package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// goneTimeout is how long a daemon may take to end after it has said how.
const goneTimeout = 30 * time.Second

func newStop() *cobra.Command {
	var (
		c       call
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Finish the running requests and end the daemon",
		Long: `Stop does what Ctrl-C does to the daemon: no new requests, those that are being
answered are finished, then the workers and the daemon end. It waits until the
daemon is gone. Ctrl-C ends the waiting only.

With --json: {"name","release","state","seconds","error"}, the state being stopped.
Exit codes: those of the daemon itself: 0 every request was answered, 6 some were
cut off because they took too long, 1 it failed at something.`,
		Example: `  heddle stop
  heddle stop --timeout 5s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout < 0 || cmd.Flags().Changed("timeout") && timeout == 0 {
				return usage("stop", "--timeout %v: want a duration above zero, such as 5s", timeout)
			}
			path, _, err := c.control.find(cmd.Context(), "stop")
			if err != nil {
				return err
			}
			gone := watchPeer(path)
			defer gone.close()
			c.verb, c.order.Timeout = topicStop, timeout
			c.progress = func(e event) string {
				if e.Event == eventDraining {
					return fmt.Sprintf("draining: %s", noun(e.Done, "request"))
				}
				return ""
			}
			c.done = func(r result) string { return "stopped: every request taken was answered" }
			if err = c.run(cmd); !c.ended {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), goneTimeout)
			defer cancel()
			if !gone.wait(ctx) && err == nil {
				err = &failure{code: exitTimeout, err: fmt.Errorf("the daemon has drained, but its process has not ended within %v", goneTimeout), fine: "every request taken was answered.", try: "try: heddle status; ps"}
			}
			return err
		},
	}
	c.add(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long requests may take to finish (default: the daemon's --drain-timeout)")
	return cmd
}
