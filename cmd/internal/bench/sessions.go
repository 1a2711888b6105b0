package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

// A caller makes connections to the service of an app that a locator knows, by
// enqueue (PROTOCOL 2.5, 3.5). The locator is asked off the loop, once for a while;
// all else happens on it.
type caller struct {
	o      *Options
	client *service.Client
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup // questions to the locator
}

// What an app's service calls the method that takes events.
const (
	enqueue   = "enqueue"
	enqueueID = 0
)

var errNoApp = errors.New("bench: the service is no app: it has no method enqueue")

func newCaller(o *Options) (*caller, error) {
	d := map[string]service.Dialect{"": service.DialectAuto, "v0": service.DialectV0, "v1": service.DialectV1}[o.Target.Dialect]
	client, err := service.NewClient(service.ClientOptions{
		Locators: strings.Split(o.Target.Address, ","), Dialect: d, Timeout: o.Timeout, DialTimeout: o.Timeout, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	cr := &caller{o: o, client: client}
	cr.ctx, cr.cancel = context.WithCancel(context.Background())
	return cr, nil
}

func (cr *caller) close() {
	cr.cancel()
	cr.wg.Wait()
	cr.client.Close()
}

// dial begins to look for the app.
func (cr *caller) dial(l *loop.Loop, c *client) (link, error) {
	k := &callConn{cr: cr, l: l, c: c}
	k.until = time.Now().Add(cr.o.Timeout)
	cr.wg.Go(func() { // ends with the locator's answer, or its time-out
		ctx, cancel := context.WithDeadline(cr.ctx, k.until)
		defer cancel()
		at, err := cr.client.Locate(ctx, cr.o.Target.App)
		if err == nil {
			if k.method = at.Method(enqueue); k.method == nil || k.method.ID != enqueueID {
				err = errNoApp
			}
		}
		if err == nil && len(at.Endpoints) == 0 {
			err = service.ErrNotAvailable
		}
		_ = l.Do(func() { k.located(at, err) }) // fails when the loop has ended, and all with it
	})
	return k, nil
}

// A callConn is a connection to an app's service: a carrier of sessions.
type callConn struct {
	session.NoControl

	// Immutable once it is located.
	cr      *caller
	l       *loop.Loop
	c       *client
	until   time.Time // for an attempt to connect
	dialect heddle.Dialect
	method  *session.Method

	// Loop only.
	rest   []locator.Endpoint // still to be tried
	conn   *loop.Conn         // nil: none is there or being made
	mux    *session.Mux
	opened bool
	gone   bool   // Abort was called
	args   []byte // of the call that is being opened
	free   []*asked
	reply  reply // to what is being counted
}

// located is the locator's answer.
func (k *callConn) located(at service.Located, err error) {
	switch {
	case k.gone:
		return
	case err != nil:
		k.c.OnClose(err)
		return
	}
	k.rest, k.dialect = slices.Clone(at.Endpoints), heddle.V1
	if at.Dialect == service.DialectV0 {
		k.dialect = heddle.V0
	}
	k.next(service.ErrNotAvailable)
}

// next tries the next endpoint; err: why not that before.
func (k *callConn) next(err error) {
	for len(k.rest) > 0 {
		left := time.Until(k.until)
		if left <= 0 {
			err = context.DeadlineExceeded
			break
		}
		e := k.rest[0]
		k.rest = k.rest[1:]
		if k.conn, err = k.l.Dial(e.Network(), e.Address(), k.begin, loop.DialOptions{Timeout: left}); err == nil {
			return // OnConnect or OnClose say how it goes
		}
	}
	k.cr.client.Forget(k.cr.o.Target.App)
	k.c.OnClose(err)
}

// callHandler is the Mux, and ends a connection at once that brings what is no message.
type callHandler struct {
	*session.Mux
	k *callConn
}

func (h callHandler) OnBytes(p []byte) (int, error) {
	n, err := h.Mux.OnBytes(p)
	if err != nil && !h.k.c.ended {
		k := KindMalformed
		if errors.Is(err, codec.ErrTooLarge) {
			k = KindTooLarge
		}
		h.k.c.end(k)
	}
	return n, err
}

func (k *callConn) begin(lc *loop.Conn) loop.Handler {
	k.mux = session.NewMux(lc, session.Options{
		ChannelOptions: session.ChannelOptions{Dialect: k.dialect, Dialed: true, Service: true},
		Control:        k, MaxSessions: 2*k.cr.o.Pipeline + 1, Logger: k.cr.o.Logger,
	})
	lc.SetLimit(k.c.d.mostQueued())
	return callHandler{k.mux, k}
}

// OnConnect is told that the connection is there.
func (k *callConn) OnConnect(*session.Mux) {
	k.opened = true
	if t := &k.c.d.o.Target; t.Protocol == "" {
		t.Protocol = map[heddle.Dialect]string{heddle.V0: "v0", heddle.V1: "v1"}[k.dialect]
	}
	k.c.OnOpen()
}

// OnEOF is told that the app's side has closed the connection.
func (k *callConn) OnEOF(m *session.Mux) { m.Abort(io.EOF) }

// OnClose is told of the connection's end, or that of an attempt. Its sessions were.
func (k *callConn) OnClose(_ *session.Mux, err error) {
	switch {
	case k.gone:
	case !k.opened:
		k.next(err)
	default:
		k.cr.client.Forget(k.cr.o.Target.App) // it may have moved
		k.c.OnClose(err)
	}
}

// Abort ends the connection, and the search for it.
func (k *callConn) Abort(err error) {
	k.gone = true
	if k.conn != nil {
		k.conn.Abort(err)
	}
}

// ask opens a session: in v1 the event is its argument and the body a write behind it,
// in v0 both are arguments.
func (k *callConn) ask(t *template, id uint64) error {
	a := k.take()
	a.id, a.t = id, t
	o := session.OpenOptions{Event: t.event, Method: k.method, Handler: a, Chunks: true, Last: true}
	if k.dialect == heddle.V0 {
		k.args = codec.AppendRaw(codec.AppendRawString(append(k.args[:0], 0x92), t.event), t.stamp(id))
	} else {
		k.args = codec.AppendRawString(append(k.args[:0], 0x91), t.event)
		o.Write = t.stamp(id)
	}
	o.First = k.args
	_, err := k.mux.Open(o)
	if err != nil {
		k.free = append(k.free, a)
	}
	return err
}

// An asked is a session whose answer is awaited.
type asked struct {
	k     *callConn
	id    uint64
	t     *template
	at    int   // bytes of the expected answer that have come
	bytes int64 // that have come
	wrong bool
}

func (k *callConn) take() *asked {
	if n := len(k.free); n > 0 {
		a := k.free[n-1]
		k.free = k.free[:n-1]
		return a
	}
	return &asked{k: k}
}

// OnMessage takes a piece of the answer.
func (a *asked) OnMessage(_ *session.Session, m session.Message) {
	m.Drop()
	if m.Kind != session.Chunk {
		a.wrong = true
		return
	}
	a.bytes += int64(len(m.Data))
	if want := a.t.expect; want != "" && !a.wrong {
		a.wrong = len(m.Data) > len(want)-a.at || string(m.Data) != want[a.at:a.at+len(m.Data)]
		a.at += len(m.Data)
	}
}

// OnWritable is never called: all is said at once.
func (a *asked) OnWritable(*session.Session) {}

// OnEnd is the end of the answer.
func (a *asked) OnEnd(s *session.Session, err error) {
	k, id, bytes := a.k, a.id, a.bytes
	r := &k.reply // lent to whoever counts it
	*r = reply{wrong: a.wrong || a.t.expect != "" && a.at != len(a.t.expect)}
	s.Release()
	*a = asked{k: k}
	k.free = append(k.free, a)
	if err != nil {
		k.erred(id, err, bytes, r)
		return
	}
	k.c.answered(id, r, bytes, false)
}

// erred is told of a session that has ended with an error.
func (k *callConn) erred(id uint64, err error, bytes int64, r *reply) {
	var said *session.Error
	switch {
	case !errors.As(err, &said): // the connection has ended, and its end says so of all
	case !said.Remote: // we have refused what came
		k.c.failed(id, KindMalformed, bytes, false)
	default:
		r.said = fmt.Sprintf("error %d,%d", said.Category, said.Code)
		if k.dialect == heddle.V0 {
			r.said = fmt.Sprintf("error %d", said.Code)
		}
		k.c.answered(id, r, bytes, false)
	}
}
