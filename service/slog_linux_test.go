package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// TestLoggerIsASlogHandler is the library's own test of handlers. Levels, groups
// and values are read back from what the service got.
func TestLoggerIsASlogHandler(t *testing.T) {
	for _, d := range []struct {
		name string
		c    *servicetest.Cloud
		read func(e servicetest.Entry) map[string]any
	}{
		{"v0", servicetest.New(t, servicetest.Runtime011, servicetest.Options{}), readText},
		{"v1", servicetest.New(t, servicetest.Runtime012, servicetest.Options{}), readAttrs},
	} {
		t.Run(d.name, func(t *testing.T) {
			l := newLogger(t, d.c, service.LoggerOptions{AddTime: true})
			flush(t, t.Context(), l)
			slogtest.Run(t, func(*testing.T) slog.Handler { return l.Handler() }, func(t *testing.T) map[string]any {
				flush(t, t.Context(), l)
				all := d.c.Logged()
				return d.read(all[len(all)-1])
			})
		})
	}
}

// readAttrs makes groups of names with dots.
func readAttrs(e servicetest.Entry) map[string]any {
	all := map[string]any{slog.MessageKey: e.Message, slog.LevelKey: e.Level}
	for _, a := range e.Attrs {
		m, name := all, a.Name
		for {
			group, rest, ok := strings.Cut(name, ".")
			if !ok {
				break
			}
			in, _ := m[group].(map[string]any)
			if in == nil {
				in = map[string]any{}
				m[group] = in
			}
			m, name = in, rest
		}
		m[name] = a.Value
	}
	return all
}

// readText reads name=value behind the message, of which it knows that it is one
// word.
func readText(e servicetest.Entry) map[string]any {
	words := strings.Fields(e.Message)
	e.Message = words[0]
	for _, w := range words[1:] {
		name, text, _ := strings.Cut(w, "=")
		if s, err := strconv.Unquote(text); err == nil {
			text = s
		}
		e.Attrs = append(e.Attrs, servicetest.Attr{Name: name, Value: text})
	}
	return readAttrs(e)
}

// lookups counts how often it is evaluated.
type lookups struct{ n *int }

func (l lookups) LogValue() slog.Value {
	*l.n++
	return slog.IntValue(*l.n)
}

// TestLoggerEvaluates what is to be sent only, and what a handler has, once.
func TestLoggerEvaluates(t *testing.T) {
	logs(t, func(t *testing.T, ctx context.Context, c *servicetest.Cloud) {
		l := newLogger(t, c, service.LoggerOptions{})
		flush(t, ctx, l)
		n, never := 0, 0
		log := slog.New(l.Handler()).With("once", lookups{&n}).WithGroup("g").With("a", 1)
		other := log.With("b", 2) // must not be seen by log's
		_ = log.WithGroup("unused")
		log.Info("first", "c", 3)
		other.Info("second", "c", 4)
		log.WithGroup("h").Info("third", "c", 5)
		c.SetVerbosity(2) // warnings, in both dialects
		flush(t, ctx, l)
		l.Debug("not sent", "k", lookups{&never})
		log.Info("not sent", "k", lookups{&never})
		flush(t, ctx, l)
		if n != 1 || never != 0 {
			t.Errorf("evaluated %d times, and %d for what is not sent; want 1 and 0", n, never)
		}
		want := []string{"map[g:map[a:1 c:3] once:1]", "map[g:map[a:1 b:2 c:4] once:1]", "map[g:map[a:1 h:map[c:5]] once:1]"}
		for i, e := range c.Logged() {
			read := readAttrs
			if c.Dialect() == servicetest.Runtime011 {
				read = readText
			}
			got := read(e)
			delete(got, slog.MessageKey)
			delete(got, slog.LevelKey)
			if i >= len(want) || fmt.Sprint(got) != want[i] {
				t.Errorf("entry %d: got %v", i, got)
			}
		}
	})
}
