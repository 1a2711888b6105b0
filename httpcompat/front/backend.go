package front

import (
	"net/http"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A Backend finds who is to answer a request. The worker engine is one.
type Backend interface {
	// Loops are those that the Backend's channels live on, and so the front's
	// connections. They run until the front was closed.
	Loops() []*loop.Loop

	Opener
}

// A Router is a Backend of several apps.
type Router interface {
	Backend

	// Route is who answers a request with these Host and target, both as they came,
	// and valid while it runs; on the loop. Nil hands the connection over to
	// net/http, whose handler knows better. The limits are the request's, not
	// changed any more; nil: the front's own.
	Route(host, target []byte) (Opener, *AppLimits)
}

// A Dispatcher is a Backend of apps with the plain form (PROTOCOL 4) that looks at
// more of a request than a Router.
type Dispatcher interface {
	Backend

	// Dispatch says what becomes of the request with this head, which is lent, on
	// loop i.
	Dispatch(i int, h Head) Dispatch
}

// A Dispatch is what a Dispatcher makes of a request. Only To is needed. Slices
// belong to the Dispatcher, and what is in Headers and Answer does not change
// any more; the others may as soon as the session is opened.
type Dispatch struct {
	To     PlainOpener // nil: net/http knows better
	Limits *AppLimits  // nil: the front's own

	Target  []byte          // in place of the request's; nil: that
	Fields  []heddle.Header // that the app gets behind the client's
	Headers []codec.Header  // of the session
	Answer  []heddle.Header // fields of the answer, whoever gives it, in place of the app's, written as they are; with them X-Request-Id
}

// A Head is the head of a request on a loop.
type Head struct{ h *requestHead }

// Method is the request's.
func (h Head) Method() []byte { return h.h.method }

// Target is the request's, as it came.
func (h Head) Target() []byte { return h.h.target }

// Field is the value of the first field of that name, which is in lower case and
// not "host". ok: there is one.
func (h Head) Field(lower string) (value []byte, ok bool) {
	for i := range h.h.fields {
		if f := &h.h.fields[i]; is(f.name, lower) {
			return f.value, true
		}
	}
	return nil, false
}

// AppLimits are those of the front's Limits that one app's requests can have for
// themselves, since they begin when the request's head is known. Zero or less: no
// limit.
type AppLimits struct {
	WriteTimeout          time.Duration
	ResponseHeaderTimeout time.Duration // by net/http it is the handler's matter
	MaxBody               int64         // bytes
}

// A Limiter is a handler for Serve that knows the limits of each request: those
// that net/http answers. Nil: the front's own.
type Limiter interface {
	LimitsOf(r *http.Request) *AppLimits
}

// An Opener opens sessions on workers' channels.
type Opener interface {
	// OpenOn opens a session on a channel of loop i, where it is called, for the
	// Handler in o. It does not wait: if nobody is free it returns neither
	// session nor error, and calls later on the loop, once, when somebody is or
	// the request has waited long enough; unless cancel was called on the loop
	// before, and said true.
	//
	// An error with a method RetryAfter() time.Duration says that everybody is too
	// busy just now, and when to come again.
	OpenOn(i int, o session.OpenOptions, later func(*session.Session, error)) (s *session.Session, cancel func() bool, err error)
}
