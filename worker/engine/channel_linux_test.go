package engine

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

// A logBook is what was logged, as text.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// A visitor is one connection to an engine, and what came of it.
type visitor struct {
	end  *sessiontest.End
	gone chan struct{}
	got  bytes.Buffer
}

func (v *visitor) OnOpen()                       {}
func (v *visitor) OnBytes(p []byte) (int, error) { v.got.Write(p); return len(p), nil }
func (v *visitor) OnEOF()                        { v.end.Close(nil) }
func (v *visitor) OnDrain()                      {}
func (v *visitor) OnClose(error)                 { close(v.gone) }
func (v *visitor) closed() bool                  { return isClosed(v.gone) }

// visit connects to a lane as process pid of user uid.
func visit(e *Engine, w *fakeWorld, lane, pid, uid int) *visitor {
	a, b := sessiontest.New()
	w.mu.Lock()
	w.ends = append(w.ends, a, b)
	w.mu.Unlock()
	v := &visitor{end: b, gone: make(chan struct{})}
	a.Start(newChannel(e, e.lanes[lane], a, os.Geteuid(), func() (int, int, error) { return pid, uid, nil }))
	b.Start(v)
	return v
}

func greeting(uuid string, number uint64) []byte {
	offer := &heddle.Offer{Channel: number}
	for _, f := range features {
		offer.Features = append(offer.Features, heddle.Raw(f))
	}
	return codec.AppendHandshake(nil, heddle.V1, uuid, offer)
}

// Whoever is no worker is turned away with a reason in the log, and the
// workers do not notice.
func TestStrangers(t *testing.T) {
	const noWorker = "00000000-0000-0000-0000-000000000000"
	me := os.Geteuid()
	for _, tt := range []struct {
		name string
		pid  int // 0: the worker's, 1: another in its group
		uid  int
		lane int
		send func(id string) []byte
		wait time.Duration // until it is turned away
		log  string
	}{
		{name: "another user", pid: 2000, uid: me + 1, log: "and this is for user"},
		{name: "no handshake", pid: 2000, uid: me, wait: 5 * time.Second, log: "no handshake within 5s"},
		{name: "half a handshake", pid: 2000, uid: me, wait: 5 * time.Second, send: func(id string) []byte { return greeting(id, 0)[:20] }, log: "no handshake within 5s"},
		{name: "no frame", pid: 2000, uid: me, send: func(string) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, log: "codec"},
		{name: "unknown id", pid: 2000, uid: me, send: func(string) []byte { return greeting(noWorker, 0) }, log: "no live worker has the id"},
		{name: "long id", pid: 2000, uid: me, send: func(string) []byte { return greeting(strings.Repeat("x", 32<<10), 0) }, log: "no live worker has the id"},
		{name: "stolen id", pid: 2000, uid: me, lane: 1, send: func(id string) []byte { return greeting(id, 1) }, log: "not in the process group of worker 0"},
		{name: "another of the group", pid: 1, uid: me, lane: 1, send: func(id string) []byte { return greeting(id, 1) }, log: "whose other channels are of pid"},
		{name: "channel again", uid: me, send: func(id string) []byte { return greeting(id, 0) }, log: "is there already"},
		{name: "wrong channel", uid: me, lane: 1, send: func(id string) []byte { return greeting(id, 0) }, log: "on the endpoint of channel 1"},
		{name: "no such channel", uid: me, lane: 1, send: func(id string) []byte { return greeting(id, 1<<60) }, log: "on the endpoint of channel 1"},
		{name: "heartbeat first", pid: 2000, uid: me, send: func(string) []byte { return codec.AppendHeartbeat(nil, heddle.V1) }, log: "heartbeat before the handshake"},
		{name: "terminate first", pid: 2000, uid: me, send: func(string) []byte { return codec.AppendTerminate(nil, heddle.V1, 1, "no") }, log: "terminate before the handshake"},
		{name: "session first", pid: 2000, uid: me, send: func(string) []byte { return codec.AppendInvoke(nil, heddle.V1, 3, "x", -1) }, log: "never opened"},
		{name: "control first", pid: 2000, uid: me, send: func(string) []byte { return codec.AppendControl(nil, heddle.CtlOnline) }, log: "before the welcome"},
		{name: "plain v0", uid: me, send: func(id string) []byte { return codec.AppendHandshake(nil, heddle.V0, id, nil) }, log: "plain protocol"},
		{name: "plain v1", uid: me, send: func(id string) []byte { return codec.AppendHandshake(nil, heddle.V1, id, nil) }, log: "plain protocol"},
		{name: "few features", uid: me, send: func(id string) []byte {
			return codec.AppendHandshake(nil, heddle.V1, id, &heddle.Offer{Features: []heddle.Raw{heddle.Raw("window")}, Version: heddle.Raw("0.0.1")})
		}, log: "lacks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logBook
				w := &fakeWorld{}
				e := newFake(t, w, Options{Loops: 2, Logger: log.logger()})
				start(t, e)
				p := w.proc(1)
				pid := tt.pid
				if pid < 2 {
					pid += p.pid()
				}
				v := visit(e, w, tt.lane, pid, tt.uid)
				if tt.send != nil {
					if _, err := v.end.Send(tt.send(p.uuid), nil); err != nil {
						t.Fatal(err)
					}
				}
				if tt.wait > 0 {
					time.Sleep(tt.wait - time.Millisecond)
					if v.closed() {
						t.Error("turned away too early")
					}
					time.Sleep(2 * time.Millisecond)
				}
				synctest.Wait()
				if !v.closed() {
					t.Fatal("not turned away")
				}
				if v.got.Len() > 0 {
					t.Errorf("was sent %x", v.got.Bytes())
				}
				if got := log.String(); !strings.Contains(got, tt.log) || !strings.Contains(got, "connection refused; workers are not concerned") {
					t.Errorf("log has no %q:\n%s", tt.log, got)
				}
				st := e.Stats()
				if st.Strangers != 1 || st.Pending != 0 || e.strangers.Load() != 0 || st.Online != 1 {
					t.Errorf("stats %+v", st)
				}
				if got, err := ask(t, e, "echo"); got != "first" || err != nil {
					t.Errorf("worker: %q, %v", got, err)
				}
			})
		})
	}
}

// Many who say nothing do not keep a worker out, and the log is not flooded.
func TestManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBook
		w := &fakeWorld{}
		e := newFake(t, w, Options{Logger: log.logger()})
		start(t, e)
		var all []*visitor
		for range 3 * maxStrangers {
			all = append(all, visit(e, w, 0, 2000, os.Geteuid()))
		}
		synctest.Wait()
		open := 0
		for _, v := range all {
			if !v.closed() {
				open++
			}
		}
		if open != maxStrangers {
			t.Errorf("%d strangers are let wait, want %d", open, maxStrangers)
		}
		w.proc(1).die(exit{code: 1})
		until(t, "a successor is online", func() bool { return w.count() == 2 && e.Stats().Online == 1 })
		time.Sleep(6 * time.Second)
		if st := e.Stats(); st.Pending != 0 || st.Strangers != 3*maxStrangers {
			t.Errorf("stats %+v", st)
		}
		if n := strings.Count(log.String(), "connection refused"); n < 1 || n > 6 {
			t.Errorf("%d lines in the log", n)
		}
	})
}

// What a worker must not say ends its channel, and so the worker.
func TestWorkerBreaksRules(t *testing.T) {
	for name, tt := range map[string]struct {
		frame []byte
		want  string
	}{
		"unknown control": {codec.AppendControl(nil, 99), "does not send control message 99"},
		"welcome":         {codec.AppendWelcome(nil, &heddle.WelcomeInfo{}), "does not send control message 16"},
		"no reason":       {codec.AppendExtension(nil, heddle.ControlChannel, heddle.CtlBroken, []byte{0x91, 0x01}), "arguments of message 18"},
		"no frame":        {[]byte{0xc1}, "codec"},
		"even id":         {codec.AppendInvoke(nil, heddle.V1, 1000, "x", -1), "never opened"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var deaths deathsOf
				w := &fakeWorld{}
				born := make(chan *mini, 2)
				w.born = func(p *fakeProcess) { born <- p.work("") }
				e := newFake(t, w, Options{OnDeath: deaths.on})
				start(t, e)
				if err := (<-born).muxes[0].Send(tt.frame); err != nil {
					t.Fatal(err)
				}
				d := deaths.wait(t, 1)[0]
				if d.Expected || !strings.Contains(d.Reason, "channel 0: ") || !strings.Contains(d.Reason, tt.want) {
					t.Errorf("death %+v, want %q", d, tt.want)
				}
				until(t, "a successor is online", func() bool { return e.Stats().Online == 1 })
			})
		})
	}
}

// Frames after the end are counted, and do no harm.
func TestWritesAfterChoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{})
		start(t, e)
		if got, err := ask(t, e, "choke"); got != "all" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if st := e.Stats(); st.Ignored != 3 || st.Deaths != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A stream that overruns its credit ends; its worker and its neighbour live.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{})
		start(t, e)
		other := open(t, e, "slow 1s")
		s := open(t, e, "flood")
		time.Sleep(100 * time.Millisecond)
		if _, err := answer(s); err == nil || !strings.Contains(err.Error(), "more than its window") {
			t.Errorf("got %v", err)
		}
		if got, err := answer(other); got != "at last" || err != nil {
			t.Errorf("neighbour: %q, %v", got, err)
		}
		if st := e.Stats(); st.Overrun != 1 || st.Deaths != 0 || st.Lost != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// Sessions that a worker opens are refused, and none is kept.
func TestOpensAndCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		bad := make(chan *visitor, 1)
		w.born = func(p *fakeProcess) {
			time.Sleep(time.Millisecond) // until the start has returned
			v := visit(p.w.e, p.w, 0, p.pid(), os.Geteuid())
			_, _ = v.end.Send(greeting(p.uuid, 0), codec.AppendControl(nil, heddle.CtlOnline))
			bad <- v
		}
		e := newFake(t, w, Options{})
		start(t, e)
		v := <-bad
		const n = 100_000
		for i := range uint64(n) {
			sid := 3 + 2*i
			f := codec.AppendInvoke(nil, heddle.V1, sid, "nonsense", -1)
			if i%2 == 0 { // the others are left open
				f = codec.AppendCancel(f, sid, 1, 1, "never mind")
			}
			if _, err := v.end.Send(f, nil); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		ch := e.living()[0].all()[0]
		if got := ch.mux.Sessions(); got != 0 {
			t.Errorf("%d sessions are kept", got)
		}
		if st := e.Stats(); st.Refused != n || st.Deaths != 0 || st.Online != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

var _ loop.Handler = (*visitor)(nil)
var _ session.Control = (*channel)(nil)
