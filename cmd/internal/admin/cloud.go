package admin

import (
	"fmt"

	"github.com/heddle-go/heddle/service/host"
)

// cloud are the numbers of a cloud. Services are its own and apps, so that clients
// cannot add any by what they ask for.
func (e emitter) cloud(st host.Stats) {
	for _, s := range st.Services {
		e.number(cloudConnections, float64(s.Connections), s.Name)
		for _, m := range s.Methods {
			dialect := fmt.Sprint(m.Dialect)
			e.number(cloudCalls, float64(m.Calls), s.Name, dialect, m.Name)
			e.number(cloudFailed, float64(m.Failed), s.Name, dialect, m.Name)
		}
	}
	e.number(cloudResolves, float64(st.Resolves.Own), "own")
	e.number(cloudResolves, float64(st.Resolves.Published), "published")
	e.number(cloudResolves, float64(st.Resolves.Peer), "joined")
	e.number(cloudResolves, float64(st.Resolves.Unknown), "unknown")
	e.number(cloudPublished, float64(st.Publications))
	e.number(cloudStreams, float64(st.Streams))
	e.number(cloudGroups, float64(st.Groups))
	e.number(cloudJoined, float64(st.PeersKnown), "known")
	e.number(cloudJoined, float64(st.Peers-st.PeersKnown), "unknown")
	e.number(cloudMistakes, float64(st.Mistakes))
	e.number(cloudPending, float64(st.Pending))
}

// proxy are those of what asks apps of elsewhere.
func (e emitter) proxy(p Proxy) {
	up := 0.0
	if p.Alive() {
		up = 1
	}
	e.number(proxyLocator, up)
	st, n := p.Stats(), p.Counts()
	e.number(proxyApps, float64(st.Apps))
	e.number(proxyConnections, float64(st.Connections))
	e.number(proxyWaiting, float64(st.Waiting))
	e.number(proxyResolves, float64(n.Found), "found")
	e.number(proxyResolves, float64(n.Unknown), "unknown")
	e.number(proxyResolves, float64(n.Unresolved), "failed")
	e.number(proxyLost, float64(n.Lost))
	e.number(proxyRefused, float64(n.Stopped), "stopped")
	e.number(proxyRefused, float64(n.Full), "full")
	e.number(proxyRefused, float64(n.Failed), "failed")
	e.number(proxyGroups, float64(n.Groups))
	e.number(proxyRPC, float64(n.Results), "result")
	e.number(proxyRPC, float64(n.Errors), "error")
	e.number(proxyRPC, float64(n.Invalid), "invalid")
}
