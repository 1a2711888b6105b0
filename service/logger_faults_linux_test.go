package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// TestLoggerUntilVerbosity takes warnings while nothing is known, and drops those
// which the answer excludes.
func TestLoggerUntilVerbosity(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		c.Service("logging").Stop()
		l := newLogger(t, c, service.LoggerOptions{})
		everyLevel(l)
		if got := l.Counters(); got.Pending != 2 {
			t.Errorf("got %+v, want error and warning to wait", got)
		}
		if c.Dialect() == heddle.V0 {
			c.SetVerbosity(1)
		} else {
			c.SetVerbosity(3)
		}
		if err := c.Service("logging").Start(); err != nil {
			t.Fatal(err)
		}
		flush(t, ctx, l)
		everyLevel(l)
		flush(t, ctx, l)
		if got, want := messages(c), []string{"error", "error"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := l.Counters(), (service.LoggerCounters{Sent: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestLoggerVerbosityNeverComes waits a while for it, and for the default level
// from then on. A later connection is asked again.
func TestLoggerVerbosityNeverComes(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		logging := c.Service("logging")
		logging.SetFaults(servicetest.Faults{Method: "verbosity", Fault: servicetest.Silent})
		l := newLogger(t, c, service.LoggerOptions{VerbosityTimeout: 50 * time.Millisecond})
		everyLevel(l)
		eventually(t, ctx, "two entries", func() bool { return len(c.Logged()) == 2 })
		if got, want := messages(c), []string{"error", "warning"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := l.Flush(ctx); !errors.Is(err, service.ErrTimeout) {
			t.Errorf("flush: got %v", err)
		}
		logging.SetFaults(servicetest.Faults{})
		logging.Cut()
		eventually(t, ctx, "the verbosity", func() bool { return l.Enabled(slog.LevelDebug) })
	})
}

// TestLoggerVerbosityOdd has it answered by what is none.
func TestLoggerVerbosityOdd(t *testing.T) {
	odd := map[string]func(c *servicetest.Call){
		"text":    func(c *servicetest.Call) { _ = c.Value("info") },
		"nothing": func(c *servicetest.Call) { _ = c.Value() },
		"error":   func(c *servicetest.Call) { _ = c.Error(42, 100, "no idea") },
		"list":    func(c *servicetest.Call) { _ = c.Value([]any{0}) },
	}
	for name, serve := range odd {
		t.Run(name, func(t *testing.T) {
			logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
				c.Service("logging").Handle(servicetest.Method{ID: 1, Name: "verbosity", Upstream: servicetest.Primitive, Serve: serve})
				l := newLogger(t, c, service.LoggerOptions{Level: slog.LevelInfo})
				everyLevel(l)
				eventually(t, ctx, "three entries", func() bool { return len(c.Logged()) == 3 })
				if l.Enabled(slog.LevelDebug) {
					t.Error("debug is enabled")
				}
			})
		})
	}
	t.Run("no such method", func(t *testing.T) {
		logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
			c.Service("logging").Announce(&servicetest.Announcement{Methods: []servicetest.Method{
				{ID: 0, Name: "emit", Params: servicetest.Takes(servicetest.Number, servicetest.Text, servicetest.Text)},
			}})
			l := newLogger(t, c, service.LoggerOptions{})
			everyLevel(l)
			flush(t, ctx, l)
			eventually(t, ctx, "two entries", func() bool { return len(c.Logged()) == 2 })
		})
	})
}

// TestLoggerBounded keeps the newest entries while there is no service, and says
// once how many it dropped.
func TestLoggerBounded(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		c.Locator().Kill()
		l := newLogger(t, c, service.LoggerOptions{Pending: 100})
		for i := range 5000 {
			l.Warning(fmt.Sprint(i))
		}
		if got, want := l.Counters(), (service.LoggerCounters{Dropped: 4900, Pending: 100}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		l.Close()

		for _, o := range []service.LoggerOptions{{Pending: 100}, {PendingBytes: 100 * (64 + 4)}} {
			if err := c.Service("logging").Start(); err == nil {
				t.Fatal("logging had not stopped")
			}
			c.Service("logging").Stop()
			o.Endpoints = []string{c.Service("logging").Endpoint()}
			if err := c.Locator().Start(); err == nil {
				defer c.Locator().Stop()
			}
			before := len(c.Logged())
			l = newLogger(t, c, service.LoggerOptions{Pending: o.Pending, PendingBytes: o.PendingBytes})
			for i := 1000; i < 2000; i++ {
				l.Warning(fmt.Sprint(i))
			}
			if err := c.Service("logging").Start(); err != nil {
				t.Fatal(err)
			}
			flush(t, ctx, l)
			l.Warning("later")
			flush(t, ctx, l)
			got := messages(c)[before:]
			want := []string{"900 entries before this one were dropped"}
			for i := 1900; i < 2000; i++ {
				want = append(want, fmt.Sprint(i))
			}
			want = append(want, "later")
			if c.Dialect() == heddle.V0 {
				want[0] += " dropped=900"
			} else if a := c.Logged()[before].Attrs; len(a) != 1 || a[0] != (servicetest.Attr{Name: "dropped", Value: int64(900)}) {
				t.Errorf("got %v", a)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %d entries %.200q, want %d %.200q", len(got), got, len(want), want)
			}
			if got, want := l.Counters(), (service.LoggerCounters{Sent: 101, Dropped: 900}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			l.Close()
		}
	})
}

// TestLoggerRestart has the service restarted, with another verbosity.
func TestLoggerRestart(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		logging := c.Service("logging")
		l := newLogger(t, c, service.LoggerOptions{})
		flush(t, ctx, l)
		everyLevel(l)
		flush(t, ctx, l)
		stop := []func(){logging.Stop, logging.Kill, func() {
			c.Locator().SetFaults(servicetest.Faults{Fault: servicetest.HangUp})
			logging.Kill()
		}}
		for i, stop := range stop {
			asked := logging.Counts().Accepted
			stop()
			eventually(t, ctx, "the end of the connection", func() bool {
				l.Warning(fmt.Sprint("while down ", i))
				return logging.Counts().Open == 0 && l.Counters().Pending > 2
			})
			c.SetVerbosity(2)
			if err := logging.Start(); err != nil {
				t.Fatal(err)
			}
			c.Locator().SetFaults(servicetest.Faults{})
			eventually(t, ctx, "the service is there again", func() bool { return l.Flush(ctx) == nil })
			if n := logging.Counts().Accepted; n <= asked {
				t.Errorf("%d connections, want more than %d", n, asked)
			}
			if l.Enabled(slog.LevelInfo) {
				t.Error("the verbosity is not the new one")
			}
		}
		if n := logging.Counts(); n.ByMethod["verbosity"] < n.Accepted {
			t.Errorf("%d connections, and %d questions", n.Accepted, n.ByMethod["verbosity"])
		}
		got := messages(c)
		if want := []string{"error", "warning", "info", "debug"}; !slices.Equal(got[:4], want) {
			t.Errorf("got %q, want %q first", got[:4], want)
		}
		if !slices.Contains(got, "while down 2") {
			t.Errorf("got %q", got)
		}
	})
}

// lines is a writer for a test's own log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// TestLoggerTellsOfItself says elsewhere, once, that it has no connection, and that
// it has one again.
func TestLoggerTellsOfItself(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		logging := c.Service("logging")
		logging.Stop()
		var told lines
		l := newLogger(t, c, service.LoggerOptions{Logger: slog.New(slog.NewTextHandler(&told, nil)), Pending: 1})
		eventually(t, ctx, "some attempts", func() bool { return c.Resolves("logging") > 2 })
		l.Error("one")
		l.Error("two")
		if err := logging.Start(); err != nil {
			t.Fatal(err)
		}
		flush(t, ctx, l)
		got := told.get()
		if len(got) != 2 || !strings.Contains(got[0], "not connected") || !strings.Contains(got[0], "not available") ||
			!strings.Contains(got[1], "connected again") || !strings.Contains(got[1], "dropped=1") {
			t.Errorf("got %q", got)
		}
	})
}

// TestLoggerOrder logs from many goroutines, each of which finds its entries in
// its order.
func TestLoggerOrder(t *testing.T) {
	const each, writers = 500, 8
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		l := newLogger(t, c, service.LoggerOptions{Pending: each * writers, PendingBytes: 16 << 20})
		flush(t, ctx, l)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					l.Info(fmt.Sprint(w, " ", i))
				}
			})
		}
		wg.Wait()
		flush(t, ctx, l)
		var next [writers]int
		for _, m := range messages(c) {
			var w, i int
			if _, err := fmt.Sscan(m, &w, &i); err != nil || next[w] != i {
				t.Fatalf("got %q of writer %d, want %d: %v", m, w, next[w], err)
			}
			next[w]++
		}
		if got, want := l.Counters(), (service.LoggerCounters{Sent: each * writers}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if n := len(c.Logged()); n != each*writers {
			t.Errorf("got %d entries, want %d", n, each*writers)
		}
	})
}

// TestLoggerFaults has the service do each wrong that there is. The callers do not
// notice, and once the service is well again so is the Logger.
func TestLoggerFaults(t *testing.T) {
	faults := map[string]servicetest.Fault{
		"silent": servicetest.Silent, "never ends": servicetest.NeverEnds, "stranger": servicetest.Stranger, "after end": servicetest.AfterEnd,
		"no choke": servicetest.NoChoke, "garbage": servicetest.Garbage, "half frame": servicetest.HalfFrame, "huge head": servicetest.HugeHead,
		"hang up": servicetest.HangUp, "revoked": servicetest.Revoked,
	}
	for name, fault := range faults {
		for _, method := range []string{"emit", "verbosity"} {
			t.Run(name+" "+method, func(t *testing.T) {
				logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
					logging := c.Service("logging")
					logging.SetFaults(servicetest.Faults{Method: method, Fault: fault})
					l := newLogger(t, c, service.LoggerOptions{VerbosityTimeout: 20 * time.Millisecond, Pending: 300})
					for i := range 1000 {
						l.Warning(fmt.Sprint(i))
					}
					if n := l.Counters().Pending; n > 300 {
						t.Errorf("%d entries wait", n)
					}
					logging.SetFaults(servicetest.Faults{})
					logging.Cut()
					before := len(c.Logged())
					eventually(t, ctx, "the service is well", func() bool { return l.Flush(ctx) == nil })
					l.Warning("at last")
					eventually(t, ctx, "the last entry", func() bool { return l.Flush(ctx) == nil }) // an answer within 20 ms is not sure
					if got := messages(c); got[len(got)-1] != "at last" || len(got) > before+1002 {
						t.Errorf("got %q last of %d", got[len(got)-1], len(got))
					}
				})
			})
		}
	}
}

// TestLoggerStalled logs to a service that reads nothing: nobody waits for it.
func TestLoggerStalled(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		logging := c.Service("logging")
		hold := make(chan struct{})
		logging.Handle(servicetest.Method{
			ID: 0, Name: "emit", Inline: true, Params: servicetest.Takes(servicetest.Number, servicetest.Text, servicetest.Text),
			Serve: func(call *servicetest.Call) {
				select {
				case <-hold:
				case <-call.Context().Done():
				}
			},
		})
		l := newLogger(t, c, service.LoggerOptions{Pending: 100})
		flush(t, ctx, l)
		text := strings.Repeat("x", 32<<10)
		eventually(t, ctx, "a full queue", func() bool {
			l.Info(text)
			return l.Counters().Dropped > 100
		})
		if n := l.Counters().Pending; n > 100 {
			t.Errorf("%d entries wait", n)
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := l.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: got %v", err)
		}
		l.Close()
		close(hold)
	})
}

// TestLoggerFlood logs more than the service takes, for a while. That it did is said
// once, when it is over.
func TestLoggerFlood(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		hold := make(chan struct{})
		var mu sync.Mutex
		var got []string
		c.Service("logging").Handle(servicetest.Method{
			ID: 0, Name: "emit", Inline: true, Params: servicetest.Takes(servicetest.Number, servicetest.Text, servicetest.Text).Or(servicetest.Attributes),
			Serve: func(call *servicetest.Call) {
				select {
				case <-hold:
				case <-call.Context().Done():
				}
				mu.Lock()
				got = append(got, call.Text(2)[:20])
				mu.Unlock()
			},
		})
		l := newLogger(t, c, service.LoggerOptions{Pending: 100})
		flush(t, ctx, l)
		text := strings.Repeat("x", 32<<10)
		n := uint64(0)
		say := func() {
			l.Info(text)
			n++
		}
		eventually(t, ctx, "a full queue", func() bool {
			say()
			return l.Counters().Dropped > 100
		})
		close(hold)
		for range 1000 { // while the queue is being sent
			say()
		}
		flush(t, ctx, l) // reads the report's place, too: it is said before the question
		flush(t, ctx, l)
		mu.Lock()
		defer mu.Unlock()
		reports := 0
		for _, m := range got {
			if !strings.HasPrefix(m, "xxx") {
				reports++
			}
		}
		counters := l.Counters()
		if reports < 1 || reports > 20 || uint64(len(got)-reports) != counters.Sent || counters.Sent+counters.Dropped != n {
			t.Errorf("got %d reports among %d entries of %d: %+v", reports, len(got), n, counters)
		}
	})
}

// TestLoggerClose drops what waits and counts it.
func TestLoggerClose(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		c.Service("logging").Stop()
		l := newLogger(t, c, service.LoggerOptions{})
		l.Error("one")
		flushed := make(chan error)
		go func() { flushed <- l.Flush(ctx) }()
		l.Close()
		if err := <-flushed; !errors.Is(err, service.ErrClosed) {
			t.Errorf("flush: got %v", err)
		}
		l.Error("two")
		if err := l.Handler().Handle(ctx, slog.NewRecord(time.Now(), slog.LevelError, "three", 0)); !errors.Is(err, service.ErrClosed) {
			t.Errorf("handle: got %v", err)
		}
		if got, want := l.Counters(), (service.LoggerCounters{Dropped: 3}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		l.Close()
		if err := l.Flush(ctx); !errors.Is(err, service.ErrClosed) {
			t.Errorf("flush: got %v", err)
		}
	})
}

// TestLoggerClientCloses ends the Logger with its Client, connected or not.
func TestLoggerClientCloses(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		for _, up := range []bool{true, false} {
			if !up {
				c.Service("logging").Stop()
			}
			client, err := service.NewClient(service.ClientOptions{Locators: []string{c.Endpoint()}})
			if err != nil {
				t.Fatal(err)
			}
			l, err := client.Logger("test", service.LoggerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if up {
				flush(t, ctx, l)
			}
			client.Close()
			eventually(t, ctx, "the Logger's end", func() bool { return errors.Is(l.Flush(ctx), service.ErrClosed) })
			if _, err := client.Logger("late", service.LoggerOptions{}); !errors.Is(err, service.ErrClosed) {
				t.Errorf("a Logger of a closed Client: %v", err)
			}
		}
	})
}

// TestLoggerWithoutLocator has a fixed endpoint.
func TestLoggerWithoutLocator(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		o := service.LoggerOptions{Endpoints: []string{c.Service("logging").Endpoint()}, Dialect: service.DialectV1}
		if c.Dialect() == heddle.V0 {
			o.Dialect = service.DialectV0
		}
		l, err := service.NewLogger("fixed", o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		flush(t, ctx, l)
		everyLevel(l)
		flush(t, ctx, l)
		if got := c.Logged(); len(got) != 4 || got[3].Source != "app/fixed" {
			t.Errorf("got %v", got)
		}
		if c.Resolves("logging") != 0 {
			t.Error("the locator was asked")
		}
	})
	if _, err := service.NewLogger("", service.LoggerOptions{}); err == nil {
		t.Error("a Logger that has nothing to connect to")
	}
}
