package service

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
)

// Bounds of one entry. What is longer is cut, before the character that would not
// fit whole.
const (
	mostMessage    = 64 << 10 // bytes
	mostAttrs      = 64
	mostAttrBytes  = 64 << 10 // of all of them
	mostValueBytes = 8 << 10  // of one name or value
	mostDepth      = 16       // of groups in groups
)

// A logHandler is a Logger with attributes and groups. Immutable.
type logHandler struct {
	l     *Logger
	group string // in front of names: empty, or ends with a dot
	attrs attrs
}

// Enabled is Logger.Enabled.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return h.l.Enabled(level) }

// Handle queues the record. ErrClosed: the Logger has ended.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	if !h.take(&r) {
		return ErrClosed
	}
	return nil
}

// WithAttrs evaluates the attributes at once.
func (h *logHandler) WithAttrs(as []slog.Attr) slog.Handler {
	if len(as) == 0 {
		return h
	}
	n := *h
	n.attrs.p = n.attrs.p[:len(n.attrs.p):len(n.attrs.p)]
	for _, a := range as {
		n.attrs.add(h.group, a, 0)
	}
	return &n
}

// WithGroup puts a name and a dot in front of the names that follow.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	n := *h
	n.group += name + "."
	return &n
}

// callerKey names where an entry was logged. It is not slog.SourceKey: the services
// have an attribute source of their own, which is who has logged.
const callerKey = "caller"

// take queues a record. False: the Logger has ended.
func (h *logHandler) take(r *slog.Record) bool {
	e := logEntry{level: r.Level, message: r.Message, attrs: h.attrs}
	if len(e.message) > mostMessage {
		e.message = strings.Clone(cut(e.message, mostMessage)) // the rest must not wait, too
	}
	e.attrs.p = e.attrs.p[:len(e.attrs.p):len(e.attrs.p)]
	if h.l.o.AddTime && !r.Time.IsZero() {
		e.attrs.add("", slog.Time(slog.TimeKey, r.Time), 0)
	}
	if h.l.o.AddSource && r.PC != 0 {
		f, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		e.attrs.add("", slog.String(callerKey, f.File+":"+strconv.Itoa(f.Line)), 0)
	}
	r.Attrs(func(a slog.Attr) bool {
		e.attrs.add(h.group, a, 0)
		return true
	})
	return h.l.put(e)
}

// attrs are an entry's attributes as PROTOCOL 3.6 wants them: pairs of a name and
// a scalar. A map, an array or nil for a value would cost the connection.
type attrs struct {
	p    []byte // msgpack, without the array's head
	n    int    // pairs
	left int    // attributes that found no room
}

// add adds an attribute; group is in front of its name.
func (as *attrs) add(group string, a slog.Attr, depth int) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		if depth == mostDepth {
			as.left++
			return
		}
		for _, b := range v.Group() {
			as.add(group, b, depth+1)
		}
		return
	}
	if a.Key == "" && v.Kind() == slog.KindAny && v.Any() == nil {
		return // slog's rule
	}
	name := cut(group+a.Key, mostValueBytes)
	if as.n == mostAttrs || len(as.p) > mostAttrBytes {
		as.left++
		return
	}
	as.n++
	as.p = slices.Grow(as.p, len(name)+32) // most are no longer
	as.p = appendScalar(codec.AppendRawString(append(as.p, 0x92), name), v)
}

// all appends the array of the attributes, and those that every entry has.
func (as *attrs) all(dst []byte, uuid string) []byte {
	n := as.n
	if as.left > 0 {
		n++
	}
	if uuid != "" {
		n++
	}
	dst = append(codec.AppendArray(dst, n), as.p...)
	if as.left > 0 {
		dst = appendScalar(codec.AppendRawString(append(dst, 0x92), leftOut), slog.IntValue(as.left))
	}
	if uuid != "" {
		dst = codec.AppendRawString(codec.AppendRawString(append(dst, 0x92), "uuid"), uuid)
	}
	return dst
}

// leftOut is the attribute that says how many others found no room.
const leftOut = "!dropped"

// appendScalar appends a value as bool, number or raw; all else is its text.
func appendScalar(dst []byte, v slog.Value) []byte {
	var scalar any
	switch v.Kind() {
	case slog.KindString:
		return codec.AppendRawString(dst, cut(v.String(), mostValueBytes))
	case slog.KindBool:
		scalar = v.Bool()
	case slog.KindInt64:
		scalar = v.Int64()
	case slog.KindUint64:
		scalar = v.Uint64()
	case slog.KindFloat64:
		scalar = v.Float64()
	case slog.KindTime:
		return codec.AppendRawString(dst, v.Time().Format(time.RFC3339Nano))
	default:
		if p, ok := v.Any().([]byte); ok {
			return codec.AppendRaw(dst, p[:min(len(p), mostValueBytes)])
		}
		// Sprint survives nil pointers and methods that panic.
		return codec.AppendRawString(dst, cut(fmt.Sprint(v.Any()), mostValueBytes))
	}
	p, err := value.Options{Old: true}.Append(dst, scalar)
	if err != nil { // of no scalar
		return codec.AppendRawString(dst, err.Error())
	}
	return p
}

// pack is how the arguments of emit are packed: the one argument is a *logEntry.
func (l *Logger) pack(dst []byte, d heddle.Dialect, args []any) ([]byte, error) {
	e := args[0].(*logEntry)
	size := 3
	if d == heddle.V1 && (e.attrs.n > 0 || e.attrs.left > 0 || l.o.UUID != "") {
		size = 4
	}
	dst = codec.AppendArray(dst, size)
	dst = append(dst, byte(levelNumber(d, e.level))) // a fixint
	dst = codec.AppendRawString(dst, l.source)
	message := e.message
	if d == heddle.V0 {
		message = e.attrs.text(message)
	}
	dst = codec.AppendRawString(dst, message)
	if size == 4 {
		dst = e.attrs.all(dst, l.o.UUID)
	}
	return dst, nil
}

// text is the message with the attributes behind it, name=value each, as v0 has
// no others.
func (as *attrs) text(message string) string {
	if as.n == 0 && as.left == 0 {
		return message
	}
	var pairs [][]any
	if _, err := value.Decode(as.all(nil, ""), &pairs, value.Limits{}); err != nil {
		return message // what add has appended is whole
	}
	b := []byte(message)
	for _, pair := range pairs {
		for i, v := range pair {
			b = append(b, " ="[i])
			s := fmt.Sprint(v)
			if quoted(s) {
				s = strconv.Quote(s)
			}
			b = append(b, s...)
		}
	}
	return string(b)
}

// quoted says whether a name or value needs quotes to be told from what is around.
func quoted(s string) bool {
	return s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r == '"' || r == '=' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// cut is s, at most n bytes of it.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}
