package worker

import "sync"

// events call the callbacks of Options one after the other, in the order in
// which things happened, on a goroutine that lives while there are any.
type events struct {
	mu      sync.Mutex
	queue   []func()
	running bool
	idle    chan struct{} // closed when running ends; made by whoever waits
}

// post has f called. It never blocks; nil is skipped.
func (e *events) post(f func()) {
	if f == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, f)
	if !e.running {
		e.running = true
		go e.run() // ends when the queue is empty
	}
}

func (e *events) run() {
	for {
		e.mu.Lock()
		if len(e.queue) == 0 {
			e.running = false
			if e.idle != nil {
				close(e.idle)
				e.idle = nil
			}
			e.mu.Unlock()
			return
		}
		f := e.queue[0]
		e.queue = e.queue[1:]
		e.mu.Unlock()
		f()
	}
}

// told returns a channel that is closed once every callback posted so far has
// returned.
func (e *events) told() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running {
		c := make(chan struct{})
		close(c)
		return c
	}
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	return e.idle
}
