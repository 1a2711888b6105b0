package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/session"
)

// LimitsOf are those of every request.
func (g *Gateway) LimitsOf(*http.Request) *front.AppLimits { return &g.limits }

// ServeHTTP answers what net/http has taken: requests whose bodies are long or of
// unknown length, those that are for no app, and JSON-RPC.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(headerRequestID)
	w.Header().Set(headerRequestID, id)
	if _, ok := r.Header[http.CanonicalHeaderKey(headerJSONRPC)]; ok && g.o.JSONRPC {
		g.serveJSONRPC(w, r)
		return
	}
	target := r.RequestURI
	if len(target) == 0 || target[0] != '/' { // absolute form, or *
		target = r.URL.RequestURI()
	}
	d, m := direct(fieldOf(r, headerService), fieldOf(r, headerEvent), []byte(target))
	switch m {
	case directed:
	case halfway:
		g.refuse(w, r, http.StatusBadRequest, headerService+" and "+headerEvent+" belong together, and neither may be empty")
		return
	case tooLong:
		g.refuse(w, r, http.StatusBadRequest, fmt.Sprintf("an app's name has at most %d bytes, that of an event %d", maxName, maxEvent))
		return
	default:
		if r.URL.Path == "/ping" {
			g.servePing(w, r)
			return
		}
		g.refuse(w, r, http.StatusNotFound, "no app is named: by /app/event, or by "+headerService+" and "+headerEvent)
		return
	}
	app := d.app
	if seed := fieldOf(r, headerSticky); seed != nil {
		app = g.elect(app, seed)
	}
	out := new(http.Request)
	*out = *r
	if d.byTarget {
		p, _ := path(nil, d.rest)
		u, err := url.ParseRequestURI(string(p))
		if err != nil {
			g.refuse(w, r, http.StatusBadRequest, "the rest of the target is none")
			return
		}
		out.URL, out.RequestURI = u, string(p)
		out.Header = r.Header.Clone()
		out.Header.Set(headerService, string(d.app))
		out.Header.Set(headerEvent, string(d.event))
	}
	w.Header().Set(headerApplication, string(app))
	a := &asker{g: g, app: string(app), event: string(d.event), headers: plainHeaders}
	if v := fieldOf(r, lowerAuthorization); v != nil {
		a.headers = withAuthorization(v)
	}
	p := httpcompat.Proxy{Opener: a, Event: a.event, Logger: g.log, HeadTimeout: g.o.Timeout, Plain: true, Bodies: &g.bodies, Refused: g.complain}
	p.ServeHTTP(w, out)
}

// fieldOf is the first field of a name; nil for none.
func fieldOf(r *http.Request, name string) []byte {
	vv := r.Header[http.CanonicalHeaderKey(name)]
	if len(vv) == 0 {
		return nil
	}
	return append([]byte{}, vv[0]...)
}

// refuse answers with a text that names the request.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, code int, why string) {
	g.complain(r, code, why)
	refuse(w, r, code, why)
}

func refuse(w http.ResponseWriter, r *http.Request, code int, why string) {
	http.Error(w, fmt.Sprintf("%d %s: %s (request %s)", code, http.StatusText(code), why, r.Header.Get(headerRequestID)), code)
}

// complain logs what is wrong with a request, one a second: clients write them.
func (g *Gateway) complain(r *http.Request, code int, why string) {
	now := time.Now().Unix()
	if g.badAt.Swap(now) == now {
		g.badMore.Add(1)
		return
	}
	g.log.Warn("gateway: a request is refused", "code", code, "why", why, "client", r.RemoteAddr, "request", r.Header.Get(headerRequestID), "others", g.badMore.Swap(0))
}

// servePing says whether a locator answers.
func (g *Gateway) servePing(w http.ResponseWriter, r *http.Request) {
	if !g.alive.Load() { // which is logged when it begins
		refuse(w, r, http.StatusServiceUnavailable, "no locator answers")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK")) // fails if nobody is there
}

// An asker opens sessions for one request of net/http's, on any loop.
type asker struct {
	g          *Gateway
	app, event string
	headers    []codec.Header
}

// Open asks on the next loop. The search for the app's service has an end by
// itself, so that ctx is not looked at.
func (a *asker) Open(_ context.Context, o session.OpenOptions) (*session.Session, error) {
	type opened struct {
		s   *session.Session
		err error
	}
	got := make(chan opened, 1)
	later := func(s *session.Session, err error) { got <- opened{s, err} }
	ln := a.g.lanes[a.g.turn.Add(1)%uint64(len(a.g.lanes))]
	o.Headers = a.headers
	err := ln.loop.Do(func() {
		app := ln.app([]byte(a.app))
		if app == nil {
			later(nil, errApps)
			return
		}
		if s, _, err := app.open(a.event, o, later); s != nil || err != nil {
			later(s, err)
		}
	})
	if err != nil {
		return nil, err
	}
	res := <-got
	return res.s, res.err
}

// Judge is the Gateway's judge.
func (a *asker) Judge(s *session.Session, err error, tries int) httpcompat.Verdict {
	return a.g.judge(s, err, tries, true)
}
