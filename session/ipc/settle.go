package ipc

import (
	"context"
	"time"
)

// settleEvery is how often Settle looks.
const settleEvery = 2 * time.Millisecond

// Settle waits until the messages and requests that have come are handled and
// answered, and what was sent before is on its way: then the channel may be closed in
// order. It returns ctx's cause if that ends first.
func (p *Peer) Settle(ctx context.Context) error {
	if p.settled() {
		return nil
	}
	t := time.NewTicker(settleEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if p.settled() {
				return nil
			}
		case <-p.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *Peer) settled() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, o := range p.outs {
		if o.queued() {
			return false
		}
	}
	for _, in := range p.ins {
		if in.works() {
			return false
		}
	}
	return p.streams.Load() <= int64(len(p.ins)) // what is more are requests
}

// queued says whether something has not left.
func (o *outbound) queued() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.retired && len(o.recs) > o.first
}

// works says whether something is still to be handled, or to be said of it.
func (in *inbound) works() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.busy || len(in.rx) > 0 || len(in.tx) > in.txOff
}
