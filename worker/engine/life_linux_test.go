package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/session/sessiontest"
)

func start(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// ask opens a session and returns its whole answer.
func ask(t testing.TB, e *Engine, event string) (string, error) {
	t.Helper()
	s, err := e.Open(t.Context(), session.OpenOptions{Event: event, First: []byte("first"), Last: true})
	if err != nil {
		return "", err
	}
	return answer(s)
}

func answer(s *session.Session) (string, error) {
	defer s.Discard()
	var b strings.Builder
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		b.Write(m.Data)
	}
}

// deathsOf collects the records of an engine's workers.
type deathsOf struct {
	mu  sync.Mutex
	all []Death
}

func (d *deathsOf) on(x Death) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, x)
}

// wait returns the first n records.
func (d *deathsOf) wait(t *testing.T, n int) []Death {
	t.Helper()
	for range 100_000 {
		d.mu.Lock()
		all := slices.Clone(d.all)
		d.mu.Unlock()
		if len(all) >= n {
			return all
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("fewer than %d workers died", n)
	return nil
}

// until waits for something that is soon true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 60_000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestServes(t *testing.T) {
	for _, loops := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWorld{}
			e := newFake(t, w, Options{Workers: 2, Loops: loops})
			start(t, e)
			for range 20 {
				if got, err := ask(t, e, "echo"); got != "first" || err != nil {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			if s := e.Stats(); s.Opened != 20 || s.Expected != 2 || s.Signalled != 0 || s.Online != 0 {
				t.Errorf("stats %+v", s)
			}
			if _, err := ask(t, e, "echo"); !errors.Is(err, ErrClosed) {
				t.Errorf("open after shutdown: %v", err)
			}
		})
	}
}

func TestStartTimeout(t *testing.T) {
	for bad, want := range map[string]string{
		badMute:    "no handshake within 5s",
		badOffline: "it greeted and never said that it is online",
		badBytes:   "codec: byte 0",
		badEarly:   "message 17 before the welcome",
		badPlain:   "plain protocol",
		badNumber:  "on the endpoint of channel 0",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWorld{born: func(p *fakeProcess) {
				p.workOn(bad, func(int) {}) // its process stays
			}}
			e := newFake(t, w, Options{})
			err := e.Start(t.Context())
			var se *StartError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "worker 0") {
				t.Fatalf("%s: got %v, want a StartError with %q", bad, err, want)
			}
			got := strings.Join(w.proc(1).got(), ", ")
			if want := "SIGQUIT after 1m0s, SIGTERM after 1m1s, SIGKILL after 1m6s"; !strings.HasPrefix(got, want) {
				t.Errorf("%s: signals %q, want %q", bad, got, want)
			}
			if n := len(e.living()); n > 0 {
				t.Errorf("%s: %d workers are left", bad, n)
			}
		})
	}
}

// What a process said just before it exited is read before its end is told, and
// waited for no longer than a moment.
func TestLastWordsOfAStart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // that the engine reads
		want  string
		lacks string
	}{
		{"soon", 100 * time.Millisecond, "exited with status 7 before it was online: codec: byte 0", "EOF"},
		{"too late", time.Minute, "exited with status 7 before it was online", "codec"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWorld{born: func(p *fakeProcess) {
				var end *sessiontest.End
				p.dial(p.w.e.lanes[0].endpoint, func(link session.Link) loop.Handler {
					end = link.(*sessiontest.End)
					end.Stall(true)
					_, _ = end.Send([]byte("GET / HTTP/1.1\r\n\r\n"), nil)
					return session.NewMux(link, session.Options{})
				})
				time.Sleep(10 * time.Millisecond)
				p.die(exit{code: 7})
				time.Sleep(tt.after)
				end.Stall(false)
			}}
			begun := time.Now()
			err := newFake(t, w, Options{}).Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), tt.lacks) {
				t.Errorf("%s: got %v, want %q and no %q", tt.name, err, tt.want, tt.lacks)
			}
			if d := time.Since(begun); d > 3*time.Second {
				t.Errorf("%s: took %v", tt.name, d)
			}
		})
	}
}

// A process may be refused, and exit, before the call that started it returns.
func TestFasterThanItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{delay: time.Second, born: func(p *fakeProcess) {
			p.workOn(badBytes, func(int) { p.die(exit{code: 7}) })
		}}
		err := newFake(t, w, Options{}).Start(t.Context())
		if want := "exited with status 7 before it was online: codec: byte 0"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	})
}

// A worker that stops beating is hung: its successor comes at once.
func TestNeverBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) {
			if p.n > 1 {
				p.work("")
				return
			}
			p.work(badBeats)
		}}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		s, err := e.Open(t.Context(), session.OpenOptions{Event: "hang"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		if n := w.count(); n != 1 {
			t.Fatalf("%d processes before the time-out", n)
		}
		time.Sleep(3 * time.Second)
		if n := w.count(); n != 2 {
			t.Fatalf("%d processes after the time-out", n)
		}
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("successor: got %q, %v", got, err)
		}
		if _, err := answer(s); !errors.Is(err, session.ErrLost) {
			t.Errorf("its session ended with %v", err)
		}
		d := deaths.wait(t, 1)[0]
		if !strings.HasPrefix(d.Reason, "hung: no heartbeat on channel 0 for 30s; was killed by SIGKILL") || len(d.Lost) != 1 || d.Expected {
			t.Errorf("death %+v", d)
		}
	})
}

// Drain, terminate, SIGTERM, SIGQUIT, SIGKILL: each after its time-out.
func TestIgnoresTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) { p.work(badStubborn) }}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		if _, err := e.Open(t.Context(), session.OpenOptions{Event: "hang"}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		done := make(chan error)
		go func() { done <- e.Shutdown(context.Background()) }()
		time.Sleep(time.Second)
		if st := e.Status().Workers[0]; st.State != "draining" || st.Sessions != 1 {
			t.Errorf("status %+v", st)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		// 30 s drain, 10 s terminate, 5 s SIGTERM
		if got := time.Since(begun).Truncate(time.Second); got != 45*time.Second {
			t.Errorf("took %v", got)
		}
		if got := fmt.Sprint(w.proc(1).got()); !strings.HasPrefix(got, "[SIGTERM after 40s SIGQUIT after 44s SIGKILL after 45s") {
			t.Errorf("signals %s", got)
		}
		d := deaths.wait(t, 1)[0]
		if !d.Expected || d.Signal != "SIGKILL" || !strings.Contains(d.Reason, "did not finish its sessions within 30s") || len(d.Lost) != 1 {
			t.Errorf("death %+v", d)
		}
	})
}

// Who is killed by somebody else while it drains has died, and did not leave.
func TestKilledWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) { p.work(badStubborn) }}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		if _, err := e.Open(t.Context(), session.OpenOptions{Event: "hang"}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- e.Shutdown(context.Background()) }()
		time.Sleep(time.Second)
		w.proc(1).die(exit{code: -1, signal: "SIGKILL"})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := deaths.wait(t, 1)[0]; d.Expected || d.Signal != "SIGKILL" || len(d.Lost) != 1 {
			t.Errorf("death %+v", d)
		}
	})
}

// A shutdown whose context ends kills what is left.
func TestShutdownContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{})
		start(t, e)
		if _, err := e.Open(t.Context(), session.OpenOptions{Event: "hang"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		if err := e.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(begun); got.Truncate(time.Second) != 3*time.Second {
			t.Errorf("took %v", got)
		}
	})
}

// Sessions that a draining worker has are finished.
func TestDrainFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{}
		e := newFake(t, w, Options{Workers: 2, Loops: 2})
		start(t, e)
		var all []*session.Session
		for range 8 {
			s, err := e.Open(t.Context(), session.OpenOptions{Event: "slow 7s"})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		begun := time.Now()
		if err := e.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun).Truncate(time.Second); got != 7*time.Second {
			t.Errorf("took %v", got)
		}
		for _, s := range all {
			if got, err := answer(s); got != "at last" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if s := e.Stats(); s.Signalled != 0 || s.Lost != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Deaths before a second of service grow the rest before the next start; a
// second of service resets it and the successor comes at once.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		var died [20]time.Time
		w := &fakeWorld{}
		w.born = func(p *fakeProcess) {
			p.work("")
			serve := 100 * time.Millisecond
			if p.n == 12 || p.n == 14 {
				serve = 1500 * time.Millisecond
			}
			time.Sleep(serve)
			if p.n < len(died) {
				died[p.n] = time.Now()
			}
			p.die(exit{code: 1})
		}
		e := newFake(t, w, Options{OnDeath: deaths.on, Backoff: BackoffOptions{Max: 10 * time.Second}})
		start(t, e)
		limit := 100 * time.Millisecond
		for n := 2; n <= 15; n++ {
			p := w.proc(n)
			rest := p.began.Sub(died[n-1])
			switch {
			case n == 13 || n == 15:
				if rest > 5*time.Millisecond {
					t.Errorf("start %d came %v after a death with service", n, rest)
				}
				limit = 100 * time.Millisecond
			default:
				if rest < limit/2 || rest > limit+5*time.Millisecond {
					t.Errorf("start %d came %v after the death, want %v less up to half", n, rest, limit)
				}
				limit = min(2*limit, 10*time.Second)
			}
		}
		d := deaths.wait(t, 12)
		if d[0].Reason != "exited with status 1" || d[0].Served < 90*time.Millisecond || d[11].Served < ServedEnough {
			t.Errorf("deaths %+v, %+v", d[0], d[11])
		}
		if st := e.Status().Workers; len(st) != 1 || st[0].Restarts < 14 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestBackoffDelay(t *testing.T) {
	b := BackoffOptions{Min: 100 * time.Millisecond, Max: time.Second}
	for n, want := range map[int]time.Duration{1: 100e6, 2: 200e6, 3: 400e6, 4: 800e6, 5: 1e9, 60: 1e9, 100000: 1e9} {
		if got := b.delay(n, 0); got != want {
			t.Errorf("delay(%d) = %v, want %v", n, got, want)
		}
		if got := b.delay(n, 0.999); got < want/2 || got > want/2+want/100 {
			t.Errorf("delay(%d) with chance = %v, want about %v", n, got, want/2)
		}
	}
}

// No more than one per CPU are starting at any time.
func TestStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		w := &fakeWorld{born: func(p *fakeProcess) {
			n := now.Add(1)
			most.Store(max(most.Load(), n))
			time.Sleep(time.Second)
			now.Add(-1)
			p.work("")
		}}
		e := newFake(t, w, Options{Workers: 4*runtime.NumCPU() + 1})
		begun := time.Now()
		start(t, e)
		if n := most.Load(); n != int64(runtime.NumCPU()) {
			t.Errorf("%d were starting at once, want %d", n, runtime.NumCPU())
		}
		if d := time.Since(begun).Truncate(time.Second); d != 5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// A handshake that comes before the start has returned waits for it.
func TestHandshakeBeforeStartReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{delay: 3 * time.Second}
		e := newFake(t, w, Options{Loops: 2})
		start(t, e)
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{fail: func(int) error { return syscall.ENOEXEC }}
		e := newFake(t, w, Options{Workers: 3})
		err := e.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "could not be started: exec format error") || !strings.Contains(err.Error(), "program for this machine") {
			t.Errorf("got %v", err)
		}
	})
}

// Once the engine serves, a start that fails is tried again.
func TestRestartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{fail: func(n int) error {
			if n == 2 || n == 3 {
				return syscall.EAGAIN
			}
			return nil
		}}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		time.Sleep(2 * time.Second)
		w.proc(1).die(exit{code: -1, signal: "SIGSEGV"})
		until(t, "the death is noticed", func() bool { return e.Stats().Online == 0 })
		if got, err := ask(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		var got []string
		for _, d := range deaths.wait(t, 3) {
			got = append(got, fmt.Sprint(d.Pid, " ", d.Reason))
		}
		slices.Sort(got) // the first one's record may come after its successor's
		const failed = "0 could not be started: resource temporarily unavailable"
		if want := []string{failed, failed, "1010 was killed by SIGSEGV"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// The first worker's failure ends Start, also when others are online.
func TestStartNamesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{born: func(p *fakeProcess) {
			if lookup(p.spec.env, envIndex) != "1" {
				p.work("")
				return
			}
			p.spec.output(Stdout, "not this", false)
			p.spec.output(Stderr, "cannot open the thing", false)
			p.die(exit{code: 4})
		}}
		e := newFake(t, w, Options{Workers: 3})
		err := e.Start(t.Context())
		want := `engine: worker 1 of /bin/worker did not come online: exited with status 4 before it was online
its last words on standard error:
  cannot open the thing
the other workers were stopped and nothing is left running; run /bin/worker by hand to see what it does, and check that it serves with httpcompat.ListenAndServe or runs a worker`
		if err == nil || err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	})
}

func TestStartContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{born: func(p *fakeProcess) { p.work(badMute) }}
		e := newFake(t, w, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := e.Start(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("second start: %v", err)
		}
	})
}

// A second handshake ends that worker, and no other.
func TestHandshakesTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) {
			if p.n == 2 {
				time.Sleep(2 * time.Second)
				p.work(badTwice)
				return
			}
			p.work("")
		}}
		e := newFake(t, w, Options{Workers: 2, OnDeath: deaths.on})
		start(t, e)
		d := deaths.wait(t, 1)[0]
		if d.Pid != w.proc(2).pid() || !strings.Contains(d.Reason, "second handshake") {
			t.Errorf("death %+v", d)
		}
		until(t, "a successor is online", func() bool { return e.Stats().Online == 2 })
		time.Sleep(5 * time.Second)
		w.proc(3)
		if n := len(deaths.wait(t, 1)); n != 1 {
			t.Errorf("%d workers died", n)
		}
	})
}

// A worker that asks to be replaced serves until its successor does.
func TestBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) {
			switch p.n {
			case 1:
				p.work(badBroken)
			case 2:
				time.Sleep(3 * time.Second)
				p.die(exit{code: 9}) // the first attempt fails
			default:
				time.Sleep(3 * time.Second)
				p.work("")
			}
		}}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		time.Sleep(time.Second)
		for range 5 {
			if got, err := ask(t, e, "echo"); got != "first" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			time.Sleep(time.Second)
		}
		st := e.Status().Workers
		if len(st) != 2 || st[0].State != "broken" || st[1].State != "starting" {
			t.Errorf("status %+v", st)
		}
		all := deaths.wait(t, 2)
		if all[0].ExitCode != 9 || !all[1].Expected || all[1].Pid != w.proc(1).pid() {
			t.Errorf("deaths %+v", all)
		}
		if got, err := ask(t, e, "echo"); got != "first" || err != nil || w.count() != 3 {
			t.Errorf("got %q, %v from one of %d", got, err, w.count())
		}
	})
}

// A worker that somebody sent SIGTERM is drained, and replaced meanwhile.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{}
		e := newFake(t, w, Options{Loops: 2, OnDeath: deaths.on})
		start(t, e)
		s, err := e.Open(t.Context(), session.OpenOptions{Event: "slow 9s"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		w.proc(1).term <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		if got, err := ask(t, e, "echo"); got != "first" || err != nil || w.count() != 2 {
			t.Errorf("got %q, %v, %d processes", got, err, w.count())
		}
		if got, err := answer(s); got != "at last" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if d := deaths.wait(t, 1)[0]; !d.Expected || d.ExitCode != 0 || len(d.Lost) > 0 {
			t.Errorf("death %+v", d)
		}
	})
}

// A worker that says terminate and stays is made to leave.
func TestSaysTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) {
			if p.n == 1 {
				p.work(badTerminate)
				return
			}
			p.work("")
		}}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		d := deaths.wait(t, 1)[0]
		if !strings.Contains(d.Reason, `said terminate (1, "had enough")`) {
			t.Errorf("death %+v", d)
		}
	})
}

// What SIGKILL does not end is given up.
func TestImmortal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaths deathsOf
		w := &fakeWorld{born: func(p *fakeProcess) {
			p.immortal = true
			p.work(badStubborn)
		}}
		e := newFake(t, w, Options{OnDeath: deaths.on})
		start(t, e)
		begun := time.Now()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d < killGrace || d > killGrace+3*channelGrace {
			t.Errorf("took %v", d)
		}
		if d := deaths.wait(t, 1)[0]; !strings.Contains(d.Reason, "did not die within 10s of SIGKILL") {
			t.Errorf("death %+v", d)
		}
		w.proc(1).die(exit{code: 0}) // and it is reaped after all
	})
}

// What a worker may take to leave is what was tuned last.
func TestTuneEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWorld{born: func(p *fakeProcess) { p.work(badStubborn) }}
		e := newFake(t, w, Options{})
		start(t, e)
		open(t, e, "hang")
		tuning := *e.tuning()
		tuning.ShutdownTimeout, tuning.KillDelay = 4*time.Second, 2*time.Second
		if err := e.Tune(tuning); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		// 30 s drain, 4 s terminate, 2 s SIGTERM
		if got := time.Since(begun).Truncate(time.Second); got != 36*time.Second {
			t.Errorf("took %v", got)
		}
		if got := fmt.Sprint(w.proc(1).got()); !strings.HasPrefix(got, "[SIGTERM after 34s SIGQUIT after 35s SIGKILL after 36s") {
			t.Errorf("signals %s", got)
		}
		for _, bad := range []func(*Tuning){func(t *Tuning) { t.ShutdownTimeout = 0 }, func(t *Tuning) { t.KillDelay = 0 }} {
			none := tuning
			if bad(&none); e.Tune(none) == nil {
				t.Errorf("taken: %+v", none)
			}
		}
	})
}
