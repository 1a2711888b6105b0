package logs

import (
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/heddle-go/heddle/httpcompat/front"
)

// AccessOptions say where requests are written. Only File.Path is needed.
type AccessOptions struct {
	File    FileOptions // Path "-": standard output
	JSON    bool        // an object a line, instead of the common log format
	Loops   int         // of the front; default 1
	Waiting int64       // bytes that may wait to be written; default 4 MiB
	Logger  *slog.Logger

	stdout io.Writer // for tests
}

// An Access is the log of requests.
type Access struct {
	sink  *Sink
	json  bool
	loops int
}

// NewAccess returns an access log, whose file is opened when there is something
// to write.
func NewAccess(o AccessOptions) *Access {
	a := &Access{json: o.JSON, loops: max(o.Loops, 1)}
	var to target
	where := "standard output"
	if o.File.Path == "-" {
		if o.stdout == nil {
			o.stdout = os.Stdout
		}
		to = plain{o.stdout}
	} else {
		o.File.Path, o.File.Logger = absolute(o.File.Path), o.Logger
		where = o.File.Path
		to = newFile(o.File)
	}
	a.sink = newSink(to, layoutCommon, SinkOptions{Name: "access", Where: where, Waiting: o.Waiting, Shards: a.loops + 1, Logger: o.Logger})
	return a
}

// plain is a target that is never closed.
type plain struct{ io.Writer }

func (plain) Reopen() error { return nil }
func (plain) Close() error  { return nil }

// Log takes a request. It is a front's Options.OnAccess: it borrows r, never
// waits, and does not allocate.
func (a *Access) Log(r *front.Access) {
	i := a.loops // those of net/http
	if r.Loop >= 0 {
		i = r.Loop % a.loops
	}
	sh := a.sink.begin(i, len(r.URI)+len(r.ID)+128)
	if sh == nil {
		return
	}
	n := len(sh.buf)
	if a.json {
		sh.buf = appendAccessJSON(sh.buf, r)
	} else {
		sh.buf = appendCommon(sh.buf, r, &sh.stamp)
	}
	a.sink.end(sh, len(sh.buf)-n)
}

// Reopen opens the file anew, for whoever has moved it away. It does not wait.
func (a *Access) Reopen() { a.sink.Reopen() }

// Stats counts.
func (a *Access) Stats() SinkStats { return a.sink.Stats() }

// Close writes what waits, for two seconds at most.
func (a *Access) Close() { a.sink.Close(closeWait) }

// appendCommon appends the common log format, and behind it the duration in
// microseconds and the request's id.
func appendCommon(b []byte, r *front.Access, s *stamp) []byte {
	b = appendWord(b, hostOf(r.Remote))
	b = append(b, " - - ["...)
	b = s.append(b, r.Begun.UnixNano(), false)
	b = append(b, `] "`...)
	if r.Method == "" {
		b = append(b, '-')
	} else {
		b = appendQuoted(b, r.Method)
		b = appendQuoted(append(b, ' '), r.URI)
		b = appendQuoted(append(b, ' '), r.Proto)
	}
	b = append(b, `" `...)
	if r.Status == 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendInt(b, int64(r.Status), 10)
	}
	b = append(b, ' ')
	if r.Bytes == 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendInt(b, r.Bytes, 10)
	}
	b = strconv.AppendInt(append(b, ' '), r.Duration.Microseconds(), 10)
	b = appendWord(append(b, ' '), r.ID)
	return append(b, '\n')
}

// hostOf is an address without its port.
func hostOf(addr string) string {
	for i := len(addr) - 1; i >= 0; i-- {
		if addr[i] == ':' {
			host := addr[:i]
			if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
				host = host[1 : n-1]
			}
			return host
		}
	}
	return addr
}

// appendWord appends s, or a dash for nothing.
func appendWord(b []byte, s string) []byte {
	if s == "" || s == "@" { // an unnamed unix socket's
		return append(b, '-')
	}
	return appendQuoted(b, s)
}

// appendQuoted appends s as it stands between quotes: others than printable ASCII
// as \xHH, as Apache does.
func appendQuoted(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendAccessJSON appends an object and a line end.
func appendAccessJSON(b []byte, r *front.Access) []byte {
	b = append(b, `{"time":"`...)
	b = r.Begun.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = appendString(append(b, `","remote":`...), r.Remote)
	b = appendString(append(b, `,"method":`...), r.Method)
	b = appendString(append(b, `,"uri":`...), r.URI)
	b = appendString(append(b, `,"proto":`...), r.Proto)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(r.Status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), r.Bytes, 10)
	b = append(b, `,"duration":`...)
	b = strconv.AppendFloat(b, float64(r.Duration.Microseconds())/1e6, 'f', 6, 64) // seconds
	b = appendString(append(b, `,"request":`...), r.ID)
	return append(b, "}\n"...)
}
