package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newTop() *cobra.Command {
	var (
		control  controlFlags
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the daemon and its workers live",
		Long: `Top shows, every second or --interval, what the daemon and its workers do: requests a
second, sessions, the share of one processor that each process uses, memory. Of
several apps it shows all, or that of --app. It needs a terminal; elsewhere there are
heddle status --watch and heddle ps --watch.

q, Esc or Ctrl-C ends it, Ctrl-Z stops it, and the space bar asks at once. Without
colours where NO_COLOR is set. When the daemon ends, top says so and waits for the
next one of that name.`,
		Example: `  heddle top
  heddle top --name shop --interval 250ms
  heddle top --app blog`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkInterval(cmd, interval); err != nil {
				return err
			}
			if !isTerminal(os.Stdout) || !isTerminal(os.Stdin) {
				return &failure{code: exitError, err: fmt.Errorf("top needs a terminal as standard input and output"), fine: "nothing was asked.", try: "try: heddle status --watch, or heddle ps --watch --json"}
			}
			// Which daemon it is does not change meanwhile.
			ctx, cancel := context.WithTimeout(cmd.Context(), statusTimeout)
			defer cancel()
			path, _, err := control.find(ctx, "top")
			if err != nil {
				return err
			}
			given := control
			control = controlFlags{path: path, app: control.app}
			first, err := currentStatus(ctx, &control)
			if err != nil {
				return err
			}
			return top(cmd.Context(), &control, given, interval, first)
		},
	}
	control.add(cmd)
	addInterval(cmd, &interval)
	return cmd
}

// currentStatus is what the daemon says of itself now.
func currentStatus(ctx context.Context, control *controlFlags) (st statusReply, err error) {
	raw, err := askOnce(ctx, control, "top", topicStatus)
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, fmt.Errorf("the daemon's answer is not the JSON of a status: %w", err)
	}
	return st, nil
}
