package worker

import (
	"errors"
	"time"

	"github.com/heddle-go/heddle/codec"
)

// abandon leaves although sessions are open. What is queued is still sent.
func (l *life) abandon(err error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.lifecycle.current() == StateConnecting {
		l.endLocked(eventFail, err, abort)
		return
	}
	l.endLocked(eventLose, err, deliver)
}

// lose ends the life because a channel broke.
func (l *life) lose(err error) {
	l.w.mu.Lock()
	l.loseLocked(err)
	l.w.mu.Unlock()
}

func (l *life) loseLocked(err error) {
	event := eventLose
	if l.w.lifecycle.current() == StateConnecting {
		event = eventFail
	}
	l.endLocked(event, err, abort)
}

// end makes the last event happen and drops what is unsent. It returns false
// if the event may not happen now.
func (l *life) end(event string, err error) bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.endLocked(event, err, abort)
}

func (l *life) endLocked(event string, err error, how parting) bool {
	if l.w.life != l || l.over.Load() && event != eventClose || !l.w.lifecycle.fireLocked(event) {
		return false
	}
	closed := l.over.Swap(true)
	if !closed {
		l.err = err
		l.tell(event, err)
		if event != eventFail { // the program may try again
			l.w.standing.ending.set(true)
		}
	}
	if l.ending.due && how != abort {
		// Behind every answer. A failed send ends the channel.
		_ = l.ending.on.mux.Send(codec.AppendTerminate(nil, l.w.launch.Dialect, l.ending.code, l.ending.reason))
	}
	for _, c := range l.channels {
		c.partLocked(how, err)
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	if how != abort {
		l.timer = time.AfterFunc(farewell, l.cut)
	}
	l.sweepLocked()
	return true
}

// tell has the callback of the last event called.
func (l *life) tell(event string, err error) {
	o := &l.w.options
	switch event {
	case eventFail, eventLose:
		if o.OnError != nil {
			l.w.events.post(func() { o.OnError(err) })
		}
	case eventDisown:
		l.w.events.post(o.OnDisown)
	}
}

// cut ends a farewell that the engine does not answer.
func (l *life) cut() {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	for _, c := range l.channels {
		c.partLocked(abort, l.err)
	}
}

// sweepLocked ends the loop once the last channel is gone.
func (l *life) sweepLocked() {
	if !l.over.Load() || l.closing {
		return
	}
	for _, c := range l.channels {
		if !c.gone {
			return
		}
	}
	l.closing = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.pool.close()
	if l.loop == nil {
		close(l.done)
		return
	}
	go func() { // ends with the loop, which is idle
		_ = l.loop.Close()
		<-l.ran
		close(l.done)
	}()
}

// settle waits, but not for ever, until no handler runs and every callback has
// returned.
func (l *life) settle(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	if !errors.Is(l.reason(), ErrDeadline) { // they had their time
		select {
		case <-l.pool.quiet():
		case <-t.C:
			return
		}
	}
	select {
	case <-l.w.events.told():
	case <-t.C:
	}
}

// reason is why the life ended, nil in order or while it lasts.
func (l *life) reason() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.err
}
