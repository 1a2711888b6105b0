package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/gateway"
	"github.com/heddle-go/heddle/httpcompat/front"
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
	sig := watchSignals(parent)
	defer sig.stop()
	s, err := openFront(&o.front, nil, false, log)
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
	say("ready", "ready %s", strings.Join(s.URLs(), " "))
	select {
	case <-sig.ctx.Done():
	case err := <-s.Failed():
		return errors.Join(err, drainProxy(s, sig, o.drainTimeout, say))
	}
	return drainProxy(s, sig, o.drainTimeout, say)
}

// drainProxy finishes the requests that are being answered, unless that takes too
// long or a second signal comes.
func drainProxy(s *front.Server, sig signals, timeout time.Duration, say func(event, format string, args ...any)) error {
	say("draining", "draining: requests may take %v to finish; a second signal stops at once", timeout)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	late := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	drained := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends when drained is closed, at the latest
		select {
		case <-sig.hard:
			cancel(errInterrupted)
		case <-drained:
		}
	})
	err := s.Shutdown(ctx)
	close(drained)
	wg.Wait()
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
