package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/admin"
	"github.com/heddle-go/heddle/cmd/internal/gateway"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
)

// serveProxy runs a proxy until it has been drained or stopped.
func serveProxy(parent context.Context, o *proxyOptions) error {
	out := newOutlet(os.Stderr, outletLimit)
	defer out.Close(outletWait) // before the error is printed
	var h slog.Handler = slog.NewTextHandler(out, nil)
	if o.json {
		h = slog.NewJSONHandler(out, nil)
	}
	log := slog.New(h)
	tell := newHerald(log)
	defer tell.close()
	sig := watchSignals(parent)
	defer sig.stop()
	s, err := openFront(&o.front, tell.manager.Sockets, o.admin.listen != "", log)
	if err != nil {
		return err
	}
	defer s.Close()
	ls, err := startLoops(o.loops, log)
	if err != nil {
		return err
	}
	defer ls.close()
	timeout := o.timeout
	if timeout == 0 {
		timeout = -1
	}
	g, err := gateway.New(gateway.Options{
		Locators: o.locators, Dialect: dialects[o.dialect], Loops: ls.list, Logger: log,
		Timeout: timeout, ConnectTimeout: o.connectTimeout, Refresh: o.refresh, JSONRPC: o.jsonRPC,
	})
	if err != nil {
		return err
	}
	defer g.Close()
	defer s.Close() // before what it asks
	l := o.front.limits
	g.SetLimits(front.AppLimits{WriteTimeout: l.WriteTimeout, MaxBody: l.MaxBody})
	if err := s.Serve(g, g); err != nil {
		return err
	}
	say := func(event, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); o.json {
			log.Info(text, "event", event)
		} else {
			out.Printf("%s", text)
		}
	}
	var draining atomic.Bool
	if o.admin.listen != "" {
		a, err := openProxyAdmin(o, s, g, ls.list, &draining, log)
		if err != nil {
			return err
		}
		defer a.Close()
		say("admin", "admin %s", a.URL())
	}
	say("ready", "ready %s", strings.Join(s.URLs(), " "))
	tell.serves(func() string {
		st := g.Stats()
		return fmt.Sprintf("%d apps, %d connections", st.Apps, st.Connections)
	}, ls.list)
	select {
	case <-sig.ctx.Done():
	case err = <-s.Failed():
	}
	draining.Store(true)
	tell.stops(o.drainTimeout)
	if err != nil {
		return errors.Join(err, drainProxy(s, sig, o.drainTimeout, say))
	}
	return drainProxy(s, sig, o.drainTimeout, say)
}

// openProxyAdmin serves the pages of --admin.
func openProxyAdmin(o *proxyOptions, s *front.Server, g *gateway.Gateway, loops []*loop.Loop, draining *atomic.Bool, log *slog.Logger) (*admin.Server, error) {
	return o.admin.open(admin.Source{
		State: func() string {
			switch {
			case draining.Load():
				return stateDraining
			case !g.Alive():
				return "without a locator"
			}
			return admin.Serving
		},
		Control: loops[0],
		Loops:   func() []*loop.Loop { return loops },
		Front:   func() admin.Front { return s },
		Proxy:   g,
		Apps: func() (list []admin.App) {
			for _, name := range g.Apps() {
				list = append(list, admin.App{Name: name, Elsewhere: true})
			}
			return list
		},
	}, log)
}

// drainProxy finishes the requests that are being answered, unless that takes too
// long or a second signal comes.
func drainProxy(s *front.Server, sig signals, timeout time.Duration, say func(event, format string, args ...any)) error {
	say("draining", "draining: requests may take %v to finish; a second signal stops at once", timeout)
	ctx, stop := drainTime(sig, timeout)
	err := s.Shutdown(ctx)
	stop()
	if err == nil {
		say("stopped", "stopped: every request taken was answered")
		return nil
	}
	cut := noun(int(s.Active()), "request")
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return &failure{code: exitError, err: fmt.Errorf("stopped at once, as asked; %s cut off", cut), fine: "nothing is left running."}
	}
	return &failure{
		code: exitTimeout,
		err:  fmt.Errorf("%s cut off, not having finished within %v", cut, timeout),
		fine: "every other request was answered; nothing is left running.",
		try:  "try: heddle proxy with a longer --drain-timeout",
	}
}
