package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"

	"github.com/heddle-go/heddle/cmd/internal/logs"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/session/ipc"
)

// newAccess begins the access log of a front of n loops; nil: nobody wants one.
func newAccess(f *logFlags, n int, log *slog.Logger) *logs.Access {
	if f.access == "" {
		return nil
	}
	return logs.NewAccess(logs.AccessOptions{File: f.file(f.access), JSON: f.accessFormat == formatJSON, Loops: n, Logger: log})
}

// onAccess is for the front; nil when nobody wants to know.
func onAccess(l *logs.Access) func(*front.Access) {
	if l == nil {
		return nil
	}
	return l.Log
}

func accessStats(l *logs.Access) *logs.SinkStats {
	if l == nil {
		return nil
	}
	st := l.Stats()
	return &st
}

// answerLogs answers the topic logs.
func (d *daemon) answerLogs(ctx context.Context, r *ipc.Request) error {
	of, err := d.appOf(r.Payload)
	if err != nil {
		return refuse(r, err)
	}
	var q logs.Query
	if err := json.Unmarshal(r.Payload, &q); err != nil {
		return fmt.Errorf("what was asked is not the JSON of a query: %w", err)
	}
	return of.output.Stream(ctx, q, r.Reply)
}

// watchSignal calls do at each such signal. Stop ends it.
func watchSignal(sig os.Signal, do func()) (stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, sig)
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with stop
		for {
			select {
			case <-asked:
				do()
			case <-quit:
				return
			}
		}
	})
	return func() {
		signal.Stop(asked)
		close(quit)
		wg.Wait()
	}
}

// reopenLogs opens the files anew, for whoever has moved them away: SIGUSR1.
func (d *daemon) reopenLogs() {
	for _, a := range d.running() {
		a.output.Reopen()
	}
	d.mu.Lock()
	access := d.access
	d.mu.Unlock()
	if access != nil {
		access.Reopen()
	}
}
