package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
				descriptors(t)
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
		if len(e.Attrs) != 2 || e.Attrs[0].Name != "time" || e.Attrs[1].Name != "caller" || !strings.Contains(e.Attrs[1].Value.(string), "logger_linux_test.go:") {
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
