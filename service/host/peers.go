package host

import (
	"math/rand/v2"
	"slices"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// How long a locator that cannot be reached, or was lost, is left alone: twice as long
// each time, as with the real runtime (PROTOCOL 3.3).
const (
	leastRetry = time.Second
	mostRetry  = 32 * time.Second
)

// A neighbour is another cloud's locator, whose services ours knows, too, as long as it
// tells of them.
type neighbour struct {
	// Immutable.
	cloud *Cloud
	addr  string
	loop  *loop.Loop

	// Loop goroutine only.
	mux   *session.Mux  // nil: there is no connection
	retry time.Duration // before the next attempt
	timer *loop.Timer

	// Guarded by the cloud's mu.
	closed   bool
	uuid     string // "": it has not said
	at       endpoint
	services map[string]*result
}

// An announcement is what a neighbour tells of its services.
type announcement struct {
	_        struct{} `msg:",tuple"`
	UUID     string
	Services map[string]announced
}

type announced struct {
	_         struct{} `msg:",tuple"`
	Endpoints []endpoint
	Version   uint64
	Graph     map[uint64]heddle.Value
}

// connectMethod is the locator's connect, as its caller sees it.
var connectMethod = &session.Method{ID: 1, Name: "connect", Dispatch: session.Mute, Upstream: session.Streaming}

// link begins to hear of the services of all Options.Peers.
func (c *Cloud) link() error {
	for i, addr := range c.opt.Peers {
		n := &neighbour{cloud: c, addr: addr, loop: c.loops[i%len(c.loops)], retry: leastRetry, services: map[string]*result{}}
		c.mu.Lock()
		c.neighbours = append(c.neighbours, n)
		c.mu.Unlock()
		if err := n.loop.Do(n.dial); err != nil {
			return err
		}
	}
	return nil
}

// unlink ends that.
func (c *Cloud) unlink() {
	c.mu.Lock()
	all := slices.Clone(c.neighbours)
	for _, n := range all {
		n.closed = true
	}
	c.mu.Unlock()
	for _, n := range all {
		done := make(chan struct{})
		err := n.loop.Do(func() {
			defer close(done)
			if n.timer != nil {
				n.timer.Stop()
			}
			if n.mux != nil {
				n.mux.Abort(ErrClosed)
			}
		})
		if err == nil {
			<-done
		}
	}
}

// dial connects. Loop only.
func (n *neighbour) dial() {
	if n.over() {
		return
	}
	network, addr := splitLocator(n.addr)
	_, err := n.loop.Dial(network, addr, func(lc *loop.Conn) loop.Handler {
		n.mux = session.NewMux(lc, session.Options{
			ChannelOptions: session.ChannelOptions{Dialect: heddle.V1, Service: true, Dialed: true},
			Control:        neighbourControl{n: n, lc: lc},
			Logger:         n.cloud.log,
		})
		return n.mux
	}, loop.DialOptions{})
	if err != nil {
		n.lost(err)
	}
}

func (n *neighbour) over() bool {
	n.cloud.mu.Lock()
	defer n.cloud.mu.Unlock()
	return n.closed
}

// lost forgets what the neighbour has told, and asks it again later. Loop only.
func (n *neighbour) lost(err error) {
	n.mux = nil
	c := n.cloud
	c.mu.Lock()
	known, closed := n.uuid, n.closed
	n.uuid, n.at, n.services = "", endpoint{}, map[string]*result{}
	c.mu.Unlock()
	if closed {
		return
	}
	if known != "" {
		n.retry = leastRetry
	}
	c.log.Warn("host: a neighbour's services are not known any more, or not yet", "locator", n.addr, "uuid", known, "again", n.retry, "err", err)
	n.timer = n.loop.After(n.retry, n.dial)
	n.retry = min(2*n.retry, mostRetry)
}

// neighbourControl is told of a neighbour's connection.
type neighbourControl struct {
	session.NoControl
	n  *neighbour
	lc *loop.Conn
}

// OnConnect asks for its services.
func (h neighbourControl) OnConnect(m *session.Mux) {
	args, err := old.Append(nil, []any{h.n.cloud.opt.UUID})
	if err == nil {
		_, err = m.Open(session.OpenOptions{Method: connectMethod, First: args, Handler: h})
	}
	if err != nil || h.n.over() {
		m.Abort(err)
	}
}

// OnClose: see session.Control.
func (h neighbourControl) OnClose(_ *session.Mux, err error) { h.n.lost(err) }

// OnMessage is news of its services.
func (h neighbourControl) OnMessage(s *session.Session, m session.Message) {
	var a announcement
	if m.Kind != session.Said || decodeArgs(m.Data, 2, &a) != "" {
		s.Mux().Abort(errAnnouncement)
		return
	}
	h.n.hear(&a, endpointOf(h.lc.RemoteAddr()))
}

// OnWritable: see session.Handler.
func (h neighbourControl) OnWritable(*session.Session) {}

// OnEnd: it is in no cluster, or has ended.
func (h neighbourControl) OnEnd(s *session.Session, err error) { s.Mux().Close(err) }

// hear takes in what a neighbour has told. What cannot be a service is passed over.
func (n *neighbour) hear(a *announcement, at endpoint) {
	c := n.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.UUID == c.opt.UUID { // we are our own neighbour
		return
	}
	n.uuid, n.at = a.UUID, at
	for name, s := range a.Services {
		r := &result{at: s.Endpoints, version: s.Version, graph: heddle.Value{0x80}}
		if len(s.Endpoints) == 0 {
			delete(n.services, name)
			continue
		}
		ok := name != "" && len(name) <= mostName && name != nameLocator && len(s.Endpoints) <= mostEndpoints && (n.services[name] != nil || len(n.services) < mostPublished)
		ok = ok && !slices.ContainsFunc(s.Endpoints, func(e endpoint) bool { return !c.valid(e) })
		if ok && len(s.Graph) > 0 {
			if ok = validGraph(s.Graph); ok {
				r.graph = appendGraph(nil, s.Graph)
				ok = len(r.graph) <= mostGraph
			}
		}
		if !ok {
			c.log.Warn("host: a neighbour's service is none that we could tell of", "locator", n.addr, "service", clipName(name))
			continue
		}
		n.services[name] = r
	}
}

// remoteLocked is a service that neighbours have, one of them first, by chance; nil
// for none. The endpoints of those that have the same follow.
func (c *Cloud) remoteLocked(name string) *result {
	var all []*result
	for _, n := range c.neighbours {
		if r := n.services[name]; r != nil {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	first := *all[0]
	first.at = slices.Clone(first.at)
	for _, r := range all[1:] {
		if r.version == first.version && string(r.graph) == string(first.graph) {
			first.at = append(first.at, r.at...)
		}
	}
	return &first
}

// clusterNow is what the locator's cluster answers: uuid to endpoint.
func (c *Cloud) clusterNow() map[string]endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]endpoint{}
	for _, n := range c.neighbours {
		if n.uuid != "" {
			all[n.uuid] = n.at
		}
	}
	return all
}
