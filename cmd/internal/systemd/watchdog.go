package systemd

import (
	"context"
	"time"
)

// A Turner runs a function in a turn of its own soon, or says that there will be
// none; *loop.Loop is one.
type Turner interface{ Do(func()) error }

// FeedWatchdog tells the manager that the daemon lives, twice in each Watchdog
// time, and only after each of the turners has completed a turn since it did so
// last: a loop that hangs, or a process that was stopped, goes hungry. One that
// has ended is passed over. It returns when ctx ends, or at once where nobody
// minds; failed is told what could not be sent.
func (m *Manager) FeedWatchdog(ctx context.Context, turners []Turner, failed func(error)) {
	if !m.Listens() || m.Watchdog <= 0 {
		return
	}
	tick := time.NewTicker(m.Watchdog / 2)
	defer tick.Stop()
	for {
		for _, t := range turners {
			turned := make(chan struct{})
			if t.Do(func() { close(turned) }) != nil {
				continue
			}
			select {
			case <-turned:
			case <-ctx.Done():
				return
			}
		}
		if err := m.Notify("WATCHDOG=1"); err != nil {
			failed(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
