package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
)

// cloudFlags are the flags of run that make the daemon a small cloud, as given.
type cloudFlags struct {
	locator    string // "": it is none
	join       []string
	storage    string // "": by the daemon's name
	allowStart string // "": nothing may be started
}

func (f *cloudFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.locator, "locator", "", "be a small cloud: serve a locator, and by it logging, storage, node and the apps, at host:port or unix:/path (default: none)")
	joinVar(cmd, &f.join, "with --locator: ")
	fs.StringVar(&f.storage, "storage", "", "with --locator: directory of the service storage (default: NAME.storage beside the control sockets)")
	fs.StringVar(&f.allowStart, "allow-start", "", "with --locator: directory whose programs clients may have the service node start, by name (default: none)")
}

// check refuses what cannot be meant.
func (f *cloudFlags) check() error {
	if f.locator == "" && (f.storage != "" || len(f.join) > 0 || f.allowStart != "") {
		return usage("run", "--storage, --join and --allow-start are for a cloud; they need --locator")
	}
	if err := config.CheckLocator(f.locator); err != nil {
		return usage("run", "--locator %s", err)
	}
	return checkJoin("run", f.join)
}

// joinVar adds the flag that names neighbours.
func joinVar(cmd *cobra.Command, p *[]string, prefix string) {
	cmd.Flags().StringSliceVar(p, "join", nil, prefix+"locator of dialect v1, host:port or unix:/path, whose services this one knows, too; repeatable")
}

// checkJoin refuses what is no locator's address.
func checkJoin(verb string, list []string) error {
	for _, s := range list {
		if err := config.CheckCloud(s); err != nil || s == "" {
			return usage(verb, "--join %q: want host:port or unix:/path", s)
		}
	}
	return nil
}

// A cloudStatus is what a daemon says of the cloud that it is.
type cloudStatus struct {
	Locator string   `json:"locator"`
	Started []string `json:"started,omitempty"` // apps that clients had the service node start
}

// cloudWait is how long clients of the cloud may take to hear the last answers.
const cloudWait = time.Second

// verbosity is what of the service logging's lines the daemon's log has: its level
// is info, 1 by dialect v1's numbers.
const verbosity = 1

// cloudFailure is what a person reads when a cloud cannot be served.
func cloudFailure(verb, address string, err error) error {
	f := &failure{code: exitError, err: fmt.Errorf("cannot serve a cloud at %s: %w", address, err), fine: "nothing was started.", try: "try: heddle " + verb + " with another address"}
	if errors.Is(err, syscall.EADDRINUSE) {
		f.fine = "whoever serves there goes on; nothing was started."
	}
	var op *net.OpError
	var path *fs.PathError
	if !errors.As(err, &op) && errors.As(err, &path) { // it is not about the address
		f.err = fmt.Errorf("the storage cannot be there: %w", path)
		f.try = "try: --storage with another directory"
	}
	return f
}

// reachable says whether other machines may reach an address.
func reachable(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && !strings.HasPrefix(addr, "unix:") && (ip == nil || !ip.IsLoopback())
}

// nearLocator is where a locator that listens at all addresses is reached from here.
func nearLocator(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	switch {
	case strings.HasPrefix(addr, "unix:") || err != nil || ip != nil && !ip.IsUnspecified():
		return addr
	case ip != nil && ip.To4() == nil:
		return net.JoinHostPort("::1", port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}
