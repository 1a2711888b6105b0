package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/systemd"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/worker/engine"
)

// frontFlags are the flags of run and proxy that concern clients, as given. In durations
// and MaxBody zero means no limit.
type frontFlags struct {
	verb    string // whose they are
	listen  []string
	trusted []string
	mode    string // of unix sockets, octal
	group   string // of theirs; "": the daemon's

	chosen func() bool // whether --listen was given, or the configuration says it
	filed  bool        // the configuration says it

	tls    front.TLSFiles
	limits front.Limits

	access func(*front.Access) // nil: nobody is told of requests
}

func (f *frontFlags) add(cmd *cobra.Command) {
	fs, l := cmd.Flags(), &f.limits
	f.verb = cmd.Name()
	f.chosen = func() bool { return f.filed || fs.Changed("listen") }
	fs.StringArrayVar(&f.listen, "listen", []string{"127.0.0.1:8080"}, "address to serve on: host:port, unix:/path, or fd:NAME for a socket that systemd passes; proxy: before it where connections begin with a PROXY protocol header; repeatable; without it, all that systemd passes")
	fs.StringVar(&f.mode, "listen-mode", "0600", "permissions of unix:/path addresses, octal: 0660 lets the group's members connect")
	fs.StringVar(&f.group, "listen-group", "", "group of unix:/path addresses, a name or number (default: the daemon's)")
	fs.StringVar(&f.tls.Cert, "tls-cert", "", "PEM file of the certificate and its chain: host:port addresses speak TLS; taken anew when it changes")
	fs.StringVar(&f.tls.Key, "tls-key", "", "PEM file of the certificate's key")
	fs.StringVar(&f.tls.ClientCA, "tls-client-ca", "", "PEM file of authorities: clients must show a certificate of theirs")
	fs.BoolVar(&f.tls.Optional, "tls-client-optional", false, "let clients without a certificate in, too")
	fs.StringSliceVar(&f.trusted, "trusted-proxies", nil, "whose X-Forwarded-* and Forwarded are believed: networks such as 10.0.0.0/8, addresses, or the word unix")
	fs.DurationVar(&l.ReadHeaderTimeout, "read-header-timeout", front.DefaultReadHeaderTimeout, "how long a request's head may take; 0: no limit")
	fs.DurationVar(&l.ReadTimeout, "read-timeout", 0, "how long a request may take to come, with its body; 0: no limit")
	fs.DurationVar(&l.WriteTimeout, "write-timeout", 0, "how long a client may take nothing in of an answer; 0: no limit")
	if f.verb != "proxy" { // which calls it --timeout
		fs.DurationVar(&l.ResponseHeaderTimeout, "response-header-timeout", 0, "how long a worker may take to begin its answer once it has the request; then 504; 0: no limit")
	}
	fs.DurationVar(&l.IdleTimeout, "idle-timeout", front.DefaultIdleTimeout, "how long a connection may be without a request; 0: no limit")
	fs.IntVar(&l.MaxHeaderBytes, "max-header-bytes", front.MostHeaderBytes, "bytes of a request's head; more get 431")
	fs.IntVar(&l.MaxHeaders, "max-headers", front.MostHeaders, "header fields of a request; more get 431")
	fs.Int64Var(&l.MaxBody, "max-body-bytes", 0, "bytes of a request's body; more get 413; 0: no limit")
	fs.IntVar(&l.MaxClients, "max-clients", 0, "connections of each address in clear; more are reset; 0: nearly as many as there may be descriptors")
}

// leastHeaderBytes is enough for what any browser sends without cookies.
const leastHeaderBytes = 1 << 10

// options refuses what cannot be meant. Files are not looked at.
func (f *frontFlags) options(log *slog.Logger) (o front.Options, err error) {
	o = front.Options{TLS: f.tls, Limits: f.limits, Logger: log, OnAccess: f.access}
	if len(f.listen) == 0 {
		return o, usage(f.verb, "--listen is empty: want host:port, unix:/path or fd:NAME")
	}
	mode, err := strconv.ParseUint(f.mode, 8, 32)
	if err != nil || mode == 0 || mode > 0o777 {
		return o, usage(f.verb, "--listen-mode %s: want octal digits such as 0660", f.mode)
	}
	var gid *int
	if f.group != "" {
		u, err := engine.LookupUser("", f.group)
		if err != nil {
			return o, usage(f.verb, "--listen-group: %s", err)
		}
		gid = &u.GID
	}
	for _, a := range f.listen {
		l, err := front.ParseListener(a)
		if err != nil {
			return o, usage(f.verb, "--listen %s: %s", a, err)
		}
		if _, ok := l.Path(); ok {
			l.Mode, l.GID = os.FileMode(mode), gid
		}
		o.Listeners = append(o.Listeners, l)
	}
	switch t := f.tls; {
	case t.Cert != "" && t.Key == "":
		return o, usage(f.verb, "--tls-cert needs --tls-key: the certificate's key")
	case t.Cert == "" && t.Key != "":
		return o, usage(f.verb, "--tls-key needs --tls-cert: the key's certificate")
	case t.ClientCA != "" && t.Cert == "":
		return o, usage(f.verb, "--tls-client-ca needs --tls-cert and --tls-key: only TLS has certificates")
	case t.Optional && t.ClientCA == "":
		return o, usage(f.verb, "--tls-client-optional needs --tls-client-ca")
	}
	if o.Trusted, err = front.ParseTrusted(f.trusted); err != nil {
		return o, usage(f.verb, "--trusted-proxies: %s", err)
	}
	l := &o.Limits
	for _, d := range []struct {
		flag  string
		value *time.Duration
	}{
		{"read-header-timeout", &l.ReadHeaderTimeout}, {"read-timeout", &l.ReadTimeout}, {"write-timeout", &l.WriteTimeout}, {"response-header-timeout", &l.ResponseHeaderTimeout}, {"idle-timeout", &l.IdleTimeout},
	} {
		switch {
		case *d.value < 0:
			return o, usage(f.verb, "--%s %v: want a duration such as 30s, or 0 for no limit", d.flag, *d.value)
		case *d.value == 0:
			*d.value = -1 // zero would be the default
		}
	}
	switch {
	case l.MaxHeaderBytes < leastHeaderBytes || l.MaxHeaderBytes > front.MostHeaderBytes:
		return o, usage(f.verb, "--max-header-bytes %d: want a number from %d to %d", l.MaxHeaderBytes, leastHeaderBytes, front.MostHeaderBytes)
	case l.MaxHeaders < 1 || l.MaxHeaders > front.MostHeaders:
		return o, usage(f.verb, "--max-headers %d: want a number from 1 to %d", l.MaxHeaders, front.MostHeaders)
	case l.MaxBody < 0:
		return o, usage(f.verb, "--max-body-bytes %d: want a number, or 0 for no limit", l.MaxBody)
	case l.MaxClients > front.MostClients() && front.MostClients() > 0:
		return o, usage(f.verb, "--max-clients %d: this process may have too few descriptors for more than %d; raise ulimit -n", l.MaxClients, front.MostClients())
	case l.MaxClients < 0:
		return o, usage(f.verb, "--max-clients %d: want a number, or 0 for nearly as many as there may be descriptors", l.MaxClients)
	}
	return o, nil
}

// openFront takes the addresses, and of sockets those that they mean, without
// accepting anything yet: what connects meanwhile waits. Counted says that
// somebody may want to see Tallies.
func openFront(f *frontFlags, sockets []*systemd.Socket, counted bool, log *slog.Logger) (*front.Server, error) {
	o, err := f.options(log)
	if err != nil {
		return nil, err
	}
	o.Tallies, o.ShortIDs = counted, f.verb == "proxy"
	if o.Listeners, err = inherit(o.Listeners, f.chosen(), sockets, log); err != nil {
		return nil, err
	}
	s, err := front.Open(o)
	var le *front.ListenError
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &le):
		return nil, listenFailure(f.verb, le)
	}
	return nil, &failure{
		code: exitError,
		err:  err,
		fine: "nothing was started.",
		try:  "try: heddle " + f.verb + " --tls-cert with a PEM file of the certificate and its chain, --tls-key with one of its key",
	}
}

// listenFailure is what a person reads when an address cannot be taken.
func listenFailure(verb string, e *front.ListenError) error {
	addr, err := e.Listener.Address, e.Err
	f := &failure{code: exitError, err: fmt.Errorf("cannot listen on %s: %w", addr, err), fine: "nothing was started."}
	path, isPath := e.Listener.Path()
	target := ""
	if verb == "run" {
		target = " TARGET"
	}
	switch {
	case errors.Is(err, loop.ErrNotSocket): // EADDRINUSE too
		f.err = fmt.Errorf("cannot listen on %s: %s exists and is not a socket; it is left as it is", addr, path)
		f.try = "try: heddle " + verb + " --listen with another path"
	case isPath && errors.Is(err, syscall.EADDRINUSE) && errors.Is(err, syscall.EACCES): // a socket that we may not ask
		f.err = fmt.Errorf("cannot listen on %s: %s exists, and whether somebody serves there cannot be told: %w", addr, path, syscall.EACCES)
		f.try = "try: heddle " + verb + " --listen with another path"
	case errors.Is(err, syscall.EADDRINUSE):
		f.err = fmt.Errorf("cannot listen on %s: somebody serves there already", addr)
		f.fine = "whoever does goes on; nothing was started."
		f.try = "try: heddle " + verb + " --listen 127.0.0.1:0" + target + " takes a free port; ss -lptn shows who has this one"
		if isPath {
			f.try = "try: heddle " + verb + " --listen with another path; ss -lpx shows who has this one"
		}
	case isPath && errors.Is(err, syscall.EPERM):
		f.try = "try: heddle " + verb + " --listen-group with a group that this user is in"
	case errors.Is(err, syscall.EACCES):
		f.try = "try: heddle " + verb + " --listen with a port from 1024 on, or a path where you may write"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.try = "try: heddle " + verb + " --listen with an address of this machine (ip addr), or :PORT for all"
	}
	return f
}
