package codec

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// TestStaticTableIsTheRFCs holds each row against RFC 7541, Appendix A, as it is in
// testdata/rfc7541.tsv, and those of Cocaine behind it.
func TestStaticTableIsTheRFCs(t *testing.T) {
	want := rfcTable(t)
	for i := 1; i <= 90; i++ {
		raw := appendUint([]byte{0x91}, uint64(i))
		hs, err := new(HeaderTable).Decode(nil, raw)
		if i >= firstDynamic {
			if err == nil {
				t.Errorf("row %d of an empty table is %q", i, hs)
			}
			continue
		}
		if err != nil || string(hs[0].Name) != want[i].name || string(hs[0].Value) != want[i].value {
			t.Errorf("row %d: got %q, %v; want %q", i, hs, err, want[i])
		}
		// Its name alone, with a value of one's own.
		raw = AppendRawString(appendUint([]byte{0x91, 0x93, 0xc2}, uint64(i)), "own")
		if hs, err = new(HeaderTable).Decode(nil, raw); err != nil || string(hs[0].Name) != want[i].name || string(hs[0].Value) != "own" {
			t.Errorf("name of row %d: got %q, %v; want %q", i, hs, err, want[i].name)
		}
	}
}

type entry struct{ name, value string }

// rfcTable is rows 1 to 82, from the RFC and PROTOCOL 3.2.
func rfcTable(t testing.TB) (rows [83]entry) {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc7541.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:]
	if len(lines) != 61 {
		t.Fatalf("the RFC has %d rows, want 61", len(lines))
	}
	for i, line := range lines {
		c := strings.Split(line, "\t")
		if len(c) != 3 || c[0] != strconv.Itoa(i+1) {
			t.Fatalf("row %d is malformed: %q", i+1, line)
		}
		rows[i+1] = entry{c[1], c[2]}
	}
	for i, name := range []string{"trace_id", "span_id", "parent_id"} {
		rows[80+i] = entry{name, strings.Repeat("\x00", 8)}
	}
	return rows
}

// headerModel is the header table as RFC 7541, 2.3 has it in words: a list whose
// newest entry is first, behind the static rows.
type headerModel struct {
	static  [83]entry
	dynamic []entry
}

func (m *headerModel) at(i uint64) (entry, bool) {
	switch {
	case i == 0 || i >= 83+uint64(len(m.dynamic)):
		return entry{}, false
	case i < 83:
		return m.static[i], true
	}
	return m.dynamic[i-83], true
}

// store puts e in front, and then takes away from the end: RFC 7541, 4.4.
func (m *headerModel) store(e entry) {
	m.dynamic = append([]entry{e}, m.dynamic...)
	size := 0
	for i, e := range m.dynamic {
		if size += len(e.name) + len(e.value) + 32; size > 4096 {
			m.dynamic = m.dynamic[:i]
			return
		}
	}
}

// decode reads one frame's headers with msgp's generic reader; false: they are wrong.
func (m *headerModel) decode(raw []byte) (hs []entry, ok bool) {
	n, p, err := msgp.ReadArrayHeaderBytes(raw)
	if err != nil {
		return nil, false
	}
	for range n {
		e, rest, ok := m.next(p)
		if !ok {
			return nil, false
		}
		hs, p = append(hs, e), rest
	}
	return hs, true
}

func (m *headerModel) next(p []byte) (e entry, rest []byte, ok bool) {
	index := func() {
		var i uint64
		var err error
		if i, p, err = msgp.ReadUint64Bytes(p); err == nil {
			e, ok = m.at(i)
		}
	}
	number := func() bool {
		k := msgp.NextType(p)
		return len(p) > 0 && (k == msgp.IntType || k == msgp.UintType)
	}
	if number() {
		index()
		return e, p, ok
	}
	n, p2, err := msgp.ReadArrayHeaderBytes(p)
	if err != nil || n != 3 {
		return e, p, false
	}
	store, p2, err := msgp.ReadBoolBytes(p2)
	if p = p2; err != nil {
		return e, p, false
	}
	if number() {
		if index(); !ok {
			return e, p, false
		}
	} else if e.name, p, ok = rawText(p); !ok {
		return e, p, false
	}
	if e.value, p, ok = rawText(p); ok && store {
		m.store(e)
	}
	return e, p, ok
}

// rawText reads a raw, str, bin or nil.
func rawText(p []byte) (s string, rest []byte, ok bool) {
	var r heddle.Raw
	rest, err := r.UnmarshalMsg(p)
	return string(r), rest, err == nil
}

// FuzzHeadersAgainstModel gives the table and the model the same frames, one behind
// the other in p, until one of them is wrong.
func FuzzHeadersAgainstModel(f *testing.F) {
	f.Add([]byte{0x91, 0x01, 0x92, 0x93, 0xc3, 0xa1, 'a', 0xa1, 'b', 0x53, 0x91, 0x53, 0x91, 0x54})
	big := append([]byte{0x91}, literal(true, "n", strings.Repeat("x", 1330))...)
	f.Add(append(bytes.Repeat(big, 4), 0x93, 0x53, 0x54, 0x55, 0x91, 0x56))
	f.Add(append(append(bytes.Clone(big), append([]byte{0x91}, literal(true, "", strings.Repeat("y", 4065))...)...), 0x91, 0x53))
	f.Add(append(bytes.Repeat(append([]byte{0x91}, literal(true, "", "")...), 130), 0x91, 0xcc, 83+127, 0x91, 0xcc, 83+128))
	f.Add([]byte{0x91, 0x93, 0xc3, 0x50, 0xa1, 'x', 0x92, 0x53, 0x52, 0x91, 0x00})
	static := rfcTable(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		var table HeaderTable
		model := headerModel{static: static}
		for len(p) > 0 {
			rest, err := msgp.Skip(p)
			if err != nil {
				return
			}
			raw := p[:len(p)-len(rest)]
			p = rest
			hs, err := table.Decode(nil, raw)
			want, ok := model.decode(raw)
			if len(want) > MaxHeaders || ok && tooMuch(want) {
				return // a bound of ours, not of the table's
			}
			if ok != (err == nil) {
				t.Fatalf("%x: got %v, the model says %v", raw, err, ok)
			}
			if !ok {
				return
			}
			for i, e := range want {
				if string(hs[i].Name) != e.name || string(hs[i].Value) != e.value {
					t.Fatalf("%x: header %d is %q, want %q", raw, i, hs[i], e)
				}
			}
			if len(model.dynamic) != table.count {
				t.Fatalf("%x: %d entries are stored, want %d", raw, table.count, len(model.dynamic))
			}
		}
	})
}

func tooMuch(hs []entry) bool {
	n := 0
	for _, e := range hs {
		n += len(e.name) + len(e.value) + 32
	}
	return n > MaxHeaderBytes
}
