package main

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/admin"
	"github.com/heddle-go/heddle/loop"
)

// adminFlags are the flags of run, proxy and locator that concern who watches, as given.
type adminFlags struct {
	verb     string // whose they are
	listen   string // "": nobody
	anywhere bool
}

func (f *adminFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	f.verb = cmd.Name()
	fs.StringVar(&f.listen, "admin", "", "address for /metrics, /healthz, /readyz and /debug/pprof: a loopback host:port or unix:/path (default: none)")
	fs.BoolVar(&f.anywhere, "admin-anywhere", false, "let --admin be an address that other machines may reach; nobody there is asked who they are")
}

// address refuses what cannot be meant.
func (f *adminFlags) address() (a admin.Address, err error) {
	switch {
	case f.listen == "" && f.anywhere:
		return a, usage(f.verb, "--admin-anywhere needs --admin: the address")
	case f.listen == "":
		return a, nil
	}
	a, err = admin.ParseAddress(f.listen, f.anywhere)
	switch {
	case errors.Is(err, admin.ErrNotLoopback):
		return a, usage(f.verb, "--admin %s: %s. Give a loopback address such as 127.0.0.1:9180, or unix:/path; or --admin-anywhere, if only those who may see it can reach it", f.listen, err)
	case err != nil:
		return a, usage(f.verb, "--admin %s: %s", f.listen, err)
	}
	return a, nil
}

// adminFailure is what a person reads when the address cannot be had.
func adminFailure(verb string, a admin.Address, err error) error {
	f := &failure{code: exitError, err: fmt.Errorf("cannot serve --admin %s: %w", a, err), fine: "nothing was started.", try: "try: heddle " + verb + " --admin with another address"}
	if errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, loop.ErrNotSocket) {
		f.fine = "whoever serves there goes on; nothing was started."
	}
	return f
}
