package logs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/heddle-go/heddle/worker/engine"
)

// Whatever a worker writes, a line of JSON is one, and says the same as far as
// UTF-8 can.
func TestLineJSON(t *testing.T) {
	for _, text := range []string{
		"", "plain", `"quoted" \ back`, "tab\tbell\a\x00\x1b[31mred\x7f", "ünï¢ødé 🙂", "a\xffb\xc3", "\xed\xa0\x80 surrogate", "\xf0\x9f\x99", "\u2028", "\ufffd",
		strings.Repeat("\x01\xff", 4096),
	} {
		l := Line{Seq: 7, nanos: time.Date(2026, 11, 21, 8, 0, 0, 1000, time.UTC).UnixNano(), Line: engine.Line{Index: -1, ID: "id", Release: "r\"1", Pid: 42, Stream: engine.Stderr, Text: text, More: true}}
		raw := l.appendJSON(nil, "app\xff")
		if !json.Valid(raw) || !utf8.Valid(raw) {
			t.Errorf("%.40q: not the JSON of anything: %.200q", text, raw)
			continue
		}
		var got Record
		if err := Records(raw, func(_ []byte, r Record) error { got = r; return nil }); err != nil {
			t.Fatal(err)
		}
		want := Record{Seq: 7, Time: l.Time().UTC(), App: "app\ufffd", Worker: -1, ID: "id", Release: `r"1`, Pid: 42, Stream: "stderr", Text: stdText(t, text), More: true}
		if got != want {
			t.Errorf("%.40q: got %.300v, want %.300v", text, got, want)
		}
	}
}

// stdText is what encoding/json makes of s.
func stdText(t *testing.T, s string) (out string) {
	t.Helper()
	b, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzString(f *testing.F) {
	f.Add("a\xffb\"\\\n\x00ü")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := stdText(t, s); got != want {
			t.Fatalf("%q: got %q, want %q", s, got, want)
		}
	})
}

// A stamp says what time.Format does, over seconds and zones.
func TestStamp(t *testing.T) {
	file, common := stamp{layout: layoutFile}, stamp{layout: layoutCommon}
	for _, d := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, time.Second, time.Hour, 200 * 24 * time.Hour, 0} {
		at := time.Date(2026, 3, 1, 1, 2, 3, 4567890, time.Local).Add(d)
		if got, want := string(file.append(nil, at.UnixNano(), true)), at.Format("2006-01-02T15:04:05.000Z07:00"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := string(common.append(nil, at.UnixNano(), false)), at.Format(layoutCommon); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
