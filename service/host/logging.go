package host

import (
	"context"
	"log/slog"

	"github.com/heddle-go/heddle/codec/value"
)

// The levels of dialect v1 (PROTOCOL 3.6). Those of v0 (2.6) count the other way: 0
// nothing, 1 error, 2 warning, 3 info, 4 debug.
const (
	levelDebug = iota
	levelInfo
	levelWarning
	levelError
)

// mostAttrs is how many attributes of a line are kept.
const mostAttrs = 64

// An emitted is a line for the log.
type emitted struct {
	_       struct{} `msg:",tuple"`
	Level   int64
	Source  string
	Message string
	Attrs   []attribute // v1
}

type emittedV0 struct {
	_       struct{} `msg:",tuple"`
	Level   int64
	Source  string
	Message string
}

type attribute struct {
	_     struct{} `msg:",tuple"`
	Name  string
	Value scalar
}

// A scalar is what an attribute may have for a value.
type scalar struct{ v any }

func (c *Cloud) loggingService() Service {
	emit := Quick(0, "emit", 3, func(call *Call, e *emitted) (Results, error) {
		c.emit(call.Context(), int(min(max(e.Level, levelDebug), levelError)), e)
		return nil, nil
	})
	return Service{
		Name: nameLogging, Version: 2,
		V0: []Method{
			Quick(0, "emit", 3, func(call *Call, e *emittedV0) (Results, error) {
				if e.Level > 0 {
					c.emit(call.Context(), int(min(max(levelError+1-e.Level, levelDebug), levelError)), &emitted{Source: e.Source, Message: e.Message})
				}
				return nil, nil
			}),
			Quick(1, "verbosity", 0, func(*Call, *None) (Results, error) { return Results{levelError + 1 - c.opt.Verbosity}, nil }),
		},
		V1: []Method{
			emit.Mute(),
			Quick(1, "verbosity", 0, func(*Call, *None) (Results, error) { return Results{c.opt.Verbosity}, nil }),
			Unbound(2, "set_verbosity"),
		},
	}
}

// emit logs a line; level is one of v1.
func (c *Cloud) emit(ctx context.Context, level int, e *emitted) {
	if level < c.opt.Verbosity {
		return
	}
	to := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}[level]
	attrs := make([]slog.Attr, 1, 1+min(len(e.Attrs), mostAttrs))
	attrs[0] = slog.String("source", e.Source)
	for _, a := range e.Attrs[:min(len(e.Attrs), mostAttrs)] {
		attrs = append(attrs, slog.Any(a.Name, a.Value.v))
	}
	c.opt.Log.LogAttrs(ctx, to, e.Message, attrs...)
}

// UnmarshalMsg reads text, a number or a bool; see msgp.Unmarshaler.
func (s *scalar) UnmarshalMsg(p []byte) ([]byte, error) { return value.Decode(p, &s.v, value.Limits{}) }

func (*scalar) fits(c byte) bool {
	return isRaw(c) || isInt(c) || c == 0xca || c == 0xcb || c == 0xc2 || c == 0xc3
}
