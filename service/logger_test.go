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

// logs runs f for both runtimes, on TCP and unix sockets.
func logs(t *testing.T, f func(t *testing.T, ctx context.Context, c *servicetest.Cloud)) {
	for _, d := range []heddle.Dialect{servicetest.Runtime011, servicetest.Runtime012} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(fmt.Sprintf("%v %s", d, network), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				f(t, ctx, servicetest.New(t, d, servicetest.Options{Unix: network == "unix"}))
			})
		}
	}
}

// newLogger is one that finds its service by the cloud's locator.
func newLogger(t *testing.T, c *servicetest.Cloud, o service.LoggerOptions) *service.Logger {
	t.Helper()
	client, err := service.NewClient(service.ClientOptions{Locators: []string{c.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	l, err := client.Logger("test", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// flush waits for what was logged, and for the verbosity.
func flush(t *testing.T, ctx context.Context, l *service.Logger) {
	t.Helper()
	if err := l.Flush(ctx); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not in time", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// messages are those of what was logged.
func messages(c *servicetest.Cloud) []string {
	var all []string
	for _, e := range c.Logged() {
		all = append(all, e.Message)
	}
	return all
}

// everyLevel logs one entry at each level.
func everyLevel(l *service.Logger) {
	l.Error("error")
	l.Warning("warning")
	l.Info("info")
	l.Debug("debug")
}

// TestLoggerLevels has the service name each verbosity there is, and others, in the
// numbers of both dialects (K15).
func TestLoggerLevels(t *testing.T) {
	all := []string{"error 8", "warning 4", "info 0", "debug -4", "between 6", "below -9"}
	some := func(n int) []string { return all[:n] }
	want := map[heddle.Dialect]map[int][]string{
		heddle.V0: {-1: nil, 0: nil, 1: some(1), 2: {"error 8", "warning 4", "between 6"}, 3: {"error 8", "warning 4", "info 0", "between 6"}, 4: all, 99: all},
		heddle.V1: {-1: all, 0: all, 1: {"error 8", "warning 4", "info 0", "between 6"}, 2: {"error 8", "warning 4", "between 6"}, 3: some(1), 4: nil, 99: nil},
	}
	numbers := map[heddle.Dialect]map[string]int{
		heddle.V0: {"error 8": 1, "warning 4": 2, "info 0": 3, "debug -4": 4, "between 6": 2, "below -9": 4},
		heddle.V1: {"error 8": 3, "warning 4": 2, "info 0": 1, "debug -4": 0, "between 6": 2, "below -9": 0},
	}
	for d, byVerbosity := range want {
		for verbosity, want := range byVerbosity {
			t.Run(fmt.Sprintf("%v %d", d, verbosity), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				c := servicetest.New(t, d, servicetest.Options{Verbosity: &verbosity})
				l := newLogger(t, c, service.LoggerOptions{})
				flush(t, ctx, l)
				log := slog.New(l.Handler())
				for _, text := range all {
					var level int
					if _, err := fmt.Sscanf(text[strings.IndexByte(text, ' '):], "%d", &level); err != nil {
						t.Fatal(err)
					}
					log.Log(ctx, slog.Level(level), text)
					if got, want := l.Enabled(slog.Level(level)), slices.Contains(want, text); got != want {
						t.Errorf("enabled at %s: got %v", text, got)
					}
				}
				flush(t, ctx, l)
				if got := messages(c); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				for _, e := range c.Logged() {
					if e.Level != numbers[d][e.Message] || e.Source != "app/test" {
						t.Errorf("%q: got level %d, source %q; want level %d", e.Message, e.Level, e.Source, numbers[d][e.Message])
					}
				}
			})
		}
	}
}

// A point is a scalar of one's own.
type point struct{ x, y int }

func (p *point) String() string { return fmt.Sprintf("%d/%d", p.x, p.y) }

// secret is logged as something else.
type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("***") }

// TestLoggerAttributes logs values of each kind. The service closes the connection
// for one that is no scalar.
func TestLoggerAttributes(t *testing.T) {
	at := time.Date(2026, 11, 21, 18, 0, 0, 5, time.UTC)
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		l := newLogger(t, c, service.LoggerOptions{UUID: "a-b-c"})
		flush(t, ctx, l)
		l.Errorf("%d%%", 42)
		l.Info("kinds", "text", "a b", "int", -300, "uint", uint64(1<<63), "float", 0.5, "bool", true, "bytes", []byte("raw"), "time", at,
			"duration", time.Second, "err", errors.New("boom"), "nil", nil, "map", map[string]int{"a": 1}, "slice", []int{1}, "stringer", &point{1, 2},
			"none", (*point)(nil), "secret", secret("s"), slog.Group("g", "x", 1, slog.Group("h", "y", 2)), slog.Group("empty"),
			slog.Group("", "inline", 3), slog.Attr{}, "alone")
		flush(t, ctx, l)
		got := c.Logged()
		if len(got) != 2 {
			t.Fatalf("got %d entries: %v", len(got), got)
		}
		if got[0].Message != "42%" {
			t.Errorf("got %q", got[0].Message)
		}
		if c.Dialect() == heddle.V0 {
			want := `kinds text="a b" int=-300 uint=9223372036854775808 float=0.5 bool=true bytes=raw time=2026-11-21T18:00:00.000000005Z ` +
				`duration=1s err=boom nil=<nil> map=map[a:1] slice=[1] stringer=1/2 none=<nil> secret=*** g.x=1 g.h.y=2 inline=3 !BADKEY=alone`
			if got[1].Message != want {
				t.Errorf("got  %q\nwant %q", got[1].Message, want)
			}
			return
		}
		want := []servicetest.Attr{
			{Name: "text", Value: "a b"}, {Name: "int", Value: int64(-300)}, {Name: "uint", Value: uint64(1 << 63)}, {Name: "float", Value: 0.5},
			{Name: "bool", Value: true}, {Name: "bytes", Value: "raw"}, {Name: "time", Value: at.Format(time.RFC3339Nano)}, {Name: "duration", Value: "1s"},
			{Name: "err", Value: "boom"}, {Name: "nil", Value: "<nil>"}, {Name: "map", Value: "map[a:1]"}, {Name: "slice", Value: "[1]"},
			{Name: "stringer", Value: "1/2"}, {Name: "none", Value: "<nil>"}, {Name: "secret", Value: "***"}, {Name: "g.x", Value: int64(1)},
			{Name: "g.h.y", Value: int64(2)}, {Name: "inline", Value: int64(3)}, {Name: "!BADKEY", Value: "alone"}, {Name: "uuid", Value: "a-b-c"},
		}
		if !slices.Equal(got[1].Attrs, want) {
			t.Errorf("got  %v\nwant %v", got[1].Attrs, want)
		}
		if want := []servicetest.Attr{{Name: "uuid", Value: "a-b-c"}}; !slices.Equal(got[0].Attrs, want) {
			t.Errorf("got %v, want %v", got[0].Attrs, want)
		}
	})
}

// deep has no end.
type deep struct{}

func (deep) LogValue() slog.Value { return slog.GroupValue(slog.Any("d", deep{})) }

// TestLoggerEntryBounds logs what is too much.
func TestLoggerEntryBounds(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		l := newLogger(t, c, service.LoggerOptions{})
		flush(t, ctx, l)
		l.Info(strings.Repeat("é", 1<<20))
		var many []any
		for i := range 100 {
			many = append(many, slog.String(fmt.Sprint("n", i), strings.Repeat("é", 1<<20)))
		}
		l.Info("many", many...)
		many = nil
		for i := range 100 {
			many = append(many, slog.Int(fmt.Sprint("n", i), i))
		}
		l.Info("small", many...)
		l.Info("deep", "d", deep{})
		l.Info("bad\xffutf8", "k\x00", "\xff")
		flush(t, ctx, l)
		got := c.Logged()
		if len(got) != 5 {
			t.Fatalf("got %d entries", len(got))
		}
		if n := len(got[0].Message); n > 64<<10 || n < 64<<10-4 || got[0].Message != strings.Repeat("é", n/2) {
			t.Errorf("got a message of %d bytes", n)
		}
		for i, e := range got {
			n := len(e.Message)
			for _, a := range e.Attrs {
				n += len(fmt.Sprint(a.Value))
			}
			if n > 200<<10 || len(e.Attrs) > 65 {
				t.Errorf("entry %d has %d bytes and %d attributes", i, n, len(e.Attrs))
			}
		}
		if c.Dialect() == heddle.V1 {
			if got, want := got[2].Attrs[64], (servicetest.Attr{Name: "!dropped", Value: int64(36)}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		} else if !strings.HasSuffix(got[2].Message, " n63=63 !dropped=36") {
			t.Errorf("got %q", got[2].Message)
		}
		if got[4].Message != "bad\xffutf8" && c.Dialect() == heddle.V1 || !strings.HasPrefix(got[4].Message, "bad\xffutf8") {
			t.Errorf("got %q", got[4].Message)
		}
	})
}

// TestLoggerSource names the file that has logged, and the time.
func TestLoggerSource(t *testing.T) {
	c := servicetest.New(t, servicetest.Runtime012, servicetest.Options{})
	l := newLogger(t, c, service.LoggerOptions{AddSource: true, AddTime: true})
	flush(t, t.Context(), l)
	before := time.Now()
	l.Info("one")
	l.Infof("two")
	slog.New(l.Handler()).Info("three")
	flush(t, t.Context(), l)
	for _, e := range c.Logged() {
		if len(e.Attrs) != 2 || e.Attrs[0].Name != "time" || e.Attrs[1].Name != "source" || !strings.Contains(e.Attrs[1].Value.(string), "logger_test.go:") {
			t.Errorf("%s: got %v", e.Message, e.Attrs)
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, e.Attrs[0].Value.(string))
		if err != nil || at.Before(before.Truncate(0)) {
			t.Errorf("%s: got time %v, %v", e.Message, at, err)
		}
	}
	if got := messages(c); len(got) != 3 {
		t.Errorf("got %q", got)
	}
}

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
					flush(t, ctx, l)
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
