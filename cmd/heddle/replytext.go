package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session/ipc"
)

// put notes a reply: JSON as it is but on one line, a value as the JSON that comes
// closest, bytes as a text or, where they are none, by base64.
func (s *said) put(r *ipc.Reply) error {
	switch r.Format {
	case ipc.FormatJSON:
		var b bytes.Buffer
		if err := json.Compact(&b, r.Payload); err != nil {
			return fmt.Errorf("a reply is not the JSON that it says: %w", err)
		}
		s.Data = b.Bytes()
	case ipc.FormatValue:
		var v any
		if err := r.Decode(&v); err != nil {
			return fmt.Errorf("a reply is not the value that it says: %w", err)
		}
		s.Data = marshal(jsonOf(v))
	case ipc.FormatBytes:
		if utf8.Valid(r.Payload) {
			s.Data = marshal(string(r.Payload))
		} else {
			s.Base64 = r.Payload
		}
	}
	return nil
}

// marshal is v as JSON, which has what JSON can say.
func marshal(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // jsonOf has left nothing that cannot be
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// jsonOf is a value without what JSON cannot say: bytes become base64, times RFC 3339,
// keys and numbers that are none text.
func jsonOf(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = jsonOf(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = jsonOf(v[k])
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[fmt.Sprint(k)] = jsonOf(x)
		}
		return m
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case value.Ext:
		return map[string]any{"type": v.Type, "base64": base64.StdEncoding.EncodeToString(v.Data)}
	}
	return v
}

// plainJSON is JSON for a terminal: what would move its cursor, or turn the text around,
// stands there escaped. That can only be within strings.
func plainJSON(p []byte) []byte {
	b := make([]byte, 0, len(p))
	for _, r := range string(p) {
		if unicode.IsPrint(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			b = fmt.Appendf(b, `\u%04x`, u)
		}
	}
	return b
}

// plainText is a worker's text for a terminal: on one line, and without what would
// move the cursor.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
