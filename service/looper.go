package service

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/heddle-go/heddle/loop"
)

// A looper has the loop of a Service, or of a Client and its services: one that
// was given, or one that it runs while it is needed.
type looper struct {
	given *loop.Loop
	log   *slog.Logger

	mu   sync.Mutex
	own  *loop.Loop
	done chan struct{} // closed when own has ended
}

// get returns the loop, which runs.
func (l *looper) get() (*loop.Loop, error) {
	if l.given != nil {
		return l.given, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own != nil {
		return l.own, nil
	}
	own, err := loop.New(loop.Options{Logger: l.log})
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	done := make(chan struct{})
	l.own, l.done = own, done
	go func() { // ends with stop
		defer close(done)
		if err := own.Run(); err != nil {
			l.log.Error("the loop of services has failed", "err", err)
		}
	}()
	return own, nil
}

// stop ends the loop that get has made. It waits for it.
func (l *looper) stop() {
	l.mu.Lock()
	own, done := l.own, l.done
	l.own = nil
	l.mu.Unlock()
	if own != nil {
		_ = own.Close()
		<-done
	}
}
