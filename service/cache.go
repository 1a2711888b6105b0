package service

import (
	"context"
	"sync"
	"time"
)

// A cache has the answers of locators for a while. Equal questions at one time are
// asked once.
type cache struct {
	keep time.Duration // below 0: not at all
	most int

	mu      sync.Mutex
	entries map[string]entry
	asking  map[string]*question
	asks    sync.WaitGroup
	shut    bool
}

type entry struct {
	target
	until time.Time
}

// A question is one that is being asked.
type question struct {
	waiters int // guarded by the cache's mu
	cancel  context.CancelFunc

	done chan struct{} // closed when what follows is set
	target
	err error
}

func newCache(keep time.Duration, most int) *cache {
	return &cache{keep: keep, most: most, entries: make(map[string]entry), asking: make(map[string]*question)}
}

// get returns what is known of name, or what ask says. If everybody who waits for
// an answer has gone, the context of ask ends.
func (c *cache) get(ctx context.Context, name string, ask func(context.Context) (target, error)) (target, error) {
	c.mu.Lock()
	if e, ok := c.entries[name]; ok {
		if time.Now().Before(e.until) {
			c.mu.Unlock()
			e.cached = true
			return e.target, nil
		}
		delete(c.entries, name)
	}
	if c.shut {
		c.mu.Unlock()
		return target{}, ErrClosed
	}
	q := c.asking[name]
	if q == nil {
		asks, cancel := context.WithCancel(context.Background())
		q = &question{cancel: cancel, done: make(chan struct{})}
		c.asking[name] = q
		c.asks.Go(func() { c.ask(asks, name, q, ask) }) // ends with the answer, or when all who wait have gone
	}
	q.waiters++
	c.mu.Unlock()
	select {
	case <-q.done:
		return q.target, q.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	if q.waiters--; q.waiters == 0 {
		c.forgetLocked(name, q)
		q.cancel()
	}
	c.mu.Unlock()
	return target{}, context.Cause(ctx)
}

func (c *cache) ask(ctx context.Context, name string, q *question, ask func(context.Context) (target, error)) {
	defer q.cancel()
	q.target, q.err = ask(ctx)
	c.mu.Lock()
	c.forgetLocked(name, q)
	if q.err == nil && c.keep > 0 {
		c.putLocked(name, q.target)
	}
	c.mu.Unlock()
	close(q.done)
}

func (c *cache) forgetLocked(name string, q *question) {
	if c.asking[name] == q {
		delete(c.asking, name)
	}
}

func (c *cache) putLocked(name string, t target) {
	at := time.Now()
	if len(c.entries) >= c.most {
		for n, e := range c.entries { // those out of time, else any
			if at.After(e.until) || len(c.entries) >= c.most {
				delete(c.entries, n)
			}
		}
	}
	c.entries[name] = entry{t, at.Add(c.keep)}
}

// close ends all questions and waits for that.
func (c *cache) close() {
	c.mu.Lock()
	c.shut = true
	for _, q := range c.asking {
		q.cancel()
	}
	c.mu.Unlock()
	c.asks.Wait()
}

// drop forgets what is known of name: it is not true any more.
func (c *cache) drop(name string) {
	c.mu.Lock()
	delete(c.entries, name)
	c.mu.Unlock()
}
