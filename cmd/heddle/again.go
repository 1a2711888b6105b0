package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// leastInterval keeps a daemon from being asked all the time.
const leastInterval = 50 * time.Millisecond

// againFlags are those of a verb that can show the same again and again.
type againFlags struct {
	watch    bool
	interval time.Duration
}

func (a *againFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&a.watch, "watch", false, "show it anew until Ctrl-C")
	addInterval(cmd, &a.interval)
}

func addInterval(cmd *cobra.Command, d *time.Duration) {
	cmd.Flags().DurationVar(d, "interval", time.Second, "how often it is shown anew")
}

func checkInterval(cmd *cobra.Command, d time.Duration) error {
	if d < leastInterval {
		return usage(cmd.Name(), "--interval %v: want a duration from %v on, such as 2s", d, leastInterval)
	}
	return nil
}

// clearScreen goes to the first column of the first line and clears all from
// there (ECMA-48 CUP and ED).
const clearScreen = "\x1b[H\x1b[J"

// run shows once, or until Ctrl-C, SIGTERM or an error. What show writes appears
// at once, or not at all if it fails.
func (a *againFlags) run(cmd *cobra.Command, asJSON bool, show func(ctx context.Context, w io.Writer) error) error {
	if err := checkInterval(cmd, a.interval); err != nil {
		return err
	}
	if !a.watch {
		if cmd.Flags().Changed("interval") {
			return usage(cmd.Name(), "--interval needs --watch")
		}
		return show(cmd.Context(), cmd.OutOrStdout())
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	term := isTerminal(os.Stdout)
	tick := time.NewTicker(a.interval)
	defer tick.Stop()
	var b bytes.Buffer
	for round := 0; ; round++ {
		b.Reset()
		switch {
		case term && !asJSON:
			b.WriteString(clearScreen)
		case round > 0 && !asJSON:
			fmt.Fprintln(&b) // between blocks
		}
		err := show(ctx, &b)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := cmd.OutOrStdout().Write(b.Bytes()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
