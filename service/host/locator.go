package host

import (
	"net/netip"
	"path/filepath"
	"slices"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/session"
)

// A lookup is the arguments of resolve; the seed is v1's.
type lookup struct {
	_    struct{} `msg:",tuple"`
	Name string
	Seed string
}

// A word is one argument of text.
type word struct {
	_    struct{} `msg:",tuple"`
	Text string
}

type words struct {
	_    struct{} `msg:",tuple"`
	List []string
}

// router is the arguments of routing. The second is the tornado proxy's, of no use.
type router struct {
	_      struct{} `msg:",tuple"`
	ID     string
	Filter bool
}

// discard is what the caller of publish and routing may say after the call: that it
// is over. The control methods are in the real graph, too (PROTOCOL 3.3).
var discard = session.NewTable(append([]session.Arm{{ID: 0, Name: "discard", Next: session.Mute}}, controls...)...)

// locatorService are PROTOCOL 2.3 and 3.3.
func (c *Cloud) locatorService() Service {
	synchronize := Unbound(1, "synchronize")
	if c.opt.Cluster {
		synchronize = Stream(1, "synchronize", 0, session.Mute, session.Streaming, func(call *Call, _ *None) error { return c.follow(call, c.synchronize(call)) })
	}
	return Service{
		Name: nameLocator, Version: 3,
		V0: []Method{
			Quick(0, "resolve", 1, func(call *Call, a *word) (Results, error) { return c.resolve(call, a.Text, "") }),
			synchronize,
			Quick(2, "reports", 0, func(*Call, *None) (Results, error) { return Results{c.reports()}, nil }),
			Slow(3, "refresh", 1, func(_ *Call, a *word) (Results, error) { return nil, c.refresh([]string{a.Text}) }),
		},
		V1: []Method{
			Quick(0, "resolve", 1, func(call *Call, a *lookup) (Results, error) { return c.resolve(call, a.Name, a.Seed) }),
			Stream(1, "connect", 1, session.Mute, session.Streaming, func(call *Call, _ *word) error {
				if !c.opt.Cluster {
					return call.Close()
				}
				return c.follow(call, c.announce(call))
			}),
			Slow(2, "refresh", 1, func(_ *Call, a *words) (Results, error) { return nil, c.refresh(a.List) }),
			Quick(3, "cluster", 0, func(*Call, *None) (Results, error) { return Results{c.clusterNow()}, nil }),
			Stream(4, "publish", 2, discard, session.Primitive, c.publish),
			Stream(5, "routing", 1, discard, session.Streaming, func(call *Call, _ *router) error { return c.follow(call, c.rings(call)) }),
			Quick(6, "uuid", 0, func(*Call, *None) (Results, error) { return Results{c.opt.UUID}, nil }),
		},
	}
}

// Codes of CategoryLocator (PROTOCOL 3.8).
const (
	codeNotAvailable = 1
	codeStorage      = 2
	codeVersion      = 3
)

// errNotAvailable: some clients know it by its text (PROTOCOL 3.3).
var errNotAvailable = &Error{Category: heddle.CategoryLocator, Code: codeNotAvailable, Msg: "service is not available", MsgV0: "the specified service is not available"}

// resolve tells where a service, or one of a routing group, is and what it can.
func (c *Cloud) resolve(call *Call, name, seed string) (Results, error) {
	d := call.Dialect()
	name = c.choose(d, name, seed)
	if d == heddle.V0 && name == nameLocator { // that of v0 does not know itself
		c.resolves[byNobody].Add(1)
		return nil, errNotAvailable
	}
	r, by := c.resolved(call, name)
	c.resolves[by].Add(1)
	switch {
	case r == nil:
		return nil, errNotAvailable
	case d == heddle.V0:
		return Results{r.at[0], 1, r.graph}, nil
	}
	return Results{r.at, r.version, r.graph}, nil
}

// A result is where a service is, and what it can.
type result struct {
	at      []endpoint // one at least
	version uint64
	graph   heddle.Value
}

// resolved is a service of ours, one that was published, or a neighbour's; nil for none in the
// caller's dialect.
func (c *Cloud) resolved(call *Call, name string) (*result, answerer) {
	d := call.Dialect()
	c.mu.Lock()
	sv, p := c.services[name], c.published[name]
	if name == nameLocator {
		sv = c.locator
	}
	var remote *result
	if sv == nil && p == nil && d == heddle.V1 {
		remote = c.remoteLocked(name)
	}
	c.mu.Unlock()
	switch {
	case sv != nil && sv.doors[d] != nil:
		return &result{c.told(call, sv.doors[d].at), uint64(sv.Version), sv.graphs[d]}, byUs
	case p != nil && d == heddle.V1: // publish is its method, and the graph of its kind
		return &p.result, byPublisher
	case remote != nil:
		return remote, byPeer
	}
	return nil, byNobody
}

// told is an endpoint of ours as a client of a locator is told of it: at the address
// at which he has reached us, unless the options say better.
func (c *Cloud) told(call *Call, at endpoint) []endpoint {
	if at.Port == 0 {
		return []endpoint{at}
	}
	if at.Host == "" {
		at.Host = call.conn.own().Host
	}
	switch {
	case call.Dialect() == heddle.V0 && c.opt.Host != "":
		at.Host = c.opt.Host
	case call.Dialect() == heddle.V1 && len(c.opt.Addresses) > 0:
		all := make([]endpoint, len(c.opt.Addresses))
		for i, a := range c.opt.Addresses {
			all[i] = endpoint{Host: a, Port: at.Port}
		}
		return all
	}
	return []endpoint{at}
}

// valid says whether clients of this locator could mean anything by it.
func (c *Cloud) valid(e endpoint) bool {
	if c.network == "unix" && e.Port == 0 {
		return filepath.IsAbs(e.Host) && len(e.Host) < 108 // unix(7)
	}
	_, err := netip.ParseAddr(e.Host)
	return err == nil && e.Port > 0
}

// reports is how many connections each service has, and what waits in their
// outboxes.
//
// map of name raw to array(2): connections int, map of array(2) host raw, port uint
// to bytes uint
func (c *Cloud) reports() heddle.Value {
	c.mu.Lock()
	names := make([]string, 0, len(c.services))
	for name, sv := range c.services {
		if sv.doors[heddle.V0] != nil {
			names = append(names, name)
		}
	}
	c.mu.Unlock()
	slices.Sort(names)
	b := appendMap(nil, len(names))
	for _, name := range names {
		n, out := 0, []byte{0x80}
		if sv := c.find(name); sv != nil {
			n, out = sv.doors[heddle.V0].report()
		}
		b = append(appendUint(append(codec.AppendRawString(b, name), 0x92), uint64(n)), out...)
	}
	return b
}

// mostReported is of how many connections of a service a report tells the bytes.
const mostReported = 256

// report is a service's part of reports.
func (d *door) report() (conns int, out heddle.Value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := 0
	for c := range d.conns {
		if c.remote.Host != "" && told < mostReported {
			out = appendUint(appendUint(codec.AppendRawString(append(out, 0x92), c.remote.Host), uint64(c.remote.Port)), uint64(c.link.Queued()))
			told++
		}
	}
	return len(d.conns), append(appendMap(nil, told), out...)
}
