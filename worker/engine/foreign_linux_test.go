package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-go/heddle/session"
)

var foreignDialects = []Dialect{DialectV0, DialectV1}

// newForeign returns an engine of foreign workers that behave as does says.
func newForeign(t *testing.T, d Dialect, does string, o Options) *Engine {
	t.Helper()
	o.Dialect = d
	o.Env = append(o.Env, envForeign+"="+does)
	if o.Name == "" {
		o.Name = "shop"
	}
	return newReal(t, "foreign", o)
}

func eachDialect(t *testing.T, f func(t *testing.T, d Dialect)) {
	for _, d := range foreignDialects {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			f(t, d)
		})
	}
}

// askWhole asks with one chunk and the end of it.
func askWhole(t *testing.T, e *Engine, event string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := e.Open(ctx, session.OpenOptions{Event: event, First: []byte("first"), Last: true})
	if err != nil {
		return "", err
	}
	defer s.Discard()
	return answer(s)
}

// Foreign workers serve, are told who they are as their frameworks want it, and
// each loop has some of them.
func TestForeignServes(t *testing.T) {
	eachDialect(t, func(t *testing.T, d Dialect) {
		var lines linesOf
		e := newForeign(t, d, "", Options{Workers: 3, Loops: 2, Args: []string{"before", ArgsHere, "after"}, Locator: "10.0.0.1:1", Output: lines.on,
			Environ: append(os.Environ(), "HEDDLE_APP=inherited")})
		start(t, e)
		seen := make(map[string]bool)
		for range 30 {
			if got, err := askWhole(t, e, "echo"); got != "first" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			for range 2 { // loops take turns
				pid, err := askWhole(t, e, "pid")
				if err != nil {
					t.Fatal(err)
				}
				seen[pid] = true
			}
		}
		if len(seen) != 3 {
			t.Errorf("answers of %d workers, want 3", len(seen))
		}
		for i, l := range e.lanes {
			if n := len(*l.serving.Load()); n != 2-i {
				t.Errorf("loop %d has %d channels, want %d", i, n, 2-i)
			}
		}
		st := e.Status()
		for _, w := range st.Workers {
			if w.State != "online" || w.Sessions != 0 || w.Total == 0 {
				t.Errorf("status %+v", w)
			}
			protocol := ""
			if d == DialectV1 {
				protocol = `"--protocol" "1" `
			}
			path := strings.TrimPrefix(e.lanes[w.Index%2].endpoint, "unix:")
			want := `args ["before" "--app" "shop" "--endpoint" "` + path + `" "--locator" "10.0.0.1:1" ` + protocol + `"--uuid" "` + w.ID + `" "after"]`
			until(t, "worker "+w.ID+" was told "+want, func() bool { return lines.has(w.ID, want) })
		}
		if err := e.Scale(t.Context(), 1, 0); err != nil || !e.Serves(0) || e.Serves(1) {
			t.Errorf("scaled to one worker: %v; loops that have one: %v, %v", err, e.Serves(0), e.Serves(1))
		}
		if err := e.Scale(t.Context(), 3, 0); err != nil || !e.Serves(1) {
			t.Errorf("scaled to three: %v; loop 1 has one: %v", err, e.Serves(1))
		}
		if err := e.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// linesOf collects workers' lines.
type linesOf struct {
	mu   sync.Mutex
	list []Line
}

func (l *linesOf) on(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, line)
}

func (l *linesOf) of(id string) (texts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if line.ID == id {
			texts = append(texts, line.Text)
		}
	}
	return texts
}

func (l *linesOf) has(id, text string) bool { return slices.Contains(l.of(id), text) }

// Without a word that says where, the engine's arguments come last: behind the
// script that an interpreter wants first.
func TestForeignArgs(t *testing.T) {
	e := newForeign(t, DialectV1, "", Options{})
	l := &lane{e: e, endpoint: "unix:/run/shop.w0"}
	e.lanes = []*lane{l}
	g := e.newGeneration(e.opt.program(), nil, false)
	c := &child{e: e, g: g, id: "an id", foreign: true}
	got := c.foreignArgs([]string{"server.py", "-x"})
	want := []string{"server.py", "-x", "--app", "shop", "--endpoint", "/run/shop.w0", "--locator", DefaultLocator, "--protocol", "1", "--uuid", "an id"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	e.lanes = nil
}

// However a worker takes terminate, it leaves, and that is no crash.
func TestForeignTerminate(t *testing.T) {
	for does, want := range map[string]struct {
		exit   int
		reason string
	}{
		"":            {0, ""},
		foreignEchoes: {1, ""},
		foreignDeaf:   {143, "did not leave within"},
		foreignStays:  {-1, "said that it leaves and did not"},
	} {
		t.Run(does, func(t *testing.T) {
			eachDialect(t, func(t *testing.T, d Dialect) {
				var deaths deathsOf
				o := Options{OnDeath: deaths.on}
				if does == foreignDeaf {
					o.ShutdownTimeout = 300 * time.Millisecond
				}
				e := newForeign(t, d, does, o)
				start(t, e)
				s, err := e.Open(context.Background(), session.OpenOptions{Event: "slow 300ms", First: []byte{}, Last: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := e.Shutdown(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got, err := answer(s); got != "at last" || err != nil {
					t.Errorf("the session got %q, %v", got, err)
				}
				s.Discard()
				death := deaths.wait(t, 1)[0]
				if !death.Expected || death.ExitCode != want.exit || !strings.Contains(death.Reason, want.reason) {
					t.Errorf("death %+v", death)
				}
				frame := map[Dialect]string{
					DialectV0: "terminate 9201bb" + hexOf(reasonNormal),
					DialectV1: "terminate 920bb9" + hexOf(reasonShutdown),
				}[d]
				if !slices.Contains(death.Stderr, frame) {
					t.Errorf("it was told %q, want %q", death.Stderr, frame)
				}
			})
		})
	}
}

func hexOf(text string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(text) {
		b.WriteByte(digits[text[i]>>4])
		b.WriteByte(digits[text[i]&15])
	}
	return b.String()
}

// A worker that speaks the other dialect, nobody's name or no heartbeat does not
// start, and who tried is told why.
func TestForeignGreetings(t *testing.T) {
	eachDialect(t, func(t *testing.T, d Dialect) {
		other := map[Dialect]string{DialectV0: "v1", DialectV1: "v0"}[d]
		for does, want := range map[string]string{
			foreignOther:  "worker speaks dialect " + other + " and is run with dialect " + string(d) + ": run it with --dialect " + other,
			foreignNobody: "no live worker has the id \"nobody\"",
		} {
			e := newForeign(t, d, does, Options{})
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			err := e.Start(ctx)
			cancel()
			var se *StartError
			if !errors.As(err, &se) || !strings.Contains(se.Death.Reason, want) {
				t.Errorf("%s: got %v, want %q", does, err, want)
			}
		}
	})
	t.Run("mute v0", func(t *testing.T) {
		t.Parallel()
		e := newForeign(t, DialectV0, foreignMute, Options{StartTimeout: 500 * time.Millisecond, KillDelay: time.Second})
		var se *StartError
		if err := e.Start(context.Background()); !errors.As(err, &se) || !strings.Contains(se.Death.Reason, "it greeted and sent no heartbeat") || len(se.Death.Dump) > 0 {
			t.Errorf("got %v", err)
		}
	})
}

// A v1 worker works without any heartbeat, until it has been silent too long.
func TestForeignSilence(t *testing.T) {
	for _, c := range []struct {
		d    Dialect
		does string
	}{{DialectV0, foreignOnce}, {DialectV1, foreignMute}} {
		t.Run(string(c.d), func(t *testing.T) {
			t.Parallel()
			var deaths deathsOf
			e := newForeign(t, c.d, c.does, Options{HeartbeatTimeout: 400 * time.Millisecond, OnDeath: deaths.on})
			start(t, e)
			if got, err := askWhole(t, e, "echo"); got != "first" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			if d := deaths.wait(t, 1)[0]; d.Expected || !strings.Contains(d.Reason, "no heartbeat") || d.Signal != "SIGTERM" {
				t.Errorf("death %+v", d)
			}
		})
	}
}

// What each runtime forgives is forgiven here; for the rest the one worker is
// replaced, with a rest before, and the reason is logged once.
func TestForeignSlips(t *testing.T) {
	const broken = "protocol violation"
	for _, c := range []struct {
		d     Dialect
		event string
		got   string
		err   bool   // the session ends with one
		fatal string // why the worker is ended
	}{
		{DialectV0, "fail", "", true, ""},
		{DialectV0, "fail-choke", "", true, ""},
		{DialectV0, "late", "first", false, ""},
		{DialectV0, "twice", "first", false, ""},
		{DialectV0, "unknown", "first", false, ""},
		{DialectV0, "invoke", "first", false, ""},
		{DialectV0, "long-error", "", true, ""},
		{DialectV0, "rubbish", "", true, "channel 0: "},
		{DialectV1, "fail", "", true, ""},
		{DialectV1, "fail-choke", "", true, broken},
		{DialectV1, "late", "first", false, broken},
		{DialectV1, "twice", "first", false, broken},
		{DialectV1, "unknown", "", true, broken},
		{DialectV1, "int-error", "", true, broken},
		{DialectV1, "rubbish", "", true, "channel 0: "},
	} {
		t.Run(string(c.d)+" "+c.event, func(t *testing.T) {
			t.Parallel()
			var deaths deathsOf
			var logged lockedBuffer
			e := newForeign(t, c.d, "", Options{Workers: 2, OnDeath: deaths.on, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
				Backoff: BackoffOptions{Min: 700 * time.Millisecond, Max: 700 * time.Millisecond}})
			start(t, e)
			got, err := askWhole(t, e, c.event)
			if (err != nil) != c.err || got != c.got {
				t.Fatalf("got %q, %v", got, err)
			}
			if err != nil && len(err.Error()) > 2*session.MaxText {
				t.Errorf("the error says %d bytes", len(err.Error()))
			}
			if c.fatal == "" {
				for range 4 {
					if got, err := askWhole(t, e, "echo"); got != "first" || err != nil {
						t.Errorf("behind it: got %q, %v", got, err)
					}
				}
				if n := e.stats.unexpected.Load(); n != 0 {
					t.Errorf("%d deaths", n)
				}
				return
			}
			d := deaths.wait(t, 1)[0]
			if d.Expected || !strings.Contains(d.Reason, c.fatal) {
				t.Errorf("death %+v", d)
			}
			rests := false
			for _, s := range e.serving().workers() {
				_, r := s.resting()
				rests = rests || r
			}
			if !rests {
				t.Error("its successor was not waited for")
			}
			for range 4 {
				if got, err := askWhole(t, e, "echo"); got != "first" || err != nil {
					t.Errorf("meanwhile: got %q, %v", got, err)
				}
			}
			until(t, "two are online", func() bool { return e.Stats().Online == 2 })
			if n := strings.Count(logged.String(), "channel ended"); n != 1 {
				t.Errorf("the end of the channel was logged %d times:\n%s", n, &logged)
			}
		})
	}
}

// lockedBuffer is written by several.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A worker that says terminate has ended; what v0 calls abnormal is no use to try
// again at once, however long it had served.
func TestForeignLeaves(t *testing.T) {
	for _, c := range []struct {
		d     Dialect
		code  string
		early uint64
	}{{DialectV0, "1", 0}, {DialectV0, "2", 1}, {DialectV1, "2", 0}} {
		t.Run(string(c.d)+" "+c.code, func(t *testing.T) {
			t.Parallel()
			var deaths deathsOf
			e := newForeign(t, c.d, "", Options{OnDeath: deaths.on})
			start(t, e)
			time.Sleep(ServedEnough) // whoever served less is waited for anyway
			_, err := askWhole(t, e, "terminate "+c.code)
			if !errors.Is(err, session.ErrLost) {
				t.Errorf("its session got %v", err)
			}
			if d := deaths.wait(t, 1)[0]; d.Expected || !strings.Contains(d.Reason, `said terminate (`+c.code+`, "had enough")`) || len(d.Lost) != 1 || d.Lost[0].Event != "terminate "+c.code {
				t.Errorf("death %+v", d)
			}
			until(t, "it is online", func() bool { return e.Stats().Online == 1 })
			if n := e.stats.early.Load(); n != c.early {
				t.Errorf("%d early deaths, want %d", n, c.early)
			}
		})
	}
}

// A session that was given up is load until the worker ends it, for it may still
// be at work.
func TestForeignCancel(t *testing.T) {
	eachDialect(t, func(t *testing.T, d Dialect) {
		e := newForeign(t, d, "", Options{Concurrency: 1})
		start(t, e)
		s, err := e.Open(context.Background(), session.OpenOptions{Event: "slow 400ms", First: []byte{}, Last: true})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		s.Cancel(errors.New("never mind"))
		if _, err := answer(s); !errors.Is(err, session.ErrCanceled) {
			t.Errorf("got %v", err)
		}
		s.Discard()
		if n := e.Status().Workers[0].Sessions; n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
		if got, err := askWhole(t, e, "echo"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if waited := time.Since(begun); waited < 350*time.Millisecond {
			t.Errorf("the next one was asked after %v", waited)
		}
	})
}

// Everything that changes workers, while requests come: none is lost.
func TestForeignUnderLoad(t *testing.T) {
	eachDialect(t, func(t *testing.T, d Dialect) {
		e := newForeign(t, d, foreignEchoes, Options{Workers: 2, Standbys: 1, Loops: 2})
		start(t, e)
		ctx, cancel := context.WithCancel(context.Background())
		var asked, failed atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { // ends with ctx
				for ctx.Err() == nil {
					asked.Add(1)
					event, want := "echo", "first"
					if i%2 == 0 {
						event, want = "slow 30ms", "at last"
					}
					if got, err := askWhole(t, e, event); got != want || err != nil {
						failed.Add(1)
						t.Errorf("%s: got %q, %v", event, got, err)
					}
				}
			})
		}
		step := func(what string, err error) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			before := asked.Load()
			until(t, "requests go on", func() bool { return asked.Load() > before+20 })
		}
		program := e.opt.program()
		program.Release = "2"
		drained, err := e.Deploy(ctx, program, DeployOptions{})
		step("deploy", err)
		<-drained
		step("scale up", e.Scale(ctx, 4, 1))
		step("scale down", e.Scale(ctx, 1, 1))
		step("restart", e.Restart(ctx, Selector{}, nil))
		err = e.Suspend(ctx)
		time.Sleep(100 * time.Millisecond)
		if err := e.Resume(ctx); err != nil {
			t.Error(err)
		}
		step("suspend and resume", err)
		cancel()
		wg.Wait()
		if err := e.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		st := e.Stats()
		if e.stats.unexpected.Load() != 0 || st.Lost != 0 {
			t.Errorf("%d unexpected deaths, %d lost", e.stats.unexpected.Load(), st.Lost)
		}
	})
}

// Killed workers are replaced, standbys at once; what the dead had is named.
func TestForeignCrash(t *testing.T) {
	eachDialect(t, func(t *testing.T, d Dialect) {
		var deaths deathsOf
		e := newForeign(t, d, "", Options{Loops: 2, Workers: 2, OnDeath: deaths.on})
		start(t, e)
		s, err := e.Open(context.Background(), session.OpenOptions{Event: "never", First: []byte{}, Last: true, Label: "lost one"})
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		for _, w := range e.Status().Workers {
			if w.Sessions == 1 {
				pid = w.Pid
			}
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := answer(s); !errors.Is(err, session.ErrLost) {
			t.Errorf("got %v", err)
		}
		s.Discard()
		if d := deaths.wait(t, 1)[0]; d.Pid != pid || d.Signal != "SIGKILL" || len(d.Lost) != 1 || d.Lost[0].RequestID != "lost one" {
			t.Errorf("death %+v", d)
		}
		until(t, "two are online", func() bool { return e.Stats().Online == 2 })
	})
}

// A script may be the target, and who it runs as a child is the worker.
func TestForeignScript(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+os.Args[0]+" \"$@\" &\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	e := newForeign(t, DialectV1, "", Options{Path: path})
	start(t, e)
	if got, err := askWhole(t, e, "echo"); got != "first" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
