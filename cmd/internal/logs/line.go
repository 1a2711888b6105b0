package logs

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/heddle-go/heddle/worker/engine"
)

// A Line is one line of a worker's output, as the ring keeps it.
type Line struct {
	Seq   uint64 // from 1 on, without gaps
	nanos int64  // since 1970
	engine.Line
}

// Time is when the line was read.
func (l *Line) Time() time.Time { return time.Unix(0, l.nanos) }

// Match says whether sel names the worker that wrote the line, by the index it
// had then.
func (l *Line) Match(sel engine.Selector) bool {
	return sel.Match(engine.WorkerStatus{Index: l.Index, ID: l.ID, Pid: l.Pid})
}

// lineCost is what a Line occupies beside its text, in bytes.
const lineCost = 112

func (l *Line) cost() int64 { return lineCost + int64(len(l.Text)) }

// appendJSON appends the line as an object and a line end.
func (l *Line) appendJSON(b []byte, app string) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), l.Seq, 10)
	b = append(b, `,"time":"`...)
	b = l.Time().UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = appendString(append(b, `","app":`...), app)
	b = strconv.AppendInt(append(b, `,"worker":`...), int64(l.Index), 10)
	b = appendString(append(b, `,"id":`...), l.ID)
	b = appendString(append(b, `,"release":`...), l.Release)
	b = strconv.AppendInt(append(b, `,"pid":`...), int64(l.Pid), 10)
	b = appendString(append(b, `,"stream":`...), l.Stream.String())
	b = appendString(append(b, `,"text":`...), l.Text)
	if l.More {
		b = append(b, `,"more":true`...)
	}
	return append(b, "}\n"...)
}

// AppendPrefix appends what stands before the text of a line of a worker's: the
// app with a blank behind it, if there are several, its index, which standbys have
// none of, and its release.
func AppendPrefix(b []byte, app string, index int, release string) []byte {
	b = append(b, '[')
	b = append(b, app...)
	if index < 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendInt(b, int64(index), 10)
	}
	return append(append(append(b, ' '), release...), "] "...)
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString[T string | []byte](b []byte, s T) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	from := 0 // s[from:i] can stay as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			_, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))])) // four bytes stay on the stack
			if n > 1 {
				i += n
				continue
			}
			b = append(append(b, s[from:i]...), `\ufffd`...)
			i++
			from = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// A stamp formats times of which most are in the same second as the one before.
type stamp struct {
	layout string // up to the second
	second int64
	text   []byte
	zone   string
}

// append appends t with milliseconds, or without if the layout has the zone.
func (s *stamp) append(b []byte, nanos int64, millis bool) []byte {
	second := nanos / 1e9
	if second != s.second || s.text == nil {
		t := time.Unix(second, 0)
		s.second, s.text = second, t.AppendFormat(s.text[:0], s.layout)
		if millis {
			s.zone = t.Format("Z07:00")
		}
	}
	b = append(b, s.text...)
	if !millis {
		return b
	}
	ms := nanos / 1e6 % 1000
	b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	return append(b, s.zone...)
}

// Layouts of stamps.
const (
	layoutFile   = "2006-01-02T15:04:05"
	layoutCommon = "02/Jan/2006:15:04:05 -0700"
)
