package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/service/host"
)

// A locatorReady is what locator --json says once it serves.
type locatorReady struct {
	Locator string `json:"locator"`
	Storage string `json:"storage"`
	Pid     int    `json:"pid"`
}

func newLocator() *cobra.Command {
	var listen, storage string
	var join []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "locator [flags]",
		Short: "Serve a locator without apps",
		Long: `Locator serves a small cloud of its own: a locator, and by it logging, storage and
node, for clients of either dialect (docs/cloud.md). Apps of elsewhere may be published
there. A daemon with apps does the same with heddle run --locator.

What clients log is written to standard error. When it serves, a line that begins with
"ready" and its address appears there, and with --json an object on standard output.
Ctrl-C ends it, behind what was asked before.

Only an address that says so, such as 0.0.0.0:10053, is open to other machines, where
nobody is asked who they are.`,
		Example: `  heddle locator
  heddle locator --listen unix:/run/shop/locator --storage /var/lib/shop`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listen == "" {
				return usage("locator", "--listen is empty: want host:port or unix:/path")
			}
			if err := config.CheckLocator(listen); err != nil {
				return usage("locator", "--listen %s", err)
			}
			if err := checkJoin("locator", join); err != nil {
				return err
			}
			if storage == "" {
				if err := makeStateDir(stateDir()); err != nil {
					return err
				}
				storage = storagePath("locator")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			out := newOutlet(os.Stderr, outletLimit)
			defer out.Close(outletWait)
			log := slog.New(slog.NewTextHandler(out, nil))
			c, err := host.Start(host.Options{Locator: listen, Storage: storage, Cluster: true, Peers: join, Log: log, Verbosity: verbosity, Logger: log})
			if err != nil {
				return cloudFailure("locator --listen", listen, err)
			}
			if reachable(c.Addr()) {
				log.Warn("other machines may reach the locator; nobody is asked who they are", "locator", c.Addr())
			}
			out.Printf("ready %s", c.Addr())
			if asJSON {
				if err = json.NewEncoder(cmd.OutOrStdout()).Encode(locatorReady{c.Addr(), storage, os.Getpid()}); err != nil {
					stop()
				}
			}
			<-ctx.Done()
			closing, cancel := context.WithTimeout(context.Background(), cloudWait)
			defer cancel()
			_ = c.Close(closing) // once only
			return err
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&listen, "listen", host.DefaultLocator, "address of the locator: host:port or unix:/path")
	joinVar(cmd, &join, "")
	fs.StringVar(&storage, "storage", "", "directory of the service storage (default: locator.storage beside the control sockets)")
	fs.BoolVar(&asJSON, "json", false, `print {"locator","storage","pid"} when it serves`)
	return cmd
}
