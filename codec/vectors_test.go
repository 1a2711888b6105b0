package codec

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// A vector is one row of testdata/cocaine.tsv; its README explains the columns.
type vector struct {
	n                   int
	kind                string
	key                 string // peer and direction
	dialect             heddle.Dialect
	typ                 string
	session             uint64
	args, headers       string
	verdict, form, what string
	bytes               []byte
}

const vectorColumns = "n kind peer dialect direction type session args headers verdict form hex what"

func loadVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/cocaine.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if got := strings.ReplaceAll(lines[0], "\t", " "); got != vectorColumns {
		t.Fatalf("columns %q, want %q", got, vectorColumns)
	}
	var vs []vector
	facts := 0
	for i, line := range lines[1:] {
		c := strings.Split(line, "\t")
		if len(c) != 13 || c[0] != strconv.Itoa(i) {
			t.Fatalf("row %d is malformed: %q", i, line)
		}
		v := vector{n: i, kind: c[1], key: c[2] + c[4], typ: c[5], args: c[7], headers: c[8], verdict: c[9], form: c[10], what: c[12]}
		switch c[3] {
		case "v0":
			v.dialect = heddle.V0
		case "v1":
			v.dialect = heddle.V1
		default:
			t.Fatalf("row %d: dialect %q", i, c[3])
		}
		if v.kind == "fact" {
			facts++
		} else if v.bytes, err = hex.DecodeString(c[11]); err != nil || len(v.bytes) == 0 {
			t.Fatalf("row %d: hex %q: %v", i, c[11], err)
		}
		if c[6] != "" {
			if v.session, err = strconv.ParseUint(c[6], 10, 64); err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
		}
		vs = append(vs, v)
	}
	if len(vs) != 608 || facts != 23 {
		t.Fatalf("%d rows with %d facts, want 608 with 23", len(vs), facts)
	}
	return vs
}

// excepted are the rows that are refused, or do not re-encode to the same bytes, each
// with the reason that testdata/README.md has for it.
var excepted = map[int]string{
	342: "refuse", 353: "refuse", 358: "refuse", 435: "refuse", 437: "refuse", 439: "refuse", 441: "refuse",
	344: "wide", 347: "wide", 350: "wide", 355: "wide", 433: "five",
}

func TestVectors(t *testing.T) {
	tables := map[string]*HeaderTable{}
	count := map[string]int{}
	for _, v := range loadVectors(t) {
		if v.kind == "fact" {
			continue
		}
		if tables[v.key] == nil || v.typ == "handshake" {
			tables[v.key] = new(HeaderTable)
		}
		f, hs, err := decodeWhole(v.dialect, v.bytes, tables[v.key])
		count[v.verdict]++
		if reason := excepted[v.n]; reason != "" && v.verdict != reason && v.form != reason || reason == "" && (v.verdict == "refuse" || v.form != "shortest") {
			t.Errorf("row %d (%s, %s): the reason is %q", v.n, v.verdict, v.form, reason)
		}
		if v.verdict != "accept" {
			delete(tables, v.key)
		}
		if v.verdict == "refuse" {
			if err == nil || err == ErrShort {
				t.Errorf("row %d (%s): got %v, want a refusal of %x", v.n, v.what, err, v.bytes)
			}
			continue
		}
		if err != nil {
			t.Errorf("row %d (%s): %v in %x", v.n, v.what, err, v.bytes)
			continue
		}
		if got, want := f.Type, typeNumber(t, v); f.Session != v.session || got != want {
			t.Errorf("row %d: session %d type %d, want %d and %d (%s)", v.n, f.Session, got, v.session, want, v.typ)
		}
		if got := show(t, f.Args); got != v.args {
			t.Errorf("row %d: args %s, want %s", v.n, got, v.args)
		}
		if got := showHeaders(f, hs); got != v.headers {
			t.Errorf("row %d: headers %s, want %s", v.n, got, v.headers)
		}
		again, literal := reencode(t, v, f, hs)
		if !literal {
			count["indexed"]++
		}
		if same := bytes.Equal(again, v.bytes); same != (v.form == "shortest") {
			t.Errorf("row %d is %s and re-encodes to\n%x, from\n%x", v.n, v.form, again, v.bytes)
		}
		count[v.form]++
	}
	want := map[string]int{"accept": 570, "session": 8, "refuse": 7, "shortest": 573, "wide": 4, "five": 1, "indexed": 12}
	for k, n := range want {
		if count[k] != n {
			t.Errorf("%d rows are %s, want %d", count[k], k, n)
		}
	}
}

// TestVectorsInPieces plays all accepted frames of a dialect as one stream, cut in pieces of every small size.
func TestVectorsInPieces(t *testing.T) {
	for _, d := range dialects {
		var stream []byte
		var want []vector
		for _, v := range loadVectors(t) {
			if v.kind == "frame" && v.dialect == d && v.verdict != "refuse" {
				stream = append(stream, v.bytes...)
				want = append(want, v)
			}
		}
		for _, size := range []int{1, 2, 3, 5, 7, 64, 1000, len(stream)} {
			i := 0
			feed(t, NewDecoder(d, Limits{}), stream, func() int { return size }, func(f Frame) {
				if got := show(t, f.Args); i >= len(want) || f.Session != want[i].session || got != want[i].args {
					t.Fatalf("%v, pieces of %d: frame %d is %+v", d, size, i, f)
				}
				i++
			})
			if i != len(want) {
				t.Errorf("%v, pieces of %d: %d frames, want %d", d, size, i, len(want))
			}
		}
	}
}

// decodeWhole decodes p, one whole frame, headers included.
func decodeWhole(d heddle.Dialect, p []byte, table *HeaderTable) (Frame, []Header, error) {
	f, n, err := NewDecoder(d, Limits{}).Next(p)
	if err != nil {
		return f, nil, err
	}
	if n != len(p) {
		return f, nil, fmt.Errorf("took %d bytes of %d", n, len(p))
	}
	hs, err := table.Decode(nil, f.Headers)
	return f, hs, err
}

// feed gives stream to d in pieces of next() bytes, as a channel does, and calls got for each frame.
func feed(t testing.TB, d *Decoder, stream []byte, next func() int, got func(Frame)) {
	t.Helper()
	start, end := 0, 0
	for end < len(stream) {
		end = min(end+next(), len(stream))
		for {
			f, n, err := d.Next(stream[start:end:end])
			if err == ErrShort {
				if need := d.Need(); need <= end-start {
					t.Fatalf("short of %d bytes, but only %d are needed", end-start, need)
				}
				break
			}
			if err != nil {
				t.Fatalf("at %d: %v", start, err)
			}
			start += n
			got(f)
		}
	}
	if start != end {
		t.Fatalf("%d bytes are left of %d", end-start, end)
	}
}

var typeNames = map[string][2]uint64{ // v0, v1
	"handshake": {heddle.TypeV0Handshake, heddle.MsgHandshake},
	"heartbeat": {heddle.TypeV0Heartbeat, heddle.MsgHeartbeat},
	"terminate": {heddle.TypeV0Terminate, heddle.MsgTerminate},
	"invoke":    {heddle.TypeV0Invoke, heddle.MsgInvoke},
	"chunk":     {heddle.TypeV0Chunk, heddle.MsgWrite},
	"error":     {heddle.TypeV0Error, heddle.MsgError},
	"choke":     {heddle.TypeV0Choke, heddle.MsgClose},
	"value":     {0, 0},
}

func typeNumber(t *testing.T, v vector) uint64 {
	if s, ok := strings.CutPrefix(v.typ, "method:"); ok {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("row %d: %v", v.n, err)
		}
		return n
	}
	n, ok := typeNames[v.typ]
	if !ok {
		t.Fatalf("row %d: type %q", v.n, v.typ)
	}
	return n[v.dialect]
}

// reencode decodes the arguments of f and writes the frame again. Headers that are no plain literals are
// nothing we ever write: theirs are copied, and literal is false.
func reencode(t *testing.T, v vector, f Frame, hs []Header) (p []byte, literal bool) {
	decode := func(m Message, required int) {
		if err := DecodeArgs(m, f.Args, required); err != nil {
			t.Errorf("row %d: %v", v.n, err)
		}
	}
	switch v.typ {
	case "handshake":
		var m heddle.Handshake
		decode(&m, 1)
		p = AppendHandshake(nil, v.dialect, string(m.UUID), nil)
	case "heartbeat":
		decode(&heddle.Empty{}, 0)
		p = AppendHeartbeat(nil, v.dialect)
	case "terminate":
		var m heddle.Terminate
		decode(&m, 2)
		p = AppendTerminate(nil, v.dialect, m.Code, string(m.Reason))
	case "invoke":
		var m heddle.Invoke
		decode(&m, 1)
		p = AppendInvoke(nil, v.dialect, f.Session, string(m.Event), m.Window)
	case "chunk":
		var m heddle.Chunk
		decode(&m, 1)
		p = AppendChunk(nil, v.dialect, f.Session, m.Data)
	case "choke":
		decode(&heddle.Empty{}, 0)
		p = AppendChoke(nil, v.dialect, f.Session)
	case "error":
		if v.dialect == heddle.V0 {
			var m heddle.ErrorV0
			decode(&m, 2)
			p = AppendError(nil, v.dialect, f.Session, 0, m.Code, string(m.Reason))
		} else {
			var m heddle.ErrorV1
			decode(&m, 1)
			p = AppendError(nil, v.dialect, f.Session, m.Code.Category, m.Code.Code, string(m.Reason))
		}
	default:
		p = AppendMethod(nil, v.dialect, f.Session, f.Type, rewrite(t, f.Args))
	}
	if f.Headers == nil {
		return p, true
	}
	bare := len(p)
	p = AppendHeaders(p, 0, hs)
	if bytes.Equal(p[bare:], f.Headers) {
		return p, true
	}
	again, err := new(HeaderTable).Decode(nil, p[bare:])
	if got := showHeaders(f, again); err != nil || got != v.headers {
		t.Errorf("row %d: as literals the headers are %s, %v; want %s", v.n, got, err, v.headers)
	}
	return append(p[:bare], f.Headers...), false
}

func showHeaders(f Frame, hs []Header) string {
	if f.Headers == nil {
		return ""
	}
	var s []string
	for _, h := range hs {
		s = append(s, "["+quote(h.Name)+","+quote(h.Value)+"]")
	}
	return "[" + strings.Join(s, ",") + "]"
}

// show writes the value in p as the args column has it. It reads with msgp, not with the code under test.
func show(t testing.TB, p []byte) string {
	t.Helper()
	s, rest := showNext(t, p)
	if len(rest) > 0 {
		t.Fatalf("%d bytes after the value %x", len(rest), p)
	}
	return s
}

func showNext(t testing.TB, p []byte) (s string, rest []byte) {
	var err error
	var n uint32
	var parts []string
	switch msgp.NextType(p) {
	case msgp.ArrayType:
		n, rest, err = msgp.ReadArrayHeaderBytes(p)
		for range n {
			s, rest = showNext(t, rest)
			parts = append(parts, s)
		}
		s = "[" + strings.Join(parts, ",") + "]"
	case msgp.MapType:
		n, rest, err = msgp.ReadMapHeaderBytes(p)
		for range n {
			var value string
			s, rest = showNext(t, rest)
			value, rest = showNext(t, rest)
			parts = append(parts, s+":"+value)
		}
		s = "{" + strings.Join(parts, ",") + "}"
	case msgp.StrType:
		var b []byte
		b, rest, err = msgp.ReadStringZC(p)
		s = quote(b)
	case msgp.BinType:
		var b []byte
		b, rest, err = msgp.ReadBytesZC(p)
		s = quote(b)
	default:
		var v any
		v, rest, err = msgp.ReadIntfBytes(p)
		if s = fmt.Sprint(v); v == nil {
			s = "nil"
		}
	}
	if err != nil {
		t.Fatalf("%x: %v", p, err)
	}
	return s, rest
}

func quote(b []byte) string {
	s := []byte{'"'}
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			s = append(s, '\\', c)
		case c >= 32 && c < 127:
			s = append(s, c)
		default:
			s = fmt.Appendf(s, `\x%02x`, c)
		}
	}
	return string(append(s, '"'))
}

// rewrite writes the value in p again, in shortest form.
func rewrite(t testing.TB, p []byte) []byte {
	t.Helper()
	out, rest := rewriteNext(t, nil, p)
	if len(rest) > 0 {
		t.Fatalf("%d bytes after the value %x", len(rest), p)
	}
	return out
}

func rewriteNext(t testing.TB, dst, p []byte) (out, rest []byte) {
	var n uint32
	var err error
	switch msgp.NextType(p) {
	case msgp.ArrayType:
		n, rest, err = msgp.ReadArrayHeaderBytes(p)
		dst = AppendArray(dst, int(n))
	case msgp.MapType:
		n, rest, err = msgp.ReadMapHeaderBytes(p)
		dst = msgp.AppendMapHeader(dst, n)
		n *= 2
	case msgp.StrType, msgp.BinType:
		var r heddle.Raw
		rest, err = r.UnmarshalMsg(p)
		dst = AppendRaw(dst, r)
	case msgp.IntType:
		var i int64
		i, rest, err = msgp.ReadInt64Bytes(p)
		dst = appendInt(dst, i)
	case msgp.UintType:
		var i uint64
		i, rest, err = msgp.ReadUint64Bytes(p)
		dst = appendUint(dst, i)
	default:
		var v heddle.Value
		rest, err = v.UnmarshalMsg(p)
		dst = append(dst, v...)
	}
	if err != nil {
		t.Fatalf("%x: %v", p, err)
	}
	for range n {
		dst, rest = rewriteNext(t, dst, rest)
	}
	return dst, rest
}
