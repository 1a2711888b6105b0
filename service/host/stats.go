package host

import (
	"slices"
	"strings"
	"sync/atomic"

	heddle "github.com/heddle-go/heddle"
)

// A tally counts the calls of one method in one dialect.
type tally struct{ calls, failed atomic.Uint64 }

// tallied are the same methods, which count their calls.
func tallied(list []Method) []Method {
	list = slices.Clone(list)
	for i := range list {
		list[i].tally = new(tally)
	}
	return list
}

// An answerer is whose service the locator has told of.
type answerer uint8

const (
	byNobody answerer = iota
	byUs
	byPublisher
	byPeer
	answerers // how many there are
)

// Stats is what a Cloud has and has counted since its Start.
type Stats struct {
	Services []ServiceStats // the locator's among them, by name

	Resolves ResolveStats

	Publications int    // services that others have published, now
	Streams      int    // of connect, synchronize and routing, now
	Groups       int    // routing groups
	Peers        int    // locators of Options.Peers
	PeersKnown   int    // of those, the ones whose services are known now
	Mistakes     uint64 // of clients that broke the rules of the protocol; most are the end of their connection
	Pending      int64  // bytes that wait, of Options.Pending
}

// ResolveStats is what the locator has answered to resolve, in both dialects.
type ResolveStats struct {
	Own       uint64 // a service of this cloud's
	Published uint64
	Peer      uint64 // a service of a locator of Options.Peers
	Unknown   uint64 // that there is none
}

// ServiceStats is one service of the Cloud's. It begins anew with a service that was
// removed and added again.
type ServiceStats struct {
	Name        string
	Connections int // of clients, now
	Methods     []MethodStats
}

// MethodStats is one method in one dialect.
type MethodStats struct {
	Dialect heddle.Dialect
	Name    string
	Calls   uint64 // that began
	Failed  uint64 // of those, the ones that were answered with an error, or with the connection's end
}

// Stats may be called from any goroutine.
func (c *Cloud) Stats() Stats {
	c.mu.Lock()
	st := Stats{Publications: len(c.published), Streams: len(c.watchers), Groups: len(c.groups), Peers: len(c.neighbours)}
	for _, n := range c.neighbours {
		if n.uuid != "" {
			st.PeersKnown++
		}
	}
	all := make([]*served, 0, len(c.services)+1)
	if c.locator != nil {
		all = append(all, c.locator)
	}
	for _, sv := range c.services {
		all = append(all, sv)
	}
	c.mu.Unlock()
	st.Resolves = ResolveStats{
		Own: c.resolves[byUs].Load(), Published: c.resolves[byPublisher].Load(), Peer: c.resolves[byPeer].Load(), Unknown: c.resolves[byNobody].Load(),
	}
	st.Mistakes, st.Pending = c.mistakes.Load(), c.pending.used.Load()
	slices.SortFunc(all, func(a, b *served) int { return strings.Compare(a.Name, b.Name) })
	for _, sv := range all {
		st.Services = append(st.Services, sv.stats())
	}
	return st
}

func (s *served) stats() ServiceStats {
	st := ServiceStats{Name: s.Name}
	s.each(func(d *door) { st.Connections += d.open() })
	for _, d := range [...]heddle.Dialect{heddle.V0, heddle.V1} {
		for _, m := range s.methods(d) {
			if m.open != nil {
				st.Methods = append(st.Methods, MethodStats{d, m.Name, m.tally.calls.Load(), m.tally.failed.Load()})
			}
		}
	}
	return st
}
