package main

import (
	"context"
	"os"
	"time"

	"github.com/heddle-go/heddle/bench/internal/daemon"
)

// ourCloud is what the table calls a daemon of ours that is a cloud.
const ourCloud = "heddle run --locator"

// own starts a daemon that is a cloud, with our worker as the app appName. An
// argument makes it one of two events.
func (r *rig) own(ctx context.Context, args ...string) (d *daemon.Daemon, locator string, err error) {
	dir, err := os.MkdirTemp(r.dir, "d")
	if err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	locator = "127.0.0.1:" + port
	d, err = daemon.Start(ctx, daemon.Options{
		Heddle: r.heddle, Dir: dir, Target: r.worker, Args: args,
		Flags: []string{"--name", appName, "--workers", "2", "--drain-timeout", time.Second.String(), "--locator", locator},
	})
	return d, locator, err
}

// clientOfOurs: the same client in a cloud of ours.
func (r *rig) clientOfOurs(ctx context.Context, p *peer, note notes) error {
	d, locator, err := r.own(ctx, "events")
	if err != nil {
		return err
	}
	defer d.Stop()
	return r.client(ctx, p, locator, note)
}

// proxyOfOurs: HTTP through a real proxy and our daemon to our worker.
func (r *rig) proxyOfOurs(ctx context.Context, p *peer, note notes) error {
	d, locator, err := r.own(ctx)
	if err != nil {
		return err
	}
	defer d.Stop()
	return r.proxied(ctx, p, locator, note)
}
