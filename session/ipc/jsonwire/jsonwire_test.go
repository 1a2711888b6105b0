package jsonwire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
	"pgregory.net/rapid"
)

var all = []jsonwire.Framing{jsonwire.SocketIPC, jsonwire.NodeIPC, jsonwire.Lines}

func message(topic, data string) jsonwire.Message {
	m := jsonwire.Message{Topic: []byte(topic)}
	if data != "" {
		m.Data = []byte(data)
	}
	return m
}

func show(m jsonwire.Message) string {
	return fmt.Sprintf("{%q %q %q %q %q %v}", m.Topic, m.Data, m.ID, m.RequestID, m.Errors, m.Done)
}

// rows were captured from the real systems, but for the last ones. They are read and written.
var rows = []struct {
	framing jsonwire.Framing
	frame   string // with its end
	want    jsonwire.Message
}{
	{jsonwire.SocketIPC, "{\"topic\":\"hello\",\"message\":\"world\"}\x00\x00", message("hello", `"world"`)},
	{jsonwire.SocketIPC, "{\"topic\":\"\",\"message\":{\"e\":1}}\x00\x00", message("", `{"e":1}`)},
	{jsonwire.SocketIPC, "{\"topic\":\"u\"}\x00\x00", message("u", "")},
	{jsonwire.SocketIPC, "{\"topic\":\"n\",\"message\":null}\x00\x00", message("n", "null")},
	{jsonwire.NodeIPC, "{\"type\":\"app.message\",\"data\":{\"id\":\"cli1\",\"x\":1}}\f", message("app.message", `{"id":"cli1","x":1}`)},
	{jsonwire.Lines, "{\"type\":\"status\",\"id\":\"3b80fbab\"}\n", jsonwire.Message{Topic: []byte("status"), ID: []byte("3b80fbab")}},
	{jsonwire.Lines, "{\"type\":\"send-app-msg\",\"id\":\"8b\",\"data\":{\"message\":\"hi\",\"data\":{\"a\":1}}}\n",
		jsonwire.Message{Topic: []byte("send-app-msg"), ID: []byte("8b"), Data: []byte(`{"message":"hi","data":{"a":1}}`)}},
	{jsonwire.Lines, "{\"type\":\"reply\",\"requestId\":\"8b\",\"done\":true}\n", jsonwire.Message{Topic: []byte("reply"), RequestID: []byte("8b"), Done: true}},
	{jsonwire.Lines, "{\"type\":\"reply\",\"requestId\":\"8b\",\"errors\":[\"boom\"]}\n", jsonwire.Message{Topic: []byte("reply"), RequestID: []byte("8b"), Errors: []byte(`["boom"]`)}},
	{jsonwire.Lines, "{\"type\":\"a\\\"\\\\\\u0000\\u000aé\"}\n", message("a\"\\\x00\né", "")},
}

func TestRows(t *testing.T) {
	for _, row := range rows {
		frame, n, err := jsonwire.NewScanner(row.framing, 0).Next([]byte(row.frame + "more"))
		if err != nil || n != len(row.frame) || string(frame)+row.framing.End() != row.frame {
			t.Errorf("%q: got %q, %d, %v", row.frame, frame, n, err)
			continue
		}
		var got jsonwire.Message
		if err := row.framing.Decode(frame, &got); err != nil || !cmp.Equal(got, row.want) {
			t.Errorf("%q: got %s, %v; want %s", row.frame, show(got), err, show(row.want))
		}
		if b, err := row.framing.Append([]byte("x"), &row.want); err != nil || string(b) != "x"+row.frame {
			t.Errorf("%s: got %q, %v; want %q", show(row.want), b, err, row.frame)
		}
	}
}

// TestReadOnly: what others may write and we do not.
func TestReadOnly(t *testing.T) {
	for _, row := range []struct {
		framing jsonwire.Framing
		frame   string
		want    jsonwire.Message
	}{
		{jsonwire.SocketIPC, " { \"message\" : [ 1 , {\"a\":\"}\\\"]\"} ]\t,\"x\":{\"topic\":3},\r\n\"topic\":\"t\"} ", message("t", `[ 1 , {"a":"}\"]"} ]`)},
		{jsonwire.SocketIPC, `{"topic":"a","topic":"b","message":1,"message":-2.5e3}`, message("b", "-2.5e3")},
		{jsonwire.SocketIPC, `{"\u0074opic":"\u00e9\ud83d\ude00"}`, message("é😀", "")},
		{jsonwire.SocketIPC, `{"topic":"t","id":7,"done":"x"}`, message("t", "")}, // no words of this framing
		{jsonwire.Lines, "{\"type\":\"t\",\"done\":false}\r", message("t", "")},
		{jsonwire.NodeIPC, `{"type":"t","data":""}`, message("t", `""`)},
	} {
		var got jsonwire.Message
		if err := row.framing.Decode([]byte(row.frame), &got); err != nil || !cmp.Equal(got, row.want) {
			t.Errorf("%s: got %s, %v; want %s", row.frame, show(got), err, show(row.want))
		}
	}
}

func TestRefused(t *testing.T) {
	for _, row := range []struct {
		framing jsonwire.Framing
		frame   string
		kind    error
		want    string
	}{
		{jsonwire.SocketIPC, "", jsonwire.ErrJSON, "an empty frame"}, {jsonwire.NodeIPC, " \t", jsonwire.ErrJSON, "an empty frame"}, {jsonwire.Lines, "\r", jsonwire.ErrJSON, "an empty frame"},
		{jsonwire.SocketIPC, "\x00", jsonwire.ErrJSON, "bad syntax"}, {jsonwire.SocketIPC, `{"topic":"a"`, jsonwire.ErrJSON, "bad syntax"}, {jsonwire.SocketIPC, `{"topic":"a"} x`, jsonwire.ErrJSON, "bad syntax"},
		{jsonwire.SocketIPC, "{\"topic\":\"a\xff\"}", jsonwire.ErrJSON, "not UTF-8"}, {jsonwire.NodeIPC, "{\"type\":\"a\nb\"}", jsonwire.ErrJSON, "bad syntax"},
		{jsonwire.SocketIPC, strings.Repeat("[", 100_000), jsonwire.ErrJSON, "bad syntax"}, {jsonwire.SocketIPC, strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), jsonwire.ErrJSON, "bad syntax"},
		{jsonwire.SocketIPC, "null", jsonwire.ErrShape, "null"}, {jsonwire.SocketIPC, " 42 ", jsonwire.ErrShape, "a bare number"}, {jsonwire.NodeIPC, "-1", jsonwire.ErrShape, "a bare number"},
		{jsonwire.NodeIPC, "true", jsonwire.ErrShape, "a bare bool"}, {jsonwire.Lines, `"text"`, jsonwire.ErrShape, "a bare text"}, {jsonwire.SocketIPC, "[]", jsonwire.ErrShape, "an array"},
		{jsonwire.SocketIPC, "{}", jsonwire.ErrShape, "no topic"}, {jsonwire.NodeIPC, "{}", jsonwire.ErrShape, "no type"}, {jsonwire.SocketIPC, `{"type":"a"}`, jsonwire.ErrShape, "no topic"}, {jsonwire.SocketIPC, `{"Topic":"a"}`, jsonwire.ErrShape, "no topic"},
		{jsonwire.SocketIPC, `{"topic":null}`, jsonwire.ErrShape, "topic is no text"}, {jsonwire.Lines, `{"type":{"a":[1]}}`, jsonwire.ErrShape, "type is no text"},
		{jsonwire.Lines, `{"type":"a","id":7}`, jsonwire.ErrShape, "id is no text"}, {jsonwire.Lines, `{"type":"a","requestId":null}`, jsonwire.ErrShape, "requestId is no text"},
		{jsonwire.Lines, `{"type":"a","done":1}`, jsonwire.ErrShape, "done is neither"}, {jsonwire.Lines, `{"type":"a","errors":"x"}`, jsonwire.ErrShape, "errors is no array"},
	} {
		var m jsonwire.Message
		err := row.framing.Decode([]byte(row.frame), &m)
		var fe *jsonwire.FrameError
		if !errors.As(err, &fe) || !errors.Is(err, row.kind) || !strings.Contains(err.Error(), row.want) || string(fe.Frame) != row.frame || len(err.Error()) > 400 {
			t.Errorf("%v %.100q: got %v; want %v, %s", row.framing, row.frame, err, row.kind, row.want)
		}
	}
}

func TestScanner(t *testing.T) {
	for _, row := range []struct {
		framing jsonwire.Framing
		in      string
		want    []string
		rest    int // bytes at the end that are no frame
	}{
		{jsonwire.SocketIPC, "", nil, 0},
		{jsonwire.SocketIPC, "a\x00", nil, 2},
		{jsonwire.SocketIPC, "a\x00\x00\x00b\x00\x00", []string{"a", "\x00b"}, 0}, // three: the first two are the end
		{jsonwire.SocketIPC, "\x00\x00\x00\x00a\x00b\x00\x00c", []string{"", "", "a\x00b"}, 1},
		{jsonwire.NodeIPC, "a\f\fb\f\x00", []string{"a", "", "b"}, 1},
		{jsonwire.Lines, "é😀\n\nb", []string{"é😀", ""}, 1},
	} {
		for piece := 1; piece <= len(row.in)+1; piece++ {
			got, rest, err := scan(row.framing, 0, []byte(row.in), func() int { return piece })
			if d := cmp.Diff(row.want, got); d != "" || rest != row.rest || err != jsonwire.ErrShort {
				t.Errorf("%v %q in pieces of %d: %v, %d left (-want +got):\n%s", row.framing, row.in, piece, err, rest, d)
			}
		}
	}
}

func TestScannerLimit(t *testing.T) {
	for _, f := range all {
		for n, want := range map[int]error{9: jsonwire.ErrShort, 10: jsonwire.ErrShort, 11: jsonwire.ErrTooLarge, 50: jsonwire.ErrTooLarge} {
			for piece := 1; piece < 60; piece++ {
				in := strings.Repeat("x", n) + f.End()
				got, _, err := scan(f, 10, []byte(in), func() int { return piece })
				if err != want || (len(got) == 1) != (want == jsonwire.ErrShort) {
					t.Errorf("%v: %d bytes in pieces of %d: got %q, %v", f, n, piece, got, err)
				}
			}
		}
		s := jsonwire.NewScanner(f, 0) // an endless line
		if _, _, err := s.Next(make([]byte, 0)); err != jsonwire.ErrShort {
			t.Error(err)
		}
		if _, _, err := s.Next(bytes.Repeat([]byte("x"), jsonwire.DefaultLimit+1)); err != jsonwire.ErrShort && f == jsonwire.SocketIPC {
			t.Error(err)
		}
		if _, _, err := s.Next(bytes.Repeat([]byte("x"), jsonwire.DefaultLimit+2)); err != jsonwire.ErrTooLarge {
			t.Error(err)
		}
	}
}

// scan gives in to a Scanner, in pieces of next() bytes.
func scan(f jsonwire.Framing, limit int, in []byte, next func() int) (frames []string, rest int, err error) {
	s := jsonwire.NewScanner(f, limit)
	start, end := 0, 0
	for {
		frame, n, err := s.Next(in[start:end:end])
		switch {
		case err == nil:
			frames = append(frames, string(frame))
			start += n
		case err != jsonwire.ErrShort || end == len(in):
			return frames, len(in) - start, err
		default:
			end = min(end+next(), len(in))
		}
	}
}

// TestCuts: what Append wrote is what is read, however it is cut; what was damaged gives the same frames and
// verdicts however it is cut.
func TestCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(all).Draw(t, "framing")
		var stream []byte
		var want []jsonwire.Message
		for range rapid.IntRange(0, 5).Draw(t, "messages") {
			m := jsonwire.Message{Topic: []byte(rapid.String().Draw(t, "topic"))}
			if rapid.Bool().Draw(t, "has data") {
				data, err := json.MarshalIndent(drawJSON(t, 2), "", "\t")
				if err != nil {
					t.Fatal(err)
				}
				m.Data = data
			}
			if f == jsonwire.Lines {
				m.Done = rapid.Bool().Draw(t, "done")
				if rapid.Bool().Draw(t, "request") {
					m.ID = []byte(rapid.String().Draw(t, "id"))
				}
			}
			var err error
			if stream, err = f.Append(stream, &m); err != nil {
				t.Fatal(err)
			}
			m.Data = bytes.ReplaceAll(m.Data, []byte("\n"), []byte(" "))
			want = append(want, m)
		}
		piece := rapid.IntRange(1, 40)
		frames, rest, err := scan(f, 0, stream, func() int { return piece.Draw(t, "piece") })
		if rest != 0 || err != jsonwire.ErrShort || len(frames) != len(want) {
			t.Fatalf("%q: %d frames, %d left, %v; want %d", stream, len(frames), rest, err, len(want))
		}
		for i, frame := range frames {
			var got jsonwire.Message
			if err := f.Decode([]byte(frame), &got); err != nil {
				t.Fatalf("%q: %v", frame, err)
			}
			if d := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("%q (-want +got):\n%s", frame, d)
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "damage") {
			if len(stream) > 0 {
				stream[rapid.IntRange(0, len(stream)-1).Draw(t, "at")] = rapid.SampledFrom([]byte{0, '\f', '\n', '"', '{', 0xff}).Draw(t, "byte")
			}
		}
		limit := rapid.SampledFrom([]int{0, 5, 50}).Draw(t, "limit")
		whole, wholeRest, wholeErr := scan(f, limit, stream, func() int { return len(stream) })
		pieces, piecesRest, piecesErr := scan(f, limit, stream, func() int { return piece.Draw(t, "piece") })
		if d := cmp.Diff(whole, pieces); d != "" || wholeRest != piecesRest || wholeErr != piecesErr {
			t.Fatalf("%q: whole %d left, %v; in pieces %d left, %v\n%s", stream, wholeRest, wholeErr, piecesRest, piecesErr, d)
		}
	})
}

func drawJSON(t *rapid.T, depth int) any {
	most := 5
	if depth == 0 {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Float64().Draw(t, "number")
	case 3:
		return rapid.String().Draw(t, "text")
	case 4:
		s := make([]any, rapid.IntRange(0, 4).Draw(t, "members"))
		for i := range s {
			s[i] = drawJSON(t, depth-1)
		}
		return s
	}
	m := make(map[string]any)
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		m[rapid.String().Draw(t, "key")] = drawJSON(t, depth-1)
	}
	return m
}

func TestAppendRefuses(t *testing.T) {
	cyclic := map[string]any{}
	cyclic["me"] = cyclic
	for _, f := range all {
		for _, v := range []any{math.NaN(), math.Inf(1), func() {}, make(chan int), cyclic, "a\xff", map[string]int{"\xff": 1}, []any{"\\\xff"}, json.RawMessage("{")} {
			if b, err := f.AppendValue([]byte("x"), "t", v); err == nil || string(b) != "x" {
				t.Errorf("%v, %T: got %q, %v", f, v, b, err)
			}
		}
		for _, v := range []any{nil, "�", `\ufffd`, "\x00\x00\f\n", 1 << 60, []byte{0}, []string{}} {
			b, err := f.AppendValue(nil, "t", v)
			frame, n, scanErr := jsonwire.NewScanner(f, 0).Next(b)
			var m jsonwire.Message
			if err != nil || scanErr != nil || n != len(b) || f.Decode(frame, &m) != nil {
				t.Errorf("%v, %#v: got %q, %v", f, v, b, err)
			}
			if s, ok := v.(string); ok {
				var got string
				if err := json.Unmarshal(m.Data, &got); err != nil || got != s {
					t.Errorf("%v: got %q, want %q", f, got, s)
				}
			}
		}
		for _, m := range []jsonwire.Message{message("\xff", ""), message("t", "{"), message("t", "1 2"), message("t", " "), {Data: []byte{}}, message("t", "\"\xff\""), message("t", "\"\x00\"")} {
			if b, err := f.Append([]byte("x"), &m); err == nil || string(b) != "x" {
				t.Errorf("%v, %s: got %q, %v", f, show(m), b, err)
			}
		}
		m := jsonwire.Message{ID: []byte("1")}
		if _, err := f.Append(nil, &m); (err == nil) != (f == jsonwire.Lines) {
			t.Errorf("%v with an id: %v", f, err)
		}
	}
}

// FuzzDecode holds the walk against encoding/json.
func FuzzDecode(f *testing.F) {
	for _, row := range rows {
		f.Add(uint8(row.framing)-1, []byte(strings.TrimSuffix(row.frame, row.framing.End())))
	}
	f.Add(uint8(0), []byte(`{"message":[{"a":"\\\""}], "topic":"\u00e9", "topic":"x"} `))
	f.Fuzz(func(t *testing.T, framing uint8, p []byte) {
		fr := all[int(framing)%len(all)]
		var m jsonwire.Message
		err := fr.Decode(p, &m)
		var fields map[string]json.RawMessage
		theirs := json.Unmarshal(p, &fields)
		if err != nil {
			var fe *jsonwire.FrameError
			if !errors.As(err, &fe) || errors.Is(err, jsonwire.ErrJSON) == (json.Valid(p) && utf8.Valid(p)) {
				t.Fatalf("%q: got %v; encoding/json %v", p, err, theirs)
			}
			return
		}
		topic, data := "type", "data"
		if fr == jsonwire.SocketIPC {
			topic, data = "topic", "message"
		}
		var s string
		if theirs != nil || json.Unmarshal(fields[topic], &s) != nil || s != string(m.Topic) || string(fields[data]) != string(m.Data) {
			t.Fatalf("%q: got %s; encoding/json %s, %v", p, show(m), fields, theirs)
		}
		b, err := fr.Append(nil, &m)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		frame, n, err := jsonwire.NewScanner(fr, 0).Next(b)
		var again jsonwire.Message
		if err != nil || n != len(b) || fr.Decode(frame, &again) != nil || string(again.Topic) != string(m.Topic) {
			t.Fatalf("%q becomes %q: %v", p, b, err)
		}
	})
}

// TestValid: the limits of the walk, which FuzzValid seldom meets.
func TestValid(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001),
		"[}", "{]", "[1}", `{"a":1]`, "[,]", "[1,]", `{"a"}`, `{"a":}`, `{"a":1,}`, "{,}", "{1:2}", "-", "01", "-0", "0.", ".5", "1e", "1E+", "1e-0", "--1", "0x1", "1 2", "tru", "truee", "nul", "",
		`"\u12g4"`, `"\u12`, `"\u00AF\ufAf0"`, `"\x"`, `"\`, `"`, "\"\x1f\"", "\"\x7f\x80\xff\"",
	} {
		if got, want := jsonwire.Valid([]byte(s)), json.Valid([]byte(s)); got != want {
			t.Errorf("%.60q: got %v, want %v", s, got, want)
		}
	}
	for at := range 40 { // each byte at each place among plain ones
		for c := range 256 {
			p := []byte(`"` + strings.Repeat("x", 40) + `"`)
			p[1+at] = byte(c)
			if got, want := jsonwire.Valid(p), json.Valid(p); got != want {
				t.Errorf("%q: got %v, want %v", p, got, want)
			}
		}
	}
}

// FuzzValid holds Valid against encoding/json.
func FuzzValid(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,true,false,null,"\u00e9\n","long enough to be looked at in eights"]}`, " [ ] ", "[[{}]", "1e5x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if got, want := jsonwire.Valid(p), json.Valid(p); got != want {
			t.Fatalf("%q: got %v, want %v", p, got, want)
		}
	})
}
