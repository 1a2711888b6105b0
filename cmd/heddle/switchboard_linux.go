package main

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A switchboard finds the app for each request: on a loop as the front's Router,
// and for connections that net/http has as their handler.
type switchboard struct {
	loops []*loop.Loop
	now   atomic.Pointer[switching]
}

// A switching is one set of apps and routes.
type switching struct {
	apps    []*app         // as the picker counts them
	openers []front.Opener // nil: net/http answers what is for the app
	proxies []http.Handler
	limits  []*front.AppLimits
	routes  picker // nil: everything is the one app's
}

func newSwitchboard(loops []*loop.Loop, apps []*app, routes picker) *switchboard {
	s := &switchboard{loops: loops}
	s.set(apps, routes)
	return s
}

// set has requests from now on go to these apps.
func (s *switchboard) set(apps []*app, routes picker) {
	w := &switching{apps: apps, routes: routes}
	for _, a := range apps {
		w.openers = append(w.openers, a.opener())
		w.proxies = append(w.proxies, a.proxy())
		limits := a.limits()
		w.limits = append(w.limits, &limits)
	}
	s.now.Store(w)
}

// backend is what the front's loops ask: the app itself, where there is but one
// and will be no other; nil if net/http is to answer everything.
func (s *switchboard) backend() front.Backend {
	w := s.now.Load()
	switch {
	case w.routes == nil && w.openers[0] == nil:
		return nil
	case w.routes == nil:
		return w.openers[0].(front.Backend)
	}
	return s
}

// Loops are those of every app's channels.
func (s *switchboard) Loops() []*loop.Loop { return s.loops }

// Route is the app that a request on a loop is for; nil for those that net/http
// answers.
func (s *switchboard) Route(host, target []byte) (front.Opener, *front.AppLimits) {
	w := s.now.Load()
	if i := w.pick(host, target); i >= 0 {
		return w.openers[i], w.limits[i]
	}
	return nil, nil
}

// LimitsOf are those of the app that a request by net/http is for.
func (s *switchboard) LimitsOf(r *http.Request) *front.AppLimits {
	w := s.now.Load()
	if i := w.of(r); i >= 0 {
		return w.limits[i]
	}
	return nil
}

// OpenOn is never called: a Router is asked for another Opener first.
func (s *switchboard) OpenOn(int, session.OpenOptions, func(*session.Session, error)) (*session.Session, func() bool, error) {
	return nil, nil, errors.New("no app was asked for")
}

func (w *switching) pick(host, target []byte) int {
	if w.routes == nil {
		return 0
	}
	return w.routes.Pick(host, target)
}

// of is the app that a request by net/http is for; -1: none.
func (w *switching) of(r *http.Request) int {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // absolute form, or *
		target = r.URL.EscapedPath()
	}
	return w.pick([]byte(r.Host), []byte(target))
}

// ServeHTTP answers what net/http has taken.
func (s *switchboard) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := s.now.Load()
	if i := w.of(r); i >= 0 {
		w.proxies[i].ServeHTTP(rw, r)
		return
	}
	http.Error(rw, "no app is routed here", http.StatusNotFound)
}
