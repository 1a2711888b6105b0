package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Signals are what SIGINT and SIGTERM ask of a daemon: the first one ends ctx,
// whose cause names it, and the second one hard. SIGHUP reloads; // so is SIGPIPE: a daemon whose standard error goes into a pipe outlives its
// reader. They are caught, not set to be ignored, because workers would inherit
// that. SIGQUIT is watchQuit's and
// SIGUSR1 watchReopen's.
type signals struct {
	ctx  context.Context
	hard <-chan struct{}
	ask  func(why error) // like the first signal, if none has come
	stop func()
}

// sameSignal is how soon a signal is still the one before: timeout(1), for
// example, sends each to the process and to its group. Nobody presses Ctrl-C
// twice that fast.
const sameSignal = 100 * time.Millisecond

func watchSignals(parent context.Context) signals {
	ctx, cancel := context.WithCancelCause(parent)
	asked := make(chan os.Signal, 2)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM)
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	hard, quit := make(chan struct{}), make(chan struct{})
	soft := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { // ends with stop
		defer cancel(nil)
		select {
		case s := <-asked:
			cancel(fmt.Errorf("%w (%v)", errInterrupted, s))
		case why := <-soft:
			cancel(why)
		case <-quit:
			return
		}
		first := time.Now()
		for {
			select {
			case <-asked:
				if time.Since(first) < sameSignal {
					continue
				}
				close(hard)
				<-quit
				return
			case <-quit:
				return
			}
		}
	})
	ask := func(why error) {
		select {
		case soft <- why:
		default:
		}
	}
	var once sync.Once
	return signals{ctx, hard, ask, func() {
		once.Do(func() {
			signal.Stop(asked)
			signal.Stop(ignored)
			close(quit)
			wg.Wait()
		})
	}}
}
