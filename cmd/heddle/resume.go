package main

import "github.com/spf13/cobra"

func newResume() *cobra.Command {
	return newGate(topicResume, &cobra.Command{
		Short: "Let waiting requests in",
		Long: `Resume ends what suspend, or --suspended of run and deploy, has begun: workers are
told, and the requests that waited are answered. Where nothing is suspended, it does
nothing.

With --json: {"name","release","state","seconds"}, the state being serving.`,
		Example: `  heddle resume`,
	}, func(r result) string { return r.Release + " serves" })
}
