package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// debian names the package of each program that may be needed.
var debian = map[string]string{"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client"}

// installTimeout bounds each call of apt-get.
const installTimeout = 5 * time.Minute

// install gets from Debian what is missing of programs, if it can, and says on
// standard error what it does. What is missing afterwards the caller notices
// by itself.
func install(ctx context.Context, programs []string) {
	var missing []string
	for _, p := range programs {
		if p == "" || slices.Contains(missing, p) {
			continue
		}
		if _, err := onPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 || os.Geteuid() != 0 {
		return
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return
	}
	get := func(args ...string) {
		fmt.Fprintln(os.Stderr, "bench/peers: apt-get", args)
		ctx, cancel := context.WithTimeout(ctx, installTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench/peers: apt-get: %v\n%s", err, out)
		}
	}
	get("update")
	for _, p := range missing { // one by one: one that fails leaves the others
		get("install", "-y", "--no-install-recommends", debian[p])
	}
}
