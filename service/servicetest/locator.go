package servicetest

import (
	"github.com/heddle-go/heddle"
)

// published is a service that is not ours, as a caller of publish has told.
type published struct {
	endpoints, version, graph any
}

// locatorMethods are PROTOCOL.md 2.3 and 3.3.
func (c *Cloud) locatorMethods() []Method {
	if c.dialect == heddle.V0 {
		return []Method{
			{ID: 0, Name: "resolve", Inline: true, Params: Takes(Text), Upstream: Primitive, Serve: c.resolve},
			{ID: 1, Name: "synchronize"}, // there is no group
			{ID: 2, Name: "reports", Upstream: Primitive, Serve: c.reports},
			{ID: 3, Name: "refresh", Inline: true, Params: Takes(Text), Upstream: Primitive, Serve: func(*Call) {}},
		}
	}
	return []Method{
		{ID: 0, Name: "resolve", Inline: true, Params: Takes(Text).Or(Text), Upstream: Primitive, Serve: c.resolve},
		{ID: 1, Name: "connect", Params: Takes(Text), Upstream: StreamOf(Text, Map), Serve: c.connect},
		{ID: 2, Name: "refresh", Inline: true, Params: Takes(Texts), Upstream: Primitive, Serve: func(*Call) {}},
		{ID: 3, Name: "cluster", Inline: true, Upstream: Primitive, Serve: func(call *Call) { _ = call.Value(map[string]any{}) }},
		{ID: 4, Name: "publish", Params: Takes(Text, ListOf(TupleOf(Text, Counter))).Or(TupleOf(Counter, Map)), Dispatch: discard, Upstream: Primitive, Serve: c.publish},
		{ID: 5, Name: "routing", Params: Takes(Text).Or(Bool), Dispatch: discard, Upstream: StreamOf(Map), Serve: c.routing},
		{ID: 6, Name: "uuid", Inline: true, Upstream: Primitive, Serve: func(call *Call) { _ = call.Value(UUID) }},
	}
}

// An answer fails only when the caller is gone, which ends the call anyway:
// hence the blank assignments here and in the other services.

func (c *Cloud) resolve(call *Call) {
	name := call.Text(0)
	c.mu.Lock()
	s := c.services[name]
	out, published := c.outside[name]
	c.mu.Unlock()
	if name == "locator" && c.dialect == heddle.V1 {
		s = c.locator // the one of v0 does not know itself
	}
	if s != nil {
		if result, ok := s.resolved(); ok {
			_ = call.Value(result...)
			return
		}
	}
	switch {
	case published:
		_ = call.Value(out.endpoints, out.version, out.graph)
	case c.dialect == heddle.V0:
		_ = call.Error(0, invocation, "the specified service is not available")
	default:
		_ = call.Error(10, 1, "service is not available")
	}
}

// reports gives connections and memory, of which there is none to tell.
func (c *Cloud) reports(call *Call) {
	all := map[string]any{}
	for _, name := range c.names() {
		if s := c.Service(name); s != nil {
			all[name] = []any{s.Counts().Open, map[string]any{}}
		}
	}
	_ = call.Value(all)
}

// connect streams the services to another locator: all at first, then those
// that have changed. Without Cluster there is nothing to tell.
func (c *Cloud) connect(call *Call) {
	if !c.options.Cluster {
		_ = call.Close()
		return
	}
	news, done := c.watch()
	defer done()
	told := map[string]string{}
	for {
		changed := map[string]any{}
		for _, name := range c.names() {
			result, ok := c.Service(name).resolved()
			if !ok {
				result = []any{[]any{}, 0, map[string]any{}}
			}
			if now := string(Pack(result)); told[name] != now && (ok || told[name] != "") {
				told[name], changed[name] = now, result
			}
		}
		if len(changed) > 0 {
			if call.Write(UUID, changed) != nil {
				return
			}
		}
		select {
		case <-news:
		case <-call.Context().Done():
			return
		}
	}
}

// publish makes a service of the caller's known, as with a gateway, until it
// says discard or is gone.
func (c *Cloud) publish(call *Call) {
	p := published{call.Arg(1), 0, map[string]any{}}
	if native, ok := call.Arg(2).([]any); ok {
		p.version, p.graph = native[0], native[1]
	}
	name := call.Text(0)
	c.mu.Lock()
	c.outside[name] = p
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.outside, name)
		c.mu.Unlock()
	}()
	if call.Value() == nil {
		_, _ = call.Recv() // whatever it is, it is the end
	}
}

// SetGroups sets what locator.routing tells: by group an array of [point, app].
func (c *Cloud) SetGroups(groups map[string]any) {
	c.mu.Lock()
	c.groups = groups
	c.mu.Unlock()
	c.changed()
}

// routing streams the groups, at once and when they change, until the caller
// says discard. There is no end to the stream then, as there is none in the
// runtime (src/service/locator.cpp).
func (c *Cloud) routing(call *Call) {
	news, done := c.watch()
	defer done()
	discarded := make(chan struct{})
	call.conn.s.wg.Go(func() { // ends with the call's context, at the latest
		defer close(discarded)
		_, _ = call.Recv()
	})
	defer call.Drop()
	told := ""
	for {
		c.mu.Lock()
		groups := c.groups
		c.mu.Unlock()
		if now := string(Pack(groups)); now != told {
			if told = now; call.Write(groups) != nil {
				return
			}
		}
		select {
		case <-news:
		case <-discarded:
			return
		}
	}
}
