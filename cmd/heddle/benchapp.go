package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/cmd/internal/bench"
	"github.com/heddle-go/heddle/session"
)

// topicSessions asks the daemon for a locator by which an app's sessions can be
// opened, as long as the question lasts.
const topicSessions = "sessions"

// visitWait is how long the daemon may take to open them.
const visitWait = 5 * time.Second

// visitedApp is what the app is called there.
const visitedApp = "app"

// A sessionsReply is its answer.
type sessionsReply struct {
	Locator string        `json:"locator"`
	Service string        `json:"service"` // of that locator
	App     string        `json:"app"`
	Failure *eventFailure `json:"failure,omitempty"` // there is none
}

// visit asks the daemon for an app's sessions. leave says that they are not needed any
// more.
func (t *benchTarget) visit(ctx context.Context) (target bench.Target, leave func(), err error) {
	client, err := t.control.dial(ctx, "bench")
	if err != nil {
		return target, nil, err
	}
	payload, err := json.Marshal(order{App: t.control.app})
	if err != nil {
		return target, nil, errors.Join(err, client.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	first, done := make(chan heard, 1), make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		said := false
		for p, err := range client.Stream(ctx, topicSessions, payload) {
			if !said {
				first <- heard{p, err}
			}
			said = true
		}
		if !said {
			first <- heard{nil, io.ErrUnexpectedEOF}
		}
	}()
	leave = func() {
		cancel()
		<-done
		_ = client.Close()
	}
	var h heard
	select {
	case h = <-first:
	case <-time.After(visitWait):
		leave()
		return target, nil, t.control.hinted(&failure{code: exitUnreachable, err: fmt.Errorf("the daemon did not open the app's sessions within %v", visitWait), fine: "nothing was sent.", try: "try: heddle status"})
	}
	var r sessionsReply
	if err = h.err; err == nil {
		err = json.Unmarshal(h.p, &r)
	}
	if err == nil && r.Failure != nil {
		err = r.Failure.failure()
	}
	if err != nil {
		leave()
		var se *session.Error
		if errors.As(err, &se) && se.Category == heddle.CategoryFramework && se.Code == heddle.CodeNoHandler {
			err = &failure{code: exitError, err: errors.New("the daemon opens no sessions for others: it runs another heddle"), fine: "nothing was sent.", try: "try: heddle version; and heddle run anew with this one"}
		}
		return target, nil, t.control.hinted(err)
	}
	target = bench.AppTarget(r.Locator, r.Service, t.event)
	target.Host, target.Dialect = r.App, t.dialect
	return target, leave, nil
}

// takeApp refuses what cannot be meant of an app, and has b ask it. One of a daemon is
// found later, by visit.
func (t *benchTarget) takeApp(b *bench.Options) error {
	switch {
	case t.http2 || t.http1 || t.insecure || t.cacert != "" || t.sni != "":
		return usage("bench", "an app's sessions have neither TLS nor a version of HTTP")
	case t.locator != "" && (t.control.name != "" || t.control.path != ""):
		return usage("bench", "--locator and --name or --control both say whom to ask; give one")
	case t.locator != "" && t.control.app == "":
		return usage("bench", "--locator needs --app, the name of the app's service there")
	}
	app := t.control.app
	if app == "" {
		app = visitedApp
	}
	at := t.locator
	if at == "" {
		at = "unix:/" // not yet known
	}
	b.Target = bench.AppTarget(strings.TrimSpace(at), app, t.event)
	b.Target.Dialect = t.dialect
	return nil
}

// isApp says whether an app's sessions are asked for.
func (t *benchTarget) isApp() bool {
	return t.event != "" || t.control.app != "" || t.locator != "" || t.dialect != "" || t.pack != ""
}
