package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// A web makes connections of net/http's client, for TLS and HTTP/2. It costs several
// times what a wire costs: a few goroutines for each connection, one for each request.
// Each connection is one http.ClientConn, which sends nothing again and makes no other.
type web struct {
	target    Target
	timeout   time.Duration
	reconnect bool
	tls       *tls.Config // nil: none
	transport http.Transport
	ctx       context.Context // ends with close
	cancel    context.CancelFunc
	wg        sync.WaitGroup // all that it has begun
}

func newWeb(o *Options) (*web, error) {
	w := &web{target: o.Target, timeout: o.Timeout, reconnect: o.Reconnect}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.transport = http.Transport{
		DialContext: w.connect, DialTLSContext: w.connectTLS,
		DisableCompression: true, MaxResponseHeaderBytes: maxHead, Protocols: new(http.Protocols),
	}
	p := w.transport.Protocols
	switch t := &w.target; {
	case !t.TLS:
		p.SetUnencryptedHTTP2(true)
	default:
		p.SetHTTP1(t.HTTP != HTTP2)
		p.SetHTTP2(t.HTTP != HTTP1)
		var err error
		if w.tls, err = o.TLS.config(t); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *web) close() {
	w.cancel()
	w.wg.Wait()
}

// socketKey is where the context of an attempt to connect has its *socket.
type socketKey struct{}

// A socket is a connection that remembers how reading ended. With HTTP/2 over TLS
// net/http has what is below it alone.
type socket struct {
	net.Conn
	raw net.Conn              // the same without TLS
	h2  bool                  // HTTP/2 is spoken on it
	end atomic.Pointer[error] // nil: it has not
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.end.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (w *web) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, w.target.Network, w.target.Address)
	if err != nil {
		return nil, err
	}
	s := ctx.Value(socketKey{}).(*socket)
	s.Conn, s.raw, s.h2 = nc, nc, !w.target.TLS
	return s, nil
}

func (w *web) connectTLS(ctx context.Context, _, _ string) (net.Conn, error) {
	if _, err := w.connect(ctx, "", ""); err != nil {
		return nil, err
	}
	s := ctx.Value(socketKey{}).(*socket)
	c := tls.Client(s.raw, w.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = s.raw.Close()
		return nil, &tlsError{err}
	}
	s.Conn, s.h2 = c, c.ConnectionState().NegotiatedProtocol == "h2"
	switch {
	case s.h2:
		return c, nil // as it is, or it would be HTTP/1.1 to net/http
	case w.target.HTTP == HTTP2:
		_ = s.raw.Close()
		return nil, errNoHTTP2
	}
	return s, nil
}

// dial begins to connect.
func (w *web) dial(l *loop.Loop, c *client) (link, error) {
	k := &webConn{w: w, l: l, c: c, socket: new(socket)}
	k.ctx, k.cancel = context.WithCancel(context.WithValue(w.ctx, socketKey{}, k.socket))
	w.wg.Go(k.connect) // ends with the attempt
	return k, nil
}

// A webConn is a connection of net/http's client: a carrier.
type webConn struct {
	// Immutable.
	w      *web
	l      *loop.Loop
	c      *client
	ctx    context.Context // ends with Abort
	cancel context.CancelFunc
	socket *socket // its Conn is there once it is connected

	// Loop only.
	conn *http.ClientConn // once it is connected
	over bool             // it has ended

	said atomic.Bool // the connection's end was told
	odd  atomic.Bool // the server has said that it closes, or net/http has a reason to
}

// connect makes the connection.
func (k *webConn) connect() {
	ctx, stop := context.WithTimeout(k.ctx, k.w.timeout)
	defer stop()
	scheme := "http"
	if k.w.target.TLS {
		scheme = "https"
	}
	conn, err := k.w.transport.NewClientConn(ctx, scheme, "bench:0") // connect knows the address
	if err == nil {
		k.w.wg.Add(1)
		context.AfterFunc(k.ctx, func() { // Abort and close are waited for, not waiting
			defer k.w.wg.Done()
			_ = k.socket.raw.Close() // so that TLS does not wait to say farewell
			_ = conn.Close()
		})
	}
	_ = k.l.Do(func() { // fails when the loop has ended, and all with it
		switch {
		case err != nil:
			k.c.OnClose(err)
		case k.ctx.Err() == nil:
			k.conn = conn
			k.c.OnOpen()
			conn.SetStateHook(k.changed)
		}
	})
}

// changed is told by net/http that something of the connection has. Any goroutine.
func (k *webConn) changed(conn *http.ClientConn) {
	if conn.Err() != nil && !k.said.Swap(true) {
		_ = k.l.Do(k.ended) // fails when the loop has ended, and all with it
	}
}

// ended is told of the connection's end. What is awaited is told by itself.
func (k *webConn) ended() {
	if k.c.ended {
		return
	}
	k.over = true
	if k.c.count == 0 {
		k.judge()
	}
	k.c.leaves()
}

// judge counts what was read that is no answer to anything: net/http closes an HTTP/1.1
// connection then, and says no more.
func (k *webConn) judge() {
	if k.unasked() && !k.odd.Load() {
		k.c.d.rec.fail(k.c.d.warmAt(k.c.d.now()), KindMalformed)
	}
}

// unasked says whether net/http has closed an HTTP/1.1 connection neither because of us
// nor because the server did. Any goroutine.
func (k *webConn) unasked() bool {
	return !k.socket.h2 && k.ctx.Err() == nil && k.socket.end.Load() == nil
}

// Abort ends the connection, and the attempt to make it.
func (k *webConn) Abort(error) { k.cancel() }

// ask sends a request on a goroutine, which ends with the answer.
func (k *webConn) ask(t *template, id uint64) error {
	conn := k.conn
	k.w.wg.Go(func() {
		a := k.roundTrip(conn, t, id)
		_ = k.l.Do(func() { // fails when the loop has ended, and all with it
			if k.c.d.o.Target.Protocol == "" {
				k.c.d.o.Target.Protocol = a.proto
			}
			if a.err != nil {
				k.c.failed(id, a.kind, a.bytes, !k.socket.h2 || conn.Err() != nil)
				return
			}
			if k.over && k.c.count == 1 {
				k.judge()
			}
			k.c.answered(id, &a.reply, a.bytes, a.closes)
		})
	})
	return nil
}

// A webAnswer is what became of a request.
type webAnswer struct {
	reply
	proto  string
	bytes  int64
	closes bool
	err    error
	kind   Kind // of err
}

func (k *webConn) roundTrip(conn *http.ClientConn, t *template, id uint64) (a webAnswer) {
	fail := func(err error, inBody bool) webAnswer {
		a.err, a.kind = err, webKind(err, inBody, k.socket.h2)
		if end := k.socket.end.Load(); a.kind == KindClosed && end != nil && isReset(*end) {
			a.kind = KindReset
		}
		if a.kind == KindClosed && k.unasked() {
			a.kind = KindMalformed
		}
		k.odd.Store(true)
		return a
	}
	r, err := k.request(t, id)
	if err != nil {
		return fail(err, false)
	}
	var wrote atomic.Bool
	ctx := k.ctx
	if !k.socket.h2 {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { wrote.Store(true) }})
	}
	r = r.WithContext(ctx)
	res, err := conn.RoundTrip(r)
	if err != nil {
		return fail(err, false)
	}
	defer res.Body.Close()
	a.proto, a.status, a.closes = res.Proto, res.StatusCode, res.Close
	if a.closes || !wrote.Load() || k.w.reconnect {
		k.odd.Store(true)
	}
	if a.status < 200 || a.status >= 1000 {
		return fail(errHead, false)
	}
	buf := webBuffers.Get().(*[webBuffer]byte)
	defer webBuffers.Put(buf)
	rest, compare := t.expect, t.expect != ""
	for {
		n, err := res.Body.Read(buf[:])
		a.bytes += int64(n)
		if compare && !a.wrong {
			if a.wrong = n > len(rest) || string(buf[:n]) != rest[:n]; !a.wrong {
				rest = rest[n:]
			}
		}
		if err == io.EOF {
			a.wrong = a.wrong || compare && rest != ""
			return a
		}
		if err != nil {
			return fail(err, true)
		}
	}
}

const webBuffer = 16 << 10 // bytes

var webBuffers = sync.Pool{New: func() any { return new([webBuffer]byte) }}

// request makes a request of a template.
func (k *webConn) request(t *template, id uint64) (*http.Request, error) {
	var digits [idLen]byte
	putID(digits[:], id)
	stamped := func(text string) string {
		if t.plain {
			return text
		}
		return strings.ReplaceAll(text, idMark, string(digits[:]))
	}
	u, err := url.ParseRequestURI(stamped(t.path))
	if err != nil {
		return nil, err
	}
	host := stamped(t.host)
	u.Scheme, u.Host = "https", "bench"
	if !k.w.target.TLS {
		u.Scheme = "http"
	}
	r := &http.Request{
		Method: t.method, URL: u, Host: host, Header: make(http.Header, len(t.header)+1), Close: k.w.reconnect,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	r.Header["User-Agent"] = []string{""} // or net/http puts in its own
	for name, values := range t.header {
		if t.plain {
			r.Header[name] = values
			continue
		}
		for _, v := range values {
			r.Header[stamped(name)] = append(r.Header[stamped(name)], stamped(v))
		}
	}
	if t.idField != "" {
		r.Header.Set(t.idField, string(digits[:]))
	}
	if t.body != "" {
		body := stamped(t.body)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return r, nil
}

// webKind sorts an error of net/http's client. inBody: the answer's head had come.
// HTTP/2 calls each end of a connection an unexpected one.
func webKind(err error, inBody, h2 bool) Kind {
	var op *net.OpError
	switch {
	case isReset(err):
		return KindReset
	case errors.As(err, &op) && (op.Op == "local error" || op.Op == "remote error"):
		return KindTLS
	case errors.Is(err, io.ErrUnexpectedEOF) && (inBody || !h2), errors.Is(err, io.EOF) && inBody:
		return KindTruncated
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), op != nil:
		return KindClosed
	}
	return textKind(err.Error())
}

// textKind sorts those of net/http's errors that are of no type that has a name.
func textKind(text string) Kind {
	for _, known := range []struct {
		part string
		kind Kind
	}{
		{"server closed idle connection", KindClosed}, {"client connection lost", KindClosed}, {"GOAWAY", KindClosed}, {"ClientConn closed", KindClosed},
		{"client conn is closed", KindClosed}, {"client conn not usable", KindClosed}, {"client conn could not be established", KindClosed}, {"client connection force closed", KindClosed},
		{"received from peer", KindReset}, // a stream of HTTP/2
		{"headers exceeded", KindTooLarge}, {"header list larger", KindTooLarge},
	} {
		if strings.Contains(text, known.part) {
			return known.kind
		}
	}
	return KindMalformed
}

// checkWeb refuses a template that net/http could not send.
func (t *template) checkWeb() error {
	_, err := url.ParseRequestURI(strings.ReplaceAll(t.path, idMark, strings.Repeat("0", idLen)))
	return err
}
