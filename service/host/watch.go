package host

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/heddle-go/heddle/session"
)

// mostWatchers is how many streams of news there are at once: each looks at all that is
// known whenever something changes.
const mostWatchers = 1024

// A watcher streams news to a client: of services (connect, synchronize) or of
// routing groups. It lives on its connection's loop. What changes while the client
// takes nothing is told once, as it is then.
type watcher struct {
	cloud *Cloud
	call  *Call
	tell  teller
	ended bool
	due   atomic.Bool // flush is on its way to the loop
}

// A teller writes the news since it was last asked, if there is any, and says
// whether it has more.
type teller func() (more bool, err error)

// follow has a call stream news until its caller has had enough.
func (c *Cloud) follow(call *Call, tell teller) error {
	n := call.conn
	if n.streams >= mostHolds {
		return errTooMuch
	}
	w := &watcher{cloud: c, call: call, tell: tell}
	c.mu.Lock()
	full := len(c.watchers) >= mostWatchers
	if !full {
		c.watchers[w] = struct{}{}
	}
	c.mu.Unlock()
	if full {
		return errTooMuch
	}
	n.streams++
	if n.news == nil {
		n.news = map[*watcher]struct{}{}
	}
	n.news[w] = struct{}{}
	call.Serve(w)
	w.flush()
	return nil
}

// flush tells what is new, if the client takes it.
func (w *watcher) flush() {
	for !w.ended && w.call.conn.link.Queued() < session.HighWater { // else OnDrain comes
		more, err := w.tell()
		if err != nil {
			w.end()
			w.call.Fail(err)
		}
		if !more {
			return
		}
	}
}

// changed has all watchers look for news, each on its loop. Any goroutine.
func (c *Cloud) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.watchers {
		if !w.due.Swap(true) { // else that one sees this change, too
			_ = w.call.conn.link.Do(func() { // an error: the connection has ended
				w.due.Store(false)
				w.flush()
			})
		}
	}
}

// end forgets the watcher.
func (w *watcher) end() {
	if w.ended {
		return
	}
	w.ended = true
	w.call.conn.streams--
	delete(w.call.conn.news, w)
	w.cloud.mu.Lock()
	delete(w.cloud.watchers, w)
	w.cloud.mu.Unlock()
}

// OnMessage: see session.Handler. Whatever it is, it is the end.
func (w *watcher) OnMessage(*session.Session, session.Message) {}

// OnWritable: see session.Handler.
func (w *watcher) OnWritable(*session.Session) {}

// OnEnd: the caller has said discard, or is gone.
func (w *watcher) OnEnd(s *session.Session, err error) {
	if err == nil && s.Method().Dispatch.Empty() {
		return // he had nothing to say from the start
	}
	w.end()
	_ = w.call.Close()
}

// mostNews is about how many bytes one message of announce has.
const mostNews = 256 << 10

// same says whether a caller is told the same of both.
func (r *result) same(o *result) bool {
	return r.version == o.version && slices.Equal(r.at, o.at) && bytes.Equal(r.graph, o.graph)
}

// announce tells of services as connect does: all at first, then those that came,
// changed or went, which have no endpoints any more.
func (c *Cloud) announce(call *Call) teller {
	told := map[string]*result{}
	first := true
	return func() (more bool, err error) {
		now := c.snapshot(call)
		news := map[string]any{}
		size := 0
		for name, r := range now {
			if as := told[name]; as != nil && as.same(r) {
				continue
			}
			if more = size > mostNews; more {
				break
			}
			told[name], news[name] = r, []any{r.at, r.version, r.graph}
			size += len(r.graph) + 100
		}
		for name := range told {
			if now[name] == nil {
				delete(told, name)
				news[name] = []any{[]endpoint{}, 0, map[string]any{}}
			}
		}
		if len(news) == 0 && !first {
			return false, nil
		}
		first = false
		return more, call.Write(c.opt.UUID, news)
	}
}

// synchronize tells of all services at each change, as v0's locator does.
func (c *Cloud) synchronize(call *Call) teller {
	told := ""
	return func() (more bool, err error) {
		now := c.snapshot(call)
		all := map[string]any{}
		as := make(map[string]string, len(now))
		for name, r := range now {
			all[name] = []any{r.at[0], 1, r.graph}
			as[name] = fmt.Sprint(r.at)
		}
		if s := fmt.Sprint(as); s != told { // fmt sorts a map's keys
			told = s
			return false, call.Write(all)
		}
		return false, nil
	}
}

// snapshot is all services but the locator as a caller is told of them.
func (c *Cloud) snapshot(call *Call) map[string]*result {
	c.mu.Lock()
	names := make([]string, 0, len(c.services)+len(c.published))
	for name := range c.services {
		names = append(names, name)
	}
	for name := range c.published {
		names = append(names, name)
	}
	c.mu.Unlock()
	all := make(map[string]*result, len(names))
	for _, name := range names {
		if r, _ := c.resolved(call, name); r != nil {
			all[name] = r
		}
	}
	return all
}
