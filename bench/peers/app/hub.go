package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A hub gives each event to all who listen. It ticks while there are any.
type hub struct {
	mu        sync.Mutex
	listeners map[chan []byte]bool // guarded by mu
	last      int64                // number of the last event; guarded by mu
	ticking   bool                 // guarded by mu
}

// queued is how many events a listener may be behind before it is dropped.
const queued = 64

func newHub() *hub { return &hub{listeners: make(map[chan []byte]bool)} }

// ServeHTTP ends when the client has gone or was dropped. Under net/http/fcgi
// only a failed write tells of the former.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	every, err := time.ParseDuration(r.FormValue("every"))
	if err != nil || every <= 0 {
		http.Error(w, "want every, a duration", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx keeps events back otherwise
	rc := http.NewResponseController(w)
	if err := rc.Flush(); err != nil {
		return
	}
	events := h.join(every)
	defer h.leave(events)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			if _, err := w.Write(e); err != nil {
				return
			}
			if err := rc.Flush(); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// join starts the ticking if nobody was listening.
func (h *hub) join(every time.Duration) chan []byte {
	events := make(chan []byte, queued)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[events] = true
	if !h.ticking {
		h.ticking = true
		go h.tick(every) // ends when nobody listens
	}
	return events
}

func (h *hub) leave(events chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, events)
}

func (h *hub) tick(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range tick.C {
		if !h.publish() {
			return
		}
	}
}

// publish tells whether anybody still listens.
func (h *hub) publish() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e := fmt.Appendf(nil, "data: %d %d\n\n", h.last, time.Now().UnixNano())
	for l := range h.listeners {
		select {
		case l <- e:
		default: // too slow; the loader counts it as failed
			delete(h.listeners, l)
			close(l)
		}
	}
	h.ticking = len(h.listeners) > 0
	return h.ticking
}
