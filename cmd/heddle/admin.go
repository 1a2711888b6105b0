package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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

// open serves the pages of --admin, which was given: what src tells, and this build's
// version.
func (f *adminFlags) open(src admin.Source, log *slog.Logger) (*admin.Server, error) {
	a, err := f.address()
	if err != nil {
		return nil, err
	}
	info, _ := debug.ReadBuildInfo() // nil without modules: then nothing is known
	v := versionOf(info)
	src.Version, src.Revision = v.Version, v.Commit
	srv, err := admin.Open(admin.Options{Address: a, Source: src, Logger: log})
	if err == nil {
		return srv, nil
	}
	told := &failure{code: exitError, err: fmt.Errorf("cannot serve --admin %s: %w", a, err), fine: "nothing was started.", try: "try: heddle " + f.verb + " --admin with another address"}
	if errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, loop.ErrNotSocket) {
		told.fine = "whoever serves there goes on; nothing was started."
	}
	return nil, told
}
