package service

import (
	"errors"
	"math/rand/v2"
	"time"

	heddle "github.com/heddle-go/heddle"
)

// run connects and sends until the Logger is closed.
func (l *Logger) run() {
	defer close(l.done)
	defer l.end()
	log, down := l.o.Logger.With("service", l.o.Name, "source", l.source), false
	for tries := 0; ; tries++ {
		err := l.s.Connect(l.ctx)
		at := time.Now()
		if err == nil {
			if down {
				log.Info("logging: connected again", "dropped", l.Counters().Dropped)
				down = false
			}
			l.serve()
			l.s.Close()
		}
		if l.ctx.Err() != nil || errors.Is(err, ErrClosed) { // the Client's end
			return
		}
		if err != nil && !down {
			log.Warn("logging: not connected; entries wait, as long as there is room", "err", err)
			down = true
		}
		if err == nil && time.Since(at) > longRest {
			tries = 0
		}
		t := time.NewTimer(rest(tries))
		select {
		case <-t.C:
		case <-l.ctx.Done():
			t.Stop()
			return
		}
	}
}

// longRest is the longest pause between two attempts to connect.
const longRest = 10 * time.Second

// rest is the pause before attempt n, from 0: it doubles from 100 ms, and is up to
// half shorter by chance. It is a Service's own pause (ReconnectAlways) once more:
// what is not exported is not for the Logger (K15).
func rest(n int) time.Duration {
	d := min(100*time.Millisecond<<min(n, 10), longRest)
	return d - rand.N(d/2)
}

// end is that of run.
func (l *Logger) end() {
	l.cancel()
	l.s.Close()
	l.mu.Lock()
	l.over = true
	l.dropped += uint64(len(l.queue) - l.head)
	l.queue, l.head, l.bytes = nil, 0, 0
	flushes := l.flushes
	l.flushes = nil
	l.mu.Unlock()
	for _, f := range flushes {
		f.done <- ErrClosed
	}
}

// serve sends on one connection, until it is of no use any more.
func (l *Logger) serve() {
	l.unanswered = 0
	_ = l.ask() // without an answer it stays as it was
	l.mu.Lock()
	l.fresh = true
	l.mu.Unlock()
	for {
		e, ok, due := l.next()
		switch {
		case ok:
			if !l.send(e) {
				return
			}
		case len(due) > 0:
			err := l.ask()
			var said *Error
			if errors.As(err, &said) || errors.Is(err, ErrNoMethod) {
				err = nil // that it does not know the question is an answer, too
			}
			for _, f := range due {
				f.done <- err
			}
		case l.s.State() != StateConnected:
			return
		default:
			select {
			case <-l.wake:
			case <-l.ctx.Done():
				return
			}
		}
	}
}

// ask asks for the verbosity. Whatever is no number is no answer.
func (l *Logger) ask() error {
	n, err := Call[*int64](l.ctx, l.s, verbosity)
	d, ok := l.s.Dialect()
	if err == nil && n != nil && ok {
		l.least.Store(int64(threshold(d, *n)))
	}
	return err
}

// mostUnanswered is how many entries are under way in v0, which answers each one.
const mostUnanswered = 256

// send sends an entry, unless the service does not want it. False: the connection
// is of no use.
func (l *Logger) send(e logEntry) bool {
	d, ok := l.s.Dialect()
	if !ok {
		l.back(e)
		return false
	}
	if !l.Enabled(e.level) {
		return true // the answer has come since it was taken
	}
	if l.unanswered++; d == heddle.V0 && l.unanswered%mostUnanswered == 0 {
		_, err := l.s.Call(l.ctx, emitted, &e)
		var said *Error
		if err != nil && !errors.As(err, &said) {
			return false // it may have come: it is not sent again
		}
		l.count(e)
		return true
	}
	_, err := l.s.Call(l.ctx, emit, &e)
	switch {
	case err == nil:
		l.count(e)
	case errors.Is(err, ErrDisconnected), errors.Is(err, ErrClosed), errors.Is(err, ErrTimeout), errors.Is(err, ErrNoMethod), l.ctx.Err() != nil,
		l.s.State() != StateConnected:
		l.back(e)
		return false
	default: // it is the entry that cannot be sent
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
	}
	return true
}

func (l *Logger) count(e logEntry) {
	if e.report > 0 {
		return
	}
	l.mu.Lock()
	l.sent++
	l.mu.Unlock()
}
