package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
)

// A Target is a worker's place for one request, to be given back.
type Target interface {
	// Dial connects to the worker; it fails with a *net.OpError of Op "dial". It is
	// for later requests of the same worker, too, and works after Give.
	Dial(ctx context.Context) (net.Conn, error)

	ID() string // of the process; a new one answers elsewhere
	Tag() any   // of who had the request, for who counts by it; may be nil

	// Retired is closed when the worker will be given no request any more.
	Retired() <-chan struct{}

	// Give gives the place back. Broken: the answer broke off or never came, and
	// it was not the client's doing.
	Give(broken bool)

	// Unreachable gives it back too: no connection could be made, so that another
	// worker is to be asked.
	Unreachable()
}

// A Backend finds who is to answer a request, label being its id. It may wait
// until somebody can. An error with a method RetryAfter() time.Duration says that
// everybody is too busy just now, and when to come again.
type Backend func(ctx context.Context, label string) (Target, error)

// A Proxy is an http.Handler that asks workers. Only Backend is needed. It answers
// by itself with
//
//   - 503 with Retry-After, if the Backend is busy,
//   - 502, if there is nobody to ask, the answer broke off before its head, or its
//     head is none or has more than 1 MiB; the log says which,
//   - 504, if the head takes longer than HeadTimeout.
//
// An answer that breaks off later breaks the client's connection.
type Proxy struct {
	Backend Backend
	Logger  *slog.Logger // nil: slog.Default()

	// HeadTimeout is how long the head of an answer may take once its request has
	// been sent whole; 1xx heads do not count as one. 0: no limit.
	HeadTimeout time.Duration

	mu      sync.Mutex
	workers map[string]*worker // by Target.ID, those that are not retired
}

const (
	// maxAttempts is how many workers are tried to be connected to.
	maxAttempts = 3

	// idleTime is how long a connection is kept: less than programs keep theirs.
	idleTime = time.Second

	// continueTime is how long a worker may take to say 100 Continue, or not to,
	// before a body is sent to it all the same.
	continueTime = time.Second

	dialTime = 10 * time.Second
	maxHead  = 1 << 20 // bytes of an answer's head, as sessions have it
)

// A worker has connections.
type worker struct {
	kept  *http.Transport
	fresh *http.Transport // each request has one of its own
}

// worker is who t is of.
func (p *Proxy) worker(t Target) *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wk := p.workers[t.ID()]; wk != nil {
		return wk
	}
	kept := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			conn, err := t.Dial(ctx)
			if err != nil {
				return nil, err
			}
			return &line{Conn: conn}, nil
		},
		DisableCompression:     true, // what the client asks for is passed on
		MaxIdleConnsPerHost:    1 << 14,
		IdleConnTimeout:        idleTime,
		ResponseHeaderTimeout:  p.HeadTimeout,
		ExpectContinueTimeout:  continueTime,
		MaxResponseHeaderBytes: maxHead,
		ReadBufferSize:         16 << 10,
	}
	fresh := kept.Clone()
	fresh.DisableKeepAlives = true
	wk := &worker{kept, fresh}
	if p.workers == nil {
		p.workers = make(map[string]*worker)
	}
	p.workers[t.ID()] = wk
	go func() { // ends with the worker
		<-t.Retired()
		p.mu.Lock()
		delete(p.workers, t.ID())
		p.mu.Unlock()
		kept.CloseIdleConnections() // and those that become idle later
	}()
	return wk
}

func (p *Proxy) log() *slog.Logger {
	if p.Logger != nil {
		return p.Logger
	}
	return slog.Default()
}

// ServeHTTP asks and copies the answer to w.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{p: p, w: w, r: r, rc: http.NewResponseController(w), id: r.Header.Get("X-Request-Id")}
	defer x.finishBody()
	// A client that has half-closed looks as one that has gone. Both wait in the
	// queue, no longer than it allows, and have their answer until it cannot be
	// written; the worker is shown as much of it as it would see by itself.
	x.ctx = r.Context()
	if r.ProtoMajor == 1 {
		x.ctx = context.WithoutCancel(r.Context())
		stop := context.AfterFunc(r.Context(), x.clientEnded)
		defer stop()
	}
	for attempt := 1; ; attempt++ {
		t, err := p.Backend(x.ctx, x.id)
		tell(w, t, err)
		if err != nil {
			x.refused(err)
			return
		}
		if x.ask(t, attempt == maxAttempts) {
			return
		}
	}
}

// tell says whose place it is, or who had none, to a w with a method AskedOf: the
// tag of the Target, or what the error has for one.
func tell(w http.ResponseWriter, t Target, err error) {
	to, ok := w.(interface{ AskedOf(tag any) })
	if !ok {
		return
	}
	var tagged interface{ Tag() any }
	switch {
	case err == nil:
		to.AskedOf(t.Tag())
	case errors.As(err, &tagged):
		to.AskedOf(tagged.Tag())
	}
}

// An exchange is one request on its way.
type exchange struct {
	p    *Proxy
	w    http.ResponseWriter
	r    *http.Request
	rc   *http.ResponseController
	id   string
	ctx  context.Context // ends with the client if that says that it has gone, as by HTTP/2
	body *body           // nil: the request has none

	mu      sync.Mutex // between the transport's goroutine and ours
	touched bool       // a worker may have seen the request
	headed  bool       // no 1xx head is passed on any more
	ended   bool       // the client says nothing more
	line    *line      // the request was handed over to it; nil: none yet
	wrote   uint64     // writes to it by then
}

// clientEnded is told that the client says nothing more.
func (x *exchange) clientEnded() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	x.passEndLocked()
}

// passEndLocked shows the worker that nothing more comes, once it has the whole
// request.
func (x *exchange) passEndLocked() {
	switch {
	case !x.ended || x.line == nil:
	case x.body == nil:
		x.line.endAfter(x.wrote + 1) // a head's last line is in the transport's buffer yet
	default:
		x.line.endSoon()
	}
}

// ask asks t, and gives it back. False: t cannot have seen the request, and
// another may be asked.
func (x *exchange) ask(t Target, last bool) (done bool) {
	broken := true                                                                // also if we panic
	tunneled := false                                                             // then the context tells nothing of the client
	defer func() { t.Give(broken && (tunneled || x.r.Context().Err() == nil)) }() // nothing after Unreachable
	wk := x.p.worker(t)
	out := x.outgoing()
	tr := wk.fresh
	if out.Body == nil && isIdempotent(out.Method) && !httpcompat.Upgrades(x.r) {
		tr = wk.kept
	}
	resp, err := tr.RoundTrip(out)
	x.mu.Lock()
	x.headed = true
	x.mu.Unlock()
	if err == nil && resp.StatusCode < 100 {
		_ = resp.Body.Close()
		err = fmt.Errorf("status %03d, which there is none of", resp.StatusCode)
	}
	if err != nil {
		if !x.touched && x.ctx.Err() == nil && isDial(err) {
			t.Unreachable()
		}
		if !x.touched && !last && x.ctx.Err() == nil {
			x.mu.Lock()
			x.headed, broken = false, false
			x.mu.Unlock()
			x.p.log().Info("upstream: asking another worker, since the last could not be connected to", "request", x.id, "method", x.r.Method, "uri", x.r.RequestURI, "err", err)
			return false
		}
		broken = x.touched
		x.failed(err)
		return true
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		tunneled = true
		x.mu.Lock()
		x.line = nil
		x.mu.Unlock()
		broken = x.tunnel(resp)
		return true
	}
	err = x.answer(resp)
	// The end of such an answer looks as its worker's death does.
	broken = err != nil && !errors.Is(err, errClient) || err == nil && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
	if err != nil {
		x.brokeOff(resp, err)
	}
	return true
}

// isDial says whether err is of a connection that could not be made.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// isIdempotent says whether a request may be sent again, without harm and without
// being asked.
func isIdempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// outgoing is the request for the worker.
func (x *exchange) outgoing() *http.Request {
	r := x.r
	var on *line
	out := r.WithContext(httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			x.mu.Lock()
			x.touched = true
			on, _ = info.Conn.(*line)
			x.line = nil
			x.mu.Unlock()
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			x.mu.Lock()
			defer x.mu.Unlock()
			if info.Err == nil && on != nil {
				x.line, x.wrote = on, on.writes()
				x.passEndLocked()
			}
		},
		Got1xxResponse: x.inform,
	}))
	out.Header = r.Header.Clone()
	out.RequestURI, out.Close = "", false
	// As it came, byte for byte, if it is a path.
	out.URL = &url.URL{Scheme: "http", Host: "localhost", Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	if strings.HasPrefix(r.RequestURI, "/") && !strings.HasPrefix(r.RequestURI, "//") {
		out.URL.Opaque, out.URL.RawQuery, out.URL.ForceQuery = r.RequestURI, "", false
	}
	upgrade := ""
	if httpcompat.Upgrades(r) {
		upgrade = r.Header.Get("Upgrade")
	}
	trailers := httpcompat.HasToken(r.Header["Te"], "trailers")
	dropHops(out.Header)
	for _, name := range facts {
		if vv, ok := r.Header[name]; ok {
			out.Header[name] = vv
		}
	}
	if trailers {
		out.Header["Te"] = []string{"trailers"}
	}
	if upgrade != "" {
		out.Header["Connection"], out.Header["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or the transport would make one up
	}
	if out.Body == http.NoBody || out.ContentLength == 0 {
		out.Body = nil
	}
	if out.Body != nil {
		if x.body == nil {
			_ = x.rc.EnableFullDuplex() // an error: HTTP/2 is so by itself
			x.body = newBody(r, x.rc)
		}
		out.Body = x.body
	}
	return out
}

func (x *exchange) finishBody() {
	if x.body != nil {
		x.body.finish()
	}
}

// facts are the fields that the front says of each request. A client has no say in
// whether the worker gets them, as it would by naming them in Connection.
var facts = [...]string{"X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"}

// dropHops removes the fields that concern one connection only, RFC 9110 7.6.1.
func dropHops(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings"} {
		delete(h, name)
	}
}

// refused answers a request that nobody was found for.
func (x *exchange) refused(err error) {
	if x.ctx.Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to be told
	}
	if httpcompat.RefuseBusy(x.w, x.r, err) {
		return
	}
	x.p.log().Error("upstream: nobody to ask", "request", x.id, "method", x.r.Method, "uri", x.r.RequestURI, "err", err)
	httpcompat.Refuse(x.w, x.r, http.StatusBadGateway, "no worker could be asked")
}

// failed answers a request whose answer has no head.
func (x *exchange) failed(err error) {
	if x.touched && x.r.Context().Err() != nil { // the worker may have ended it for that
		panic(http.ErrAbortHandler)
	}
	if x.body != nil && x.body.failed() {
		x.closeAfter()
		httpcompat.Refuse(x.w, x.r, http.StatusBadRequest, "the request's body broke off")
		return
	}
	x.p.log().Error("upstream: no answer", "request", x.id, "method", x.r.Method, "uri", x.r.RequestURI, "seen", x.touched, "err", err)
	x.closeAfter()
	var late net.Error
	switch {
	case !x.touched:
		httpcompat.Refuse(x.w, x.r, http.StatusBadGateway, "no worker could be asked")
	case x.p.HeadTimeout > 0 && errors.As(err, &late) && late.Timeout():
		httpcompat.Refuse(x.w, x.r, http.StatusGatewayTimeout, "the worker took too long to answer")
	default:
		httpcompat.Refuse(x.w, x.r, http.StatusBadGateway, "the worker gave no answer")
	}
}

// brokeOff shows the client what has come of its answer, and that this is not all.
func (x *exchange) brokeOff(resp *http.Response, err error) {
	if x.r.Context().Err() == nil && !errors.Is(err, errClient) {
		x.p.log().Error("upstream: answer broke off", "request", x.id, "method", x.r.Method, "uri", x.r.RequestURI, "err", err)
		_ = x.rc.Flush() // an error: the client has gone
		if x.r.ProtoMajor == 1 && x.r.ProtoMinor == 0 && resp.ContentLength < 0 {
			// Where the end of the connection is the answer's.
			if conn, _, err := x.rc.Hijack(); err == nil {
				httpcompat.Reset(conn)
				return
			}
		}
	}
	panic(http.ErrAbortHandler)
}
