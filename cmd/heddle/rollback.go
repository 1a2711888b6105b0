package main

import "github.com/spf13/cobra"

func newRollback() *cobra.Command {
	var d deployFlags
	cmd := &cobra.Command{
		Use:   "rollback [flags] [RELEASE]",
		Short: "Bring an earlier release back into service",
		Long: `Rollback deploys the program and arguments of an earlier release: of RELEASE, or of
the one that served before the present one. It is a deploy like any other: the new
release has a number of its own, and "from" says whose program it is. So a second
rollback takes the first one back.

The programs of five releases are kept; heddle releases lists them.

` + deployJSON,
		Example: `  heddle rollback
  heddle rollback r2`,
		ValidArgsFunction: completeReleases(&d.control),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("rollback", "rollback takes one RELEASE; got %q", args)
			}
			if len(args) == 1 {
				if args[0] == "" {
					return usage("rollback", "RELEASE is empty")
				}
				d.order.Release = args[0]
			}
			if err := d.prepare(topicRollback); err != nil {
				return err
			}
			return d.run(cmd)
		},
	}
	d.add(cmd)
	return cmd
}
