package worker

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// A watch holds SIGINT and SIGTERM back from their default, which is to end
// the process.
type watch struct {
	termed atomic.Bool // SIGTERM has come
	stop   func()
}

// watchSignals begins to watch. Signals are caught and not ignored, which
// children would inherit.
func (w *Worker) watchSignals() *watch {
	s := &watch{stop: func() {}}
	if w.options.NoSignals {
		return s
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	end, ended := make(chan struct{}), make(chan struct{})
	s.stop = func() {
		signal.Stop(signals)
		close(end)
		<-ended
	}
	go func() { // ends with stop
		defer close(ended)
		for {
			select {
			case sig := <-signals:
				if sig == syscall.SIGTERM {
					s.termed.Store(true)
					w.current().leave("SIGTERM", w.options.ShutdownTimeout)
				}
			case <-end:
				return
			}
		}
	}()
	return s
}
