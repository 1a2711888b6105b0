package service

import (
	"fmt"
	"log/slog"
)

// A logEntry waits to be sent.
type logEntry struct {
	n       uint64 // counts up from 1
	level   slog.Level
	message string
	attrs   attrs
	report  uint64 // it says that so many were dropped
}

// size is what an entry counts for in LoggerOptions.PendingBytes.
func (e *logEntry) size() int { return len(e.message) + len(e.attrs.p) + 64 }

// A flush waits until the service has read all up to an entry.
type flush struct {
	until uint64
	done  chan error // has room for the answer
}

// put queues an entry. It reports whether the Logger still sends.
func (l *Logger) put(e logEntry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		l.dropped++
		return false
	}
	l.last++
	e.n = l.last
	if l.head == len(l.queue) {
		l.nudge() // else it is there already, or run is about to look
	}
	if l.head > l.o.Pending {
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue, l.head = l.queue[:n], 0
	}
	l.queue = append(l.queue, e)
	l.bytes += e.size()
	l.trimLocked()
	return true
}

// trimLocked drops what is too much.
func (l *Logger) trimLocked() {
	for len(l.queue)-l.head > l.o.Pending || l.bytes > l.o.PendingBytes {
		l.popLocked()
		l.dropped++
		l.unreported++
	}
}

func (l *Logger) popLocked() logEntry {
	e := l.queue[l.head]
	l.queue[l.head] = logEntry{}
	l.head++
	l.bytes -= e.size()
	if l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	return e
}

// next is what to send now, or else who waits for the entries before.
func (l *Logger) next() (e logEntry, ok bool, due []flush) {
	l.mu.Lock()
	defer l.mu.Unlock()
	empty := l.head == len(l.queue)
	// Not amid a flood, in which every other entry would be a report.
	if n := l.unreported; n > 0 && (l.fresh || empty) {
		l.unreported, l.fresh = 0, false
		e = logEntry{level: slog.LevelWarn, message: fmt.Sprintf("%d entries before this one were dropped", n), report: n}
		e.attrs.add("", slog.Uint64("dropped", n), 0)
		return e, true, nil
	}
	l.fresh = false
	keep := l.flushes[:0]
	for _, f := range l.flushes {
		if empty || l.queue[l.head].n > f.until {
			due = append(due, f)
		} else {
			keep = append(keep, f)
		}
	}
	l.flushes = keep
	if len(due) > 0 || empty {
		return e, false, due
	}
	return l.popLocked(), true, nil
}

// back returns an entry to the front, since it was not sent. If there is no room
// any more it is dropped, as the oldest.
func (l *Logger) back(e logEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.report > 0 {
		l.unreported += e.report // of the next connection
		return
	}
	if l.head > 0 {
		l.head--
		l.queue[l.head] = e
	} else {
		l.queue = append([]logEntry{e}, l.queue...)
	}
	l.bytes += e.size()
	l.trimLocked()
}
