package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// attach has a plain process open a channel, and do bad wrong there. It goes on
// when the channel has ended.
func (p *fakeProcess) attach(bad string) *mini {
	m := &mini{uuid: p.uuid, bad: bad, beat: 5 * time.Second, spawn: func(f func()) { p.w.playing.Go(f) }, exit: func(int) {}}
	m.dial = func(endpoint string, make func(session.Link) loop.Handler) error {
		p.dial(endpoint, make)
		return nil
	}
	_ = m.connect(lookup(p.spec.env, envEndpoint), 0)
	return m
}

// attaching are plain processes of which each has opened a channel when it is born.
func attaching(w *fakeWorld, bad string) (minis func(n int) *mini) {
	var mu sync.Mutex
	all := make(map[int]*mini)
	w.born = func(p *fakeProcess) {
		m := p.attach(bad)
		mu.Lock()
		all[p.n] = m
		mu.Unlock()
		obeys(p)
	}
	return func(n int) *mini {
		w.proc(n)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return all[n]
	}
}

func (w *mini) heard() (suspended, drained bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held > 0, w.drained > 0
}

func (w *mini) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.muxes[0].Link().CloseWrite()
}

// TestAttachReady: one that has attached must answer and say that it is online.
func TestAttachReady(t *testing.T) {
	for _, c := range []struct {
		name, bad string
		answers   time.Duration // after its birth
		says      time.Duration // online, likewise; 0: by itself, at once
		want      time.Duration
	}{
		{"says it last", badOffline, time.Second, 3 * time.Second, 3 * time.Second},
		{"answers last", badOffline, 5 * time.Second, 2 * time.Second, 5 * time.Second},
		{"by itself", "", 2 * time.Second, 0, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &fakeWorld{knocks: func(_ string, since time.Duration) error {
					if since >= c.answers {
						return nil
					}
					return syscall.ECONNREFUSED
				}}
				minis := attaching(w, c.bad)
				e := newPlain(t, w, Options{})
				if c.says > 0 {
					go func() {
						m := minis(1)
						time.Sleep(c.says)
						m.online(0)
					}()
				}
				began := time.Now()
				start(t, e)
				if took := time.Since(began); took < c.want || took > c.want+mostPause {
					t.Errorf("ready after %v, want %v", took, c.want)
				}
				env := w.proc(1).spec.env
				if lookup(env, envHTTP) != "1" || lookup(env, envProtocol) != "1" || lookup(env, envEndpoint) == "" {
					t.Errorf("environment %q", env)
				}
			})
		})
	}
}

// TestAttachGone: one that attached, and whose channel ended before it said that it
// is online, is ready when it answers, as one is that never attaches.
func TestAttachGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{knocks: func(_ string, since time.Duration) error {
			if since >= time.Second { // one that answers at once may be ready before it has attached
				return nil
			}
			return syscall.ECONNREFUSED
		}}
		minis := attaching(w, badOffline)
		e := newPlain(t, w, Options{})
		go func() {
			m := minis(1)
			time.Sleep(2 * time.Second)
			m.hangUp()
		}()
		began := time.Now()
		start(t, e)
		if took, want := time.Since(began), 2*time.Second+leaveGrace; took < want || took > want+mostPause {
			t.Errorf("ready after %v, want %v", took, want)
		}
	})
}

// TestAttachNotReady: what a person reads of those that never are.
func TestAttachNotReady(t *testing.T) {
	for bad, want := range map[string]string{
		badOffline:     "not online within 7s of its start: it answers, but has attached and never said that it is online",
		badBrokenEarly: `said broken ("not well") before it was online`,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWorld{}
			w.knocks = func(_ string, since time.Duration) error {
				if bad == badBrokenEarly || since < time.Second { // it attaches before it answers
					return syscall.ECONNREFUSED
				}
				return nil
			}
			attaching(w, bad)
			e := newPlain(t, w, Options{StartTimeout: 7 * time.Second})
			err := e.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s in it", err, want)
			}
			if got := w.proc(1).got(); len(got) != 1 || !strings.HasPrefix(got[0], "SIGTERM") {
				t.Errorf("signals %q", got)
			}
		})
	}
}

// TestAttachBroken: it is replaced, and what it has it finishes.
func TestAttachBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{}
		minis := attaching(w, "")
		e := newPlain(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		u := acquire(t, e, "long")
		minis(1).breaks("out of sorts")
		minis(2)
		<-u.Retired()
		v := acquire(t, e, "next")
		if v.ID() == u.ID() {
			t.Error("the broken one is still given requests")
		}
		v.Give(false)
		synctest.Wait()
		if _, drained := minis(1).heard(); !drained {
			t.Error("it was not told of the drain")
		}
		time.Sleep(10 * time.Second)
		if got := w.proc(1).got(); got != nil {
			t.Errorf("signals %q while it has a request", got)
		}
		u.Give(false)
		if d := deaths.wait(t, 1)[0]; len(d.Lost) > 0 || !d.Expected {
			t.Errorf("death %+v", d)
		}
	})
}

// TestAttachSuspend: those that are there hear of it, and those that come later
// find it so.
func TestAttachSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newPlain(t, w, Options{Suspended: true})
		start(t, e)
		p := w.proc(1)
		is := func(m *mini, want bool) {
			t.Helper()
			synctest.Wait()
			if got, _ := m.heard(); got != want {
				t.Errorf("suspended %v, want %v", got, want)
			}
		}
		m := p.attach("")
		is(m, true)
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(m, false)
		m.hangUp()
		synctest.Wait()
		m = p.attach("") // though the environment says HEDDLE_SUSPENDED=1
		is(m, false)
		if err := e.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(m, true)
		m.hangUp()
		synctest.Wait()
		m = p.attach("")
		is(m, true)
		if err := e.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(m, false)
		u := acquire(t, e, "long")
		done := make(chan error, 1)
		go func() { done <- e.Shutdown(t.Context()) }()
		synctest.Wait()
		if _, drained := m.heard(); !drained {
			t.Error("not told of the drain")
		}
		late := p.attach("")
		synctest.Wait()
		if _, drained := late.heard(); !drained {
			t.Error("one that attaches while it drains is not told of that")
		}
		u.Give(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := e.Stats(); s.Spawned != 1 || s.Expected != 1 || s.Signalled != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestAttachLost: the end of a channel is no end of a program, nor is a fault
// there, but it is logged.
func TestAttachLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		var deaths deathsOf
		w := &fakeWorld{}
		minis := attaching(w, "")
		e := newPlain(t, w, Options{OnDeath: deaths.on, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		start(t, e)
		minis(1).hangUp()
		time.Sleep(time.Minute)
		if !strings.Contains(log.String(), "program's channel has ended; it serves on") {
			t.Errorf("log:\n%s", log.String())
		}
		m := w.proc(1).attach("")
		synctest.Wait()
		m.mu.Lock()
		_ = m.muxes[0].Send([]byte("GET / HTTP/1.1\r\n\r\n"))
		m.mu.Unlock()
		time.Sleep(time.Minute)
		acquire(t, e, "a").Give(false)
		if s := e.Stats(); s.Spawned != 1 || s.Deaths != 0 || s.Online != 1 {
			t.Errorf("stats %+v", s)
		}
		w.proc(1).die(exit{code: 3})
		if d := deaths.wait(t, 1)[0]; d.Reason != "exited with status 3" {
			t.Errorf("it died of %q", d.Reason)
		}
	})
}

// TestAttachBeats: heartbeats are the duty of those that have attached.
func TestAttachBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newPlain(t, w, Options{HeartbeatTimeout: 20 * time.Second})
		start(t, e)
		time.Sleep(time.Hour)
		p := w.proc(1)
		m := p.attach("")
		time.Sleep(time.Hour)
		if got := p.got(); got != nil {
			t.Errorf("signals %q", got)
		}
		m.hangUp()
		time.Sleep(time.Hour)
		p.attach(badBeats)
		time.Sleep(time.Minute)
		got := p.got()
		for i, s := range got {
			got[i], _, _ = strings.Cut(s, " ")
		}
		if !slices.Equal(got, []string{"SIGQUIT", "SIGTERM"}) {
			t.Errorf("signals %q", got)
		}
	})
}

// TestAttachStranger: a process that is none of the program's is refused, and
// nothing comes of it; so is a second one while the first is there.
func TestAttachStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stranger := false
		w := &fakeWorld{}
		w.cred = func(p *fakeProcess) (int, int) {
			if stranger {
				return p.pid() + 10, os.Geteuid()
			}
			return p.pid() + 1, os.Geteuid()
		}
		e := newPlain(t, w, Options{})
		start(t, e)
		p := w.proc(1)
		stranger = true
		m := p.attach(badBroken)
		time.Sleep(2 * time.Second)
		if n := e.Stats().Strangers; n != 1 || m.pending != 0 {
			t.Errorf("%d strangers refused, want 1; welcomed for %d channels", n, m.pending)
		}
		stranger = false
		p.attach("")
		synctest.Wait()
		m = p.attach(badBroken)
		time.Sleep(2 * time.Second)
		if n := e.Stats().Strangers; n != 2 || m.pending != 0 {
			t.Errorf("%d refused, want 2; welcomed for %d channels", n, m.pending)
		}
		if s := e.Stats(); s.Spawned != 1 || s.Online != 1 {
			t.Errorf("stats %+v", s)
		}
		if _, _, err := e.OpenOn(0, session.OpenOptions{}, nil); !errors.Is(err, ErrPlain) {
			t.Errorf("a session for a request: %v", err)
		}
	})
}

// A syncBuffer may be written to and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
