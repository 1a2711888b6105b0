package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/worker/engine"
)

func newScale() *cobra.Command {
	var c call
	standbys := -1
	cmd := &cobra.Command{
		Use:   "scale [flags] N",
		Short: "Change the number of workers",
		Long: `Scale brings the number of workers to N: more are started, and it waits until they
serve; of too many those of the highest index finish what they have and leave. No
request is lost. --standbys changes the number of standbys; without it that stays,
and with it N may be left out. The numbers hold until the daemon ends.

If a new worker does not get ready, the number is what it was, and its last words
are shown. Ctrl-C ends the waiting; the daemon goes on.

With --json: {"name","release","state","workers","standbys","seconds"}.`,
		Example: `  heddle scale 8
  heddle scale 4 --standbys 1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c.order.Workers, c.order.Standbys = -1, -1
			given := cmd.Flags().Changed("standbys")
			if given {
				if standbys < 0 || standbys > engine.MaxStandbys {
					return usage("scale", "--standbys %d: want a number from 0 to %d", standbys, engine.MaxStandbys)
				}
				c.order.Standbys = standbys
			}
			switch {
			case len(args) == 1:
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 || n > engine.MaxWorkers {
					return usage("scale", "scale %s: want a number of workers from 1 to %d", args[0], engine.MaxWorkers)
				}
				c.order.Workers = n
			case len(args) > 1:
				return usage("scale", "scale takes one number; got %q", args)
			case !given:
				return usage("scale", "scale needs a number of workers, from 1 to %d", engine.MaxWorkers)
			}
			c.verb = topicScale
			c.progress = func(event) string { return "scaling" }
			c.done = func(r result) string {
				s := noun(r.Workers, "worker")
				if r.Standbys > 0 || given {
					s += ", " + noun(r.Standbys, "standby")
				}
				return s
			}
			return c.run(cmd)
		},
	}
	c.add(cmd)
	cmd.Flags().IntVar(&standbys, "standbys", -1, "number of standbys (default: as it is)")
	return cmd
}

// shield puts an argument that begins like a negative number behind --, where it
// is no flag: "scale -1" has an answer of its own, and "restart -2" a meaning.
func shield(args []string) []string {
	if len(args) < 2 || args[0] != topicScale && args[0] != topicRestart {
		return args
	}
	for i, a := range args[1:] {
		if a == "--" {
			return args
		}
		if before := args[i]; strings.HasPrefix(before, "--") && before != "--json" {
			continue // it is that flag's value
		}
		if len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			rest := append(append([]string{}, args[:i+1]...), args[i+2:]...)
			return append(rest, "--", a)
		}
	}
	return args
}
