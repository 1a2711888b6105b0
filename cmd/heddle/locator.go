package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/admin"
	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/host"
)

// A locatorReady is what locator --json says once it serves.
type locatorReady struct {
	Locator string `json:"locator"`
	Storage string `json:"storage"`
	Pid     int    `json:"pid"`
}

// locatorOptions are locator's flags.
type locatorOptions struct {
	listen, storage string
	join            []string
	admin           adminFlags
	json            bool
}

func newLocator() *cobra.Command {
	o := new(locatorOptions)
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
  heddle locator --listen unix:/run/shop/locator --storage /var/lib/shop
  heddle locator --join 10.0.0.1:10053 --admin 127.0.0.1:9180`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return serveLocator(ctx, o, cmd.OutOrStdout())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.listen, "listen", host.DefaultLocator, "address of the locator: host:port or unix:/path")
	joinVar(cmd, &o.join, "")
	fs.StringVar(&o.storage, "storage", "", "directory of the service storage (default: locator.storage beside the control sockets)")
	o.admin.add(cmd)
	fs.BoolVar(&o.json, "json", false, `print {"locator","storage","pid"} when it serves`)
	return cmd
}

// check refuses what cannot be meant.
func (o *locatorOptions) check() error {
	if o.listen == "" {
		return usage("locator", "--listen is empty: want host:port or unix:/path")
	}
	if err := config.CheckLocator(o.listen); err != nil {
		return usage("locator", "--listen %s", err)
	}
	if _, err := o.admin.address(); err != nil {
		return err
	}
	return checkJoin("locator", o.join)
}

// serveLocator serves until ctx ends.
func serveLocator(ctx context.Context, o *locatorOptions, stdout io.Writer) error {
	storage := o.storage
	if storage == "" {
		if err := makeStateDir(stateDir()); err != nil {
			return err
		}
		storage = storagePath("locator")
	}
	out := newOutlet(os.Stderr, outletLimit)
	defer out.Close(outletWait)
	log := slog.New(slog.NewTextHandler(out, nil))
	ls, err := startLoops(1, log)
	if err != nil {
		return err
	}
	defer ls.close()
	var cloud atomic.Pointer[host.Cloud]
	if o.admin.listen != "" {
		a, err := openLocatorAdmin(ctx, o, ls.list, &cloud, log)
		if err != nil {
			return err
		}
		defer a.Close()
		out.Printf("admin %s", a.URL())
	}
	c, err := host.Start(host.Options{Locator: o.listen, Loops: ls.list, Storage: storage, Cluster: true, Peers: o.join, Log: log, Verbosity: verbosity, Logger: log})
	if err != nil {
		return cloudFailure("locator --listen", o.listen, err)
	}
	cloud.Store(c)
	if reachable(c.Addr()) {
		log.Warn("other machines may reach the locator; nobody is asked who they are", "locator", c.Addr())
	}
	out.Printf("ready %s", c.Addr())
	if o.json {
		err = json.NewEncoder(stdout).Encode(locatorReady{c.Addr(), storage, os.Getpid()})
	}
	if err == nil {
		<-ctx.Done()
	}
	closing, cancel := context.WithTimeout(context.Background(), cloudWait)
	defer cancel()
	_ = c.Close(closing) // once only
	return err
}

// openLocatorAdmin serves the pages of --admin.
func openLocatorAdmin(ctx context.Context, o *locatorOptions, loops []*loop.Loop, cloud *atomic.Pointer[host.Cloud], log *slog.Logger) (*admin.Server, error) {
	return o.admin.open(admin.Source{
		State: func() string {
			switch {
			case ctx.Err() != nil:
				return stateDraining
			case cloud.Load() == nil:
				return stateStarting
			}
			return admin.Serving
		},
		Control: loops[0],
		Loops:   func() []*loop.Loop { return loops },
		Front:   func() admin.Front { return nil },
		Apps:    func() []admin.App { return nil },
		Cloud: func() admin.Cloud {
			if c := cloud.Load(); c != nil {
				return c
			}
			return nil
		},
	}, log)
}
