package main

import "github.com/spf13/cobra"

func newSuspend() *cobra.Command {
	return newGate(topicSuspend, &cobra.Command{
		Short: "Let requests wait",
		Long: `Suspend holds requests back, from now on: they wait, bounded in number and time
(--queue and --queue-age of run; then 503), and workers are told that they are
suspended. What has begun goes on. heddle resume lets them in.

With --json: {"name","release","state","seconds"}, the state being suspended.`,
		Example: `  heddle suspend && ./migrate; heddle resume`,
	}, func(result) string { return "suspended: requests wait; heddle resume lets them in" })
}

// newGate makes a verb that takes no arguments and says one word.
func newGate(verb string, cmd *cobra.Command, done func(result) string) *cobra.Command {
	c := call{verb: verb, progress: func(event) string { return "" }}
	c.done = func(r result) string { return c.control.hint(done(r)) }
	cmd.Use, cmd.Args = verb, noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd) }
	c.add(cmd)
	return cmd
}
