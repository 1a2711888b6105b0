package httpcompat

import (
	"errors"
	"time"

	"github.com/heddle-go/heddle/session"
)

// A Judge is an Opener that knows what it means if its sessions end without an
// answer.
type Judge interface {
	// Judge is asked about session s, the last of tries for one request, which has
	// ended with err. It must not wait.
	Judge(s *session.Session, err error, tries int) Verdict
}

// A Verdict is what a Judge says.
type Verdict struct {
	// Again: the request may be asked for once more. That is done only if the peer
	// has said err, or cannot have seen the request.
	Again bool

	// Code is the status that the client is told, 0 for what it would be without a
	// Judge, and Why the text. RetryAfter goes with it unless it is 0.
	Code       int
	Why        string
	RetryAfter time.Duration
}

// AppOf is the app whose workers have a session, for logs: that of its channel's tag
// (session.Mux.SetTag), if that has Labels; else "".
func AppOf(s *session.Session) string {
	t, ok := s.Mux().Tag().(interface{ Labels() (app, release string) })
	if !ok {
		return ""
	}
	app, _ := t.Labels()
	return app
}

// mayRetry says whether nobody can have seen the request, and it can be asked
// for once more.
func (a *asking) mayRetry(err error, tries int) bool {
	untouched := a.s.Untouched()
	if j, ok := a.p.Opener.(Judge); ok {
		e := (*session.Error)(nil)
		a.verdict = j.Judge(a.s, err, tries)
		untouched = a.verdict.Again && (untouched || errors.As(err, &e) && e.Remote)
	}
	return untouched && !a.headSent && !a.informed && (a.heddle || a.r.Context().Err() == nil) && (a.up == nil || a.up.replayable())
}
