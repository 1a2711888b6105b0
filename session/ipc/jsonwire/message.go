package jsonwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Message is what a frame says. Decode fills in what the framing has, and Append writes it.
type Message struct {
	Topic []byte // topic or type, as text without quotes; may be empty
	Data  []byte // message or data, as JSON; nil when absent

	// Lines only.
	ID        []byte // of a request; nil when absent
	RequestID []byte // of a reply; nil when absent
	Errors    []byte // of a reply: a JSON array of text; nil when absent
	Done      bool   // of a reply: it is the last
}

// A FrameError reports a frame that is not a message. Frames behind it can be read on. It unwraps to
// ErrJSON or ErrShape.
type FrameError struct {
	Framing Framing
	Err     error
	What    string // is wrong
	Frame   []byte // borrowed, without its end
}

func (e *FrameError) Error() string {
	const shown = 64
	if len(e.Frame) > shown {
		return fmt.Sprintf("jsonwire: %v: %v: %s: %q…", e.Framing, e.Err, e.What, e.Frame[:shown])
	}
	return fmt.Sprintf("jsonwire: %v: %v: %s: %q", e.Framing, e.Err, e.What, e.Frame)
}

func (e *FrameError) Unwrap() error { return e.Err }

// Decode sets m to what frame says. m borrows from frame, but for text with escapes. Of two fields with one
// name the last counts, as in JavaScript; fields of other names are passed over. Every error is a *FrameError.
func (f Framing) Decode(frame []byte, m *Message) error {
	*m = Message{}
	bad := func(err error, what string) error { return &FrameError{Framing: f, Err: err, What: what, Frame: frame} }
	switch {
	case !utf8.Valid(frame):
		return bad(ErrJSON, "not UTF-8")
	case !Valid(frame):
		if len(bytes.TrimLeft(frame, " \t\r\n")) == 0 {
			return bad(ErrJSON, "an empty frame")
		}
		return bad(ErrJSON, "bad syntax")
	}
	// From here on the frame is sound, and the walk need not look for its end.
	i := space(frame, 0)
	if what := notAnObject(frame[i]); what != "" {
		return bad(ErrShape, what)
	}
	named := false
	for i = space(frame, i+1); frame[i] != '}'; i = space(frame, i) {
		end := value(frame, i)
		key, ok := text(frame[i:end])
		if !ok {
			return bad(ErrShape, "a key that is no text")
		}
		i = space(frame, space(frame, end)+1) // the colon
		end = value(frame, i)
		v := frame[i:end:end]
		if i = space(frame, end); frame[i] == ',' {
			i++
		}
		if what := f.field(m, key, v, &named); what != "" {
			return bad(ErrShape, what)
		}
	}
	if !named {
		return bad(ErrShape, "no "+framings[f].topic)
	}
	return nil
}

// field takes one field into m and says what is wrong with it.
func (f Framing) field(m *Message, key, v []byte, named *bool) (what string) {
	ok := true
	switch string(key) {
	case framings[f].topic:
		m.Topic, ok = text(v)
		*named = ok
		if !ok {
			return framings[f].topic + " is no text"
		}
		return ""
	case framings[f].data:
		m.Data = v
		return ""
	}
	if f != Lines {
		return ""
	}
	switch string(key) {
	case "id":
		if m.ID, ok = text(v); !ok {
			return "id is no text"
		}
	case "requestId":
		if m.RequestID, ok = text(v); !ok {
			return "requestId is no text"
		}
	case "done":
		if v[0] != 't' && v[0] != 'f' {
			return "done is neither true nor false"
		}
		m.Done = v[0] == 't'
	case "errors":
		if v[0] != '[' {
			return "errors is no array"
		}
		m.Errors = v
	}
	return ""
}

// Append appends m as a frame with its end. m.Data must be JSON, or nil for none; line breaks between its
// tokens become spaces. On an error, which says what JSON cannot carry, dst is returned as it was.
func (f Framing) Append(dst []byte, m *Message) ([]byte, error) {
	b := append(dst, '{')
	var err error
	put := func(name string, v []byte, isText bool) {
		if err != nil || v == nil {
			return
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), `":`...)
		if isText {
			b, err = appendText(b, v)
		} else {
			b, err = appendJSON(b, v)
		}
		if err != nil {
			err = fmt.Errorf("jsonwire: %v: %s: %w", f, name, err)
		}
	}
	topic := m.Topic
	if topic == nil {
		topic = []byte{}
	}
	put(framings[f].topic, topic, true)
	if f == Lines {
		put("id", m.ID, true)
		put("requestId", m.RequestID, true)
		put("errors", m.Errors, false)
		if m.Done {
			put("done", []byte("true"), false)
		}
	} else if m.ID != nil || m.RequestID != nil || m.Errors != nil || m.Done {
		err = fmt.Errorf("jsonwire: %v has no ids, errors or ends of replies", f)
	}
	put(framings[f].data, m.Data, false)
	if err != nil {
		return dst, err
	}
	return append(append(b, '}'), f.End()...), nil
}

// AppendValue appends a message with topic and with v as JSON, as encoding/json has it. Text in v that is not
// UTF-8 is refused, and so is what json.Marshal refuses: NaN, infinities, functions, cycles.
func (f Framing) AppendValue(dst []byte, topic string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("jsonwire: %v: %s: %w", f, framings[f].data, err)
	}
	// Marshal writes the escape for what is not UTF-8 only; the character itself goes out as it is.
	if hasReplacement(data) {
		return dst, fmt.Errorf("jsonwire: %v: %s: %w", f, framings[f].data, errUTF8)
	}
	return f.Append(dst, &Message{Topic: []byte(topic), Data: data})
}

var (
	errUTF8 = errors.New("text is not UTF-8")
	errData = errors.New("the bytes are not JSON")
)

func appendText(b, s []byte) ([]byte, error) {
	if !utf8.Valid(s) {
		return b, errUTF8
	}
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"'), nil
}

// appendJSON appends v so that no frame's end is in it. JSON has line breaks only between tokens, and the
// other ends nowhere.
func appendJSON(b, v []byte) ([]byte, error) {
	if !utf8.Valid(v) || !Valid(v) {
		return b, errData
	}
	at := len(b)
	b = append(b, v...)
	for i := bytes.IndexByte(b[at:], '\n'); i >= 0; i = bytes.IndexByte(b[at:], '\n') {
		at += i
		b[at] = ' '
	}
	return b, nil
}

// hasReplacement looks for an escaped U+FFFD whose backslash is not itself escaped.
func hasReplacement(p []byte) bool {
	const escape = `\ufffd`
	for off := 0; ; {
		i := bytes.Index(p[off:], []byte(escape))
		if i < 0 {
			return false
		}
		off += i
		before := 0
		for off-before > 0 && p[off-before-1] == '\\' {
			before++
		}
		if before%2 == 0 {
			return true
		}
		off += len(escape)
	}
}

func notAnObject(c byte) string {
	switch c {
	case '{':
		return ""
	case '[':
		return "an array"
	case '"':
		return "a bare text"
	case 'n':
		return "null"
	case 't', 'f':
		return "a bare bool"
	}
	return "a bare number"
}

// space returns where the next token begins.
func space(p []byte, i int) int {
	for p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r' {
		i++
	}
	return i
}

// value returns the end of the value that begins at p[i].
func value(p []byte, i int) int {
	switch p[i] {
	case '"':
		return quoted(p, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch p[i] {
			case '"':
				i = quoted(p, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(p) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(p[i])) {
		i++
	}
	return i
}

// quoted returns the end of the text that begins with the quote at p[i].
func quoted(p []byte, i int) int {
	for i = plain(p, i+1); p[i] != '"'; i = plain(p, i) {
		i += 2 // a backslash and what it escapes, of which digits of a \u are plain
	}
	return i + 1
}

// text returns what a JSON text says: borrowed, unless it has escapes.
func text(v []byte) ([]byte, bool) {
	if v[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1 : len(v)-1], true
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return nil, false
	}
	return []byte(s), true
}
