package gateway

import (
	"errors"
	"sync/atomic"

	"github.com/heddle-go/heddle/service"
)

// counts is what a Gateway counts. Any goroutine.
type counts struct {
	found, unknown, unresolved atomic.Uint64
	lost                       atomic.Uint64
	stopped, full, failed      atomic.Uint64
	results, errors, invalid   atomic.Uint64
}

// located counts an app that was asked for.
func (c *counts) located(err error) {
	switch {
	case err == nil:
		c.found.Add(1)
	case errors.Is(err, service.ErrNotAvailable):
		c.unknown.Add(1)
	default:
		c.unresolved.Add(1)
	}
}

// judged counts an error of an app's, or of its runtime's.
func (c *counts) judged(stopped, full bool) {
	switch {
	case stopped:
		c.stopped.Add(1)
	case full:
		c.full.Add(1)
	default:
		c.failed.Add(1)
	}
}

// Counts is what a Gateway has counted since New.
type Counts struct {
	Found, Unknown, Unresolved uint64 // apps that the locators, or what is remembered of their answers, were asked for
	Lost                       uint64 // connections to apps that ended by themselves
	Stopped, Full, Failed      uint64 // sessions that an app or its runtime ended before the head: it was stopped, its queue is full, any other error
	Results, Errors, Invalid   uint64 // of JSON-RPC
	Groups                     int    // routing groups that are known now
}

// Counts may be called from any goroutine.
func (g *Gateway) Counts() Counts {
	c := &g.counts
	n := Counts{
		Found: c.found.Load(), Unknown: c.unknown.Load(), Unresolved: c.unresolved.Load(), Lost: c.lost.Load(),
		Stopped: c.stopped.Load(), Full: c.full.Load(), Failed: c.failed.Load(),
		Results: c.results.Load(), Errors: c.errors.Load(), Invalid: c.invalid.Load(),
	}
	if all := g.rings.Load(); all != nil {
		n.Groups = len(*all)
	}
	return n
}
