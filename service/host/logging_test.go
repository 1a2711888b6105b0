package host

import (
	"log/slog"
	"testing"

	heddle "github.com/heddle-go/heddle"
)

func TestLogging(t *testing.T) {
	lines := newLogged()
	log := slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	everywhere(t, Options{Log: log, Verbosity: levelInfo}, func(t *testing.T, c *Cloud) {
		p := to(t, c, "logging", heddle.V0)
		p.call(1, 1)
		p.want(1, chunk0, packed(t, 3))
		p.want(1, choke0)
		for _, call := range []struct {
			level int
			text  string
		}{{4, "debug, which is not wanted"}, {0, "ignored"}, {3, "info"}, {2, "warning"}, {1, "error"}} {
			p.call(1, 0, call.level, "app/test", call.text) // the number again: it has ended
			p.want(1, choke0)
		}
		lines.want(t, "level=INFO", "msg=info", "source=app/test")
		lines.want(t, "level=WARN", "msg=warning")
		lines.want(t, "level=ERROR", "msg=error")

		p = to(t, c, "logging", heddle.V1)
		p.call(1, 1)
		p.want(1, value1, 1)
		p.call(2, 0, 0, "app/test", "debug, which is not wanted")
		p.call(3, 0, 3, "app/test", "four", []any{[]any{"k", "v"}, []any{"n", 5}, []any{"f", 1.5}, []any{"b", true}})
		p.call(4, 0, 99, "app/test", "more than error")
		lines.want(t, "level=ERROR", "msg=four", "source=app/test", "k=v n=5 f=1.5 b=true")
		lines.want(t, "level=ERROR", `msg="more than error"`)
		p.call(5, 1)
		p.want(5, value1, 1)
	})
}

// TestLoggingBad: what the real runtimes do with it, for each dialect.
func TestLoggingBad(t *testing.T) {
	lines := newLogged()
	c := start(t, Options{Log: slog.New(slog.NewTextHandler(lines, nil))})
	cases := []struct {
		name string
		id   uint64
		args []any
		v0   string
	}{
		{"method that nobody has", 9, nil, "unknown message type"},
		{"set_verbosity", 2, []any{1}, "unknown message type"},
		{"no arguments", 0, nil, "argument sequence length mismatch - expected at least 3, got 0"},
		{"level as text", 0, []any{"1", "s", "m"}, badArgs},
		{"nil message", 0, []any{1, "s", nil}, badArgs},
		{"attributes as a map", 0, []any{3, "s", "m", map[string]any{"k": "v"}}, ""},
		{"attribute without a value", 0, []any{3, "s", "m", []any{[]any{"k"}}}, ""},
		{"attribute with an array", 0, []any{3, "s", "m", []any{[]any{"k", []any{}}}}, ""},
		{"attribute with nil", 0, []any{3, "s", "m", []any{[]any{"k", nil}}}, ""},
	}
	for _, b := range cases {
		t.Run(b.name, func(t *testing.T) {
			if b.v0 != "" {
				p := to(t, c, "logging", heddle.V0)
				p.call(7, b.id, b.args...)
				p.want(7, error0, 1, b.v0)
				p.want(7, choke0)
				p.call(7, 1)
				p.want(7, chunk0, packed(t, 4))
				p.want(7, choke0)
			}
			p := to(t, c, "logging", heddle.V1)
			p.call(1, 1)
			p.call(2, b.id, b.args...)
			p.call(3, 0, 3, "app/test", "behind the end")
			p.want(1, value1, 0) // what came before is answered
			p.wantEnd()
		})
	}
	select {
	case line := <-lines.lines:
		t.Errorf("got line %q of a bad call, or behind it", line)
	default:
	}
}
