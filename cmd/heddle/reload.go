package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	var c call
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon do what its file says by now",
		Long: `Reload has the daemon read heddle.toml, or the file of its --config, again. Values that
can be changed while it runs are; a changed target, arguments or environment is a
deploy of that app; an app that is new is started, one that is gone finishes what it
has. A file that is wrong, or asks for what takes a restart (docs/configuration.md),
changes nothing. kill -HUP does the same, and the daemon's log says what came of it.

With --json: {"name","state","changes","seconds","error"}, the state being reloaded,
or refused where nothing was changed; changes are those that were made, also where
something else could not be done, and error is left out where everything was.
Exit codes: 0 done, 2 the file is wrong, 3 refused, or done but for an app that could
not be deployed or started, 4 no daemon.`,
		Example: `  heddle reload
  heddle config check && heddle reload`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.verb = topicReload
			c.progress = func(event) string { return "" }
			c.done = func(r result) string {
				if len(r.Changes) == 0 {
					return "nothing has changed"
				}
				return strings.Join(r.Changes, "\n")
			}
			return c.run(cmd)
		},
	}
	c.add(cmd)
	return cmd
}
