package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaderTable(t *testing.T) {
	zeros := strings.Repeat("\x00", 8)
	const noRow = "header index %s is not in the table"
	for _, c := range []struct {
		name   string
		frames []string // in hex, on one channel
		want   []string // of the last frame: name=value
		off    int64
		err    string
	}{
		{"none", []string{"90"}, nil, 0, ""},
		{"absent", []string{""}, nil, 0, ""},
		{"literal", []string{"91 93 c2 a161 a162"}, []string{"a=b"}, 0, ""},
		{"literal in str8 and bin8", []string{"91 93 c2 d90161 c40162"}, []string{"a=b"}, 0, ""},
		{"indexed name", []string{"91 93 c2 50 a162"}, []string{"trace_id=b"}, 0, ""},
		{"wide index", []string{"91 93 c2 ce00000017 a162"}, []string{"authorization=b"}, 0, ""},
		{"static rows", []string{"95 01 02 08 10 3d"}, []string{":authority=", ":method=GET", ":status=200", "accept-encoding=gzip, deflate", "www-authenticate="}, 0, ""},
		{"empty rows", []string{"92 3e 4f"}, []string{"=", "="}, 0, ""},
		{"trace rows", []string{"93 50 51 52"}, []string{"trace_id=" + zeros, "span_id=" + zeros, "parent_id=" + zeros}, 0, ""},
		{"array16", []string{"dc0001 08"}, []string{":status=200"}, 0, ""},
		{"stored and used at once", []string{"92 93 c3 a161 a162 53"}, []string{"a=b", "a=b"}, 0, ""},
		{"stored in an earlier frame", []string{"91 93 c3 a161 a162", "91 53"}, []string{"a=b"}, 0, ""},
		{"newest first", []string{"92 93 c3 a161 a162 93 c3 a163 a164", "92 53 54"}, []string{"c=d", "a=b"}, 0, ""},
		{"name of a stored entry", []string{"91 93 c3 a161 a162", "91 93 c3 53 a163", "92 53 54"}, []string{"a=c", "a=b"}, 0, ""},
		{"not stored", []string{"91 93 c2 a161 a162", "91 53"}, nil, 1, fmt.Sprintf(noRow, "83")},
		{"index 0", []string{"91 00"}, nil, 1, fmt.Sprintf(noRow, "0")},
		{"index beyond", []string{"91 53"}, nil, 1, fmt.Sprintf(noRow, "83")},
		{"index of 64 bits", []string{"91 cfffffffffffffffff"}, nil, 1, fmt.Sprintf(noRow, "18446744073709551615")},
		{"name index 0", []string{"91 93 c2 00 a162"}, nil, 1, fmt.Sprintf(noRow, "0")},
		{"negative index", []string{"91 ff"}, nil, 1, "header index: "},
		{"not an array", []string{"05"}, nil, 0, "headers are no array"},
		{"entry of two", []string{"91 92 c2 a161"}, nil, 1, "header of 2 elements"},
		{"entry of four", []string{"91 94 c2 a161 a162 c0"}, nil, 1, "header of 4 elements"},
		{"entry is a raw", []string{"92 01 a161"}, nil, 2, "header: "},
		{"flag is no bool", []string{"91 93 01 a161 a162"}, nil, 1, "header store flag: "},
		{"name is an array", []string{"91 93 c2 90 a162"}, nil, 1, "header name: "},
		{"value is an integer", []string{"91 93 c2 a161 05"}, nil, 1, "header value: "},
		{"cut off", []string{"91 93 c2 a161 a2"}, nil, 1, "header value: "},
		{"fewer than promised", []string{"92 01"}, nil, 2, "header: "},
	} {
		var table HeaderTable
		var hs []Header
		var err error
		for i, frame := range c.frames {
			if hs, err = table.Decode([]Header{{}}, unhex(t, frame)); err != nil && i < len(c.frames)-1 {
				t.Fatalf("%s: frame %d: %v", c.name, i, err)
			}
		}
		if c.err != "" {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Off != c.off || !strings.HasPrefix(syntax.What, c.err) || len(hs) != 1 {
				t.Errorf("%s: got %v and %d headers, want %q at %d and the one given", c.name, err, len(hs), c.err, c.off)
			}
			continue
		}
		var got []string
		for _, h := range hs[1:] {
			got = append(got, string(h.Name)+"="+string(h.Value))
		}
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// literal is one header entry as bytes.
func literal(store bool, name, value string) []byte {
	flag := byte(0xc2)
	if store {
		flag = 0xc3
	}
	return AppendRawString(AppendRawString([]byte{0x93, flag}, name), value)
}

func TestHeaderTableEvicts(t *testing.T) {
	var table HeaderTable
	decode := func(p ...byte) ([]Header, error) { return table.Decode(nil, append([]byte{0x91}, p...)) }
	store := func(name, value string) {
		t.Helper()
		if _, err := decode(literal(true, name, value)...); err != nil {
			t.Fatal(err)
		}
	}
	has := func(index byte, want string) {
		t.Helper()
		hs, err := decode(index)
		switch {
		case want == "" && err == nil:
			t.Errorf("index %d is %s, want none", index, hs[0].Name)
		case want != "" && (err != nil || string(hs[0].Name) != want):
			t.Errorf("index %d: got %v, %v, want %s", index, hs, err, want)
		}
	}
	big := strings.Repeat("x", 1024-32-1)
	for _, name := range []string{"a", "b", "c", "d"} { // exactly full
		store(name, big)
	}
	has(83, "d")
	has(86, "a")
	store("e", "") // evicts one
	has(83, "e")
	has(86, "b")
	has(87, "")
	kept, _ := decode(86)
	store("f", strings.Repeat("x", 4096-32-1)) // fills the table alone
	has(83, "f")
	has(84, "")
	if string(kept[0].Name) != "b" || string(kept[0].Value) != big {
		t.Error("an evicted entry changed under its user")
	}
	store("g", strings.Repeat("x", 4096-32)) // too big: clears
	has(83, "")
	for i := range 1000 { // around the ring, 128 smallest entries at once
		store("", "")
		if i%7 == 0 {
			store(fmt.Sprint("n", i), "")
			has(83, fmt.Sprint("n", i))
		}
	}
	if table.bytes > 4096 || table.count > 128 {
		t.Errorf("%d entries of %d bytes", table.count, table.bytes)
	}
	for range 200 {
		store("", "")
	}
	if table.count != 128 || table.bytes != 4096 {
		t.Errorf("%d entries of %d bytes, want 128 of 4096", table.count, table.bytes)
	}
}

func TestHeaderTableOwnsWhatItStores(t *testing.T) {
	var table HeaderTable
	p := append([]byte{0x91}, literal(true, "name", "value")...)
	if _, err := table.Decode(nil, p); err != nil {
		t.Fatal(err)
	}
	clear(p)
	hs, err := table.Decode(nil, []byte{0x91, 83})
	if err != nil || string(hs[0].Name) != "name" || string(hs[0].Value) != "value" {
		t.Errorf("got %q, %v", hs, err)
	}
	if cap(hs[0].Name) != 4 {
		t.Error("an append to the name reaches the value")
	}
}

func TestHeaderBounds(t *testing.T) {
	many := bytes.Repeat([]byte{8}, MaxHeaders+1)
	if _, err := new(HeaderTable).Decode(nil, AppendArray(nil, len(many))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d headers: got %v", len(many), err)
	}
	if hs, err := new(HeaderTable).Decode(nil, append(AppendArray(nil, MaxHeaders), many[1:]...)); err != nil || len(hs) != MaxHeaders {
		t.Errorf("%d headers: got %d, %v", MaxHeaders, len(hs), err)
	}
	// One byte for each use of a stored entry of 4064.
	bomb := append(AppendArray(nil, 201), literal(true, "", strings.Repeat("x", 4064))...)
	bomb = append(bomb, bytes.Repeat([]byte{83}, 200)...)
	if _, err := new(HeaderTable).Decode(nil, bomb); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a bomb of %d bytes: got %v", len(bomb), err)
	}
	if got := allocated(func() { new(HeaderTable).Decode(nil, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}) }); got > 4096 {
		t.Errorf("a promise of 4 G headers allocates %d bytes", got)
	}
}

func TestStaticTable(t *testing.T) {
	names := map[string]bool{}
	for i, h := range staticTable {
		empty := len(h.Name) == 0
		if want := i == 0 || i > 61 && i < 80; empty != want {
			t.Errorf("row %d is %q", i, h)
		}
		names[string(h.Name)] = true
	}
	// RFC 7541, Appendix A: 61 rows with 52 different names. Three trace rows, and the empty name.
	if len(names) != 52+3+1 {
		t.Errorf("%d names", len(names))
	}
}
