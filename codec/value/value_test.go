package value_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/tinylib/msgp/msgp"
)

type point struct {
	X int `msg:"x"`
	Y int `msg:"y,omitempty"`
	Z int
	N int `msg:"-"`
	n int
}

type pair struct {
	_ struct{} `msg:",tuple"`
	A string
	B []byte
}

type base struct {
	ID   uint8
	Name string
}

type outer struct {
	base
	*Extra
	Name string // hides base's
}

type Extra struct{ More bool }

type tupleOf struct {
	_ struct{} `msg:",tuple"`
	*Extra
	Last int
}

type tree struct {
	Left, Right *tree `msg:",omitempty"`
	V           int
}

type (
	level  int8
	text   string
	blob   []byte
	levels map[level]text
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var when = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// rows are read and written alike. old is what the specification of 2012 makes of it, where that differs; and
// is nil what only one direction has.
var rows = []struct {
	v        any
	hex, old string
}{
	{true, "c3", ""},
	{false, "c2", ""},
	{0, "00", ""},
	{127, "7f", ""},
	{int16(128), "cc80", ""},
	{-1, "ff", ""},
	{int8(-32), "e0", ""},
	{-33, "d0df", ""},
	{int32(-129), "d1ff7f", ""},
	{uint16(65535), "cdffff", ""},
	{uint32(65536), "ce00010000", ""},
	{int64(math.MinInt64), "d38000000000000000", ""},
	{uint64(math.MaxUint64), "cfffffffffffffffff", ""},
	{float32(1.5), "ca3fc00000", ""},
	{1.5, "cb3ff8000000000000", ""},
	{"", "a0", ""},
	{"abc", "a3616263", ""},
	{strings.Repeat("x", 32), "d920" + strings.Repeat("78", 32), "da0020" + strings.Repeat("78", 32)},
	{[]byte{}, "c400", "a0"},
	{[]byte{1, 2}, "c4020102", "a20102"},
	{blob(nil), "c0", ""},
	{[3]byte{1, 2, 3}, "c403010203", "a3010203"},
	{[]int(nil), "c0", ""},
	{[]int{}, "90", ""},
	{[]int{1, 2}, "920102", ""},
	{[2]bool{true, false}, "92c3c2", ""},
	{map[string]int(nil), "c0", ""},
	{map[string]int{"a": 1}, "81a16101", ""},
	{levels{-1: "x"}, "81ffa178", ""},
	{map[bool]any{true: nil}, "81c3c0", ""},
	{map[float64]int{0.5: 1}, "81cb3fe000000000000001", ""},
	{when, "d6ff663880d9"[:4] + fmt.Sprintf("%08x", when.Unix()), "b4" + hex.EncodeToString([]byte("2024-05-06T07:08:09Z"))},
	{when.Add(1), "d7ff" + fmt.Sprintf("%016x", 1<<34|when.Unix()), "be" + hex.EncodeToString([]byte("2024-05-06T07:08:09.000000001Z"))},
	{time.Unix(-1, 5).UTC(), "c70cff00000005ffffffffffffffff", "be" + hex.EncodeToString([]byte("1969-12-31T23:59:59.000000005Z"))},
	{(*int)(nil), "c0", ""},
	{point{X: 1, Z: 2}, "82 a178 01 a15a 02", ""},
	{point{X: 1, Y: 3, Z: 2}, "83 a178 01 a179 03 a15a 02", ""},
	{pair{A: "a", B: []byte{7}}, "92 a161 c40107", "92 a161 a107"},
	{struct{}{}, "80", ""},
	{outer{base: base{ID: 1}, Name: "n"}, "82 a24944 01 a44e616d65 a16e", ""},
	{outer{base: base{ID: 1}, Extra: &Extra{true}, Name: "n"}, "83 a24944 01 a44d6f7265 c3 a44e616d65 a16e", ""},
	{tupleOf{Last: 2}, "92 c0 02", ""},
	{tupleOf{Extra: &Extra{true}, Last: 2}, "92 c3 02", ""},
	{tree{V: 1, Left: &tree{V: 2}}, "82 a44c656674 81 a156 02 a156 01", ""},
	{[]any{nil, "a", int64(-1), 1.5, map[string]any{}, []any{}}, "96 c0 a161 ff cb3ff8000000000000 80 90", ""},
	{heddle.Raw("abc"), "a3616263", ""},
	{&heddle.ErrorCode{Category: 1, Code: 2}, "", ""},
	{netip.MustParseAddr("::1"), "a33a3a31", ""},
	{map[netip.Addr]int{netip.MustParseAddr("::1"): 1}, "81a33a3a3101", ""},
	{uuid.MustParse("00000000-0000-0000-0000-000000000001"), "d92430303030303030302d303030302d303030302d303030302d303030303030303030303031", "da002430303030303030302d303030302d303030302d303030302d303030303030303030303031"},
	{value.Ext{Type: 9, Data: []byte{1}}, "d40901", "-"},
	{value.Ext{Type: 9, Data: []byte{1, 2, 3}}, "c703 09 010203", "-"},
}

var anyway = cmp.Options{cmp.AllowUnexported(point{}, outer{}, pair{}, tupleOf{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}

func TestRows(t *testing.T) {
	for _, row := range rows {
		for _, old := range []bool{false, true} {
			want := row.hex
			if old && row.old != "" {
				want = row.old
			}
			got, err := value.Options{Old: old}.Append([]byte{0xee}, row.v)
			if want == "-" {
				if err == nil || len(got) != 1 {
					t.Errorf("%#v: got %x, %v; want an error and what was there", row.v, got, err)
				}
				continue
			}
			if err != nil || want != "" && !bytes.Equal(got[1:], unhex(t, want)) {
				t.Errorf("%T %#v, old %v: got %x, %v; want %s", row.v, row.v, old, got, err, want)
				continue
			}
			back := reflect.New(reflect.TypeOf(row.v))
			rest, err := value.Decode(append(got[1:], 0xc1), back.Interface(), value.Limits{})
			if d := cmp.Diff(row.v, back.Elem().Interface(), anyway); err != nil || d != "" || len(rest) != 1 {
				t.Errorf("%x into %T: %v, %d left (-want +got):\n%s", got[1:], row.v, err, len(rest), d)
			}
			for cut := range len(got) - 1 {
				back := reflect.New(reflect.TypeOf(row.v))
				if rest, err := value.Decode(got[1:1+cut], back.Interface(), value.Limits{}); err != msgp.ErrShortBytes || len(rest) != cut {
					t.Errorf("%x cut at %d: got %v", got[1:], cut, err)
				}
			}
		}
	}
}

// TestReadOnly: what is read and never written so.
func TestReadOnly(t *testing.T) {
	for _, row := range []struct {
		hex  string
		want any
	}{
		{"c403616263", "abc"},                   // bin as text
		{"a3616263", []byte("abc")},             // text as bytes
		{"d903616263", []byte("abc")},           // str8
		{"d10007", uint8(7)},                    // wider than needed, signed
		{"07", 7.0},                             // an integer as float
		{"ff", float32(-1)},                     //
		{"ca3fc00000", 1.5},                     // float32 as float64
		{"d6ff00000001", time.Unix(1, 0).UTC()}, //
		{"c70c05 0000000000000001 00000002", time.Unix(1, 2).UTC()}, // msgp's
		{"82 a178 01 a3666f6f 93010203", point{X: 1}},               // a key nobody has
		{"91 a161", pair{A: "a"}},                                   // a short tuple
		{"94 a161 c0 01 80", pair{A: "a"}},                          // a long one
		{"c0", 0}, {"c0", "" /* nil is zero */}, {"c0", point{}}, {"c0", time.Time{}}, {"c0", [2]int{}}, {"c0", false},
		{"82 c40178 01 a15a 02", point{X: 1, Z: 2}}, // bin as a field's name
	} {
		back := reflect.New(reflect.TypeOf(row.want))
		rest, err := value.Decode(unhex(t, row.hex), back.Interface(), value.Limits{})
		if d := cmp.Diff(row.want, back.Elem().Interface(), anyway); err != nil || d != "" || len(rest) != 0 {
			t.Errorf("%s into %T: %v (-want +got):\n%s", row.hex, row.want, err, d)
		}
	}
}

func TestNatural(t *testing.T) {
	for _, row := range []struct {
		hex  string
		want any
	}{
		{"c0", nil}, {"c3", true}, {"ff", int64(-1)}, {"cc80", int64(128)}, {"cfffffffffffffffff", uint64(math.MaxUint64)},
		{"ca3fc00000", 1.5}, {"a161", "a"}, {"c40161", []byte("a")}, {"92c0c2", []any{nil, false}}, {"90", []any{}},
		{"81a161c0", map[string]any{"a": nil}}, {"81c40161c0", map[string]any{"a": nil}}, {"80", map[string]any{}},
		{"82a16101c302", map[any]any{"a": int64(1), true: int64(2)}}, {"8201a16102a162", map[any]any{int64(1): "a", int64(2): "b"}},
		{"82a16101a16102", map[string]any{"a": int64(2)}}, // the last one counts
		{"d6ff00000001", time.Unix(1, 0).UTC()}, {"d4ff01", value.Ext{Type: -1, Data: []byte{1}}}, {"c70003", value.Ext{Type: 3, Data: []byte{}}},
		{"d7fffffffffc00000001", value.Ext{Type: -1, Data: unhex(t, "fffffffc00000001")}}, // 1,073,741,823 ns
	} {
		var got any = "what was there"
		rest, err := value.Decode(unhex(t, row.hex), &got, value.Limits{})
		if d := cmp.Diff(row.want, got); err != nil || d != "" || len(rest) != 0 {
			t.Errorf("%s: %v, %d left (-want +got):\n%s", row.hex, err, len(rest), d)
		}
	}
	own := point{X: 1, N: 2, Z: 3, n: 4}
	if _, err := value.Decode(unhex(t, "82 a178 05 a14e 06"), &own, value.Limits{}); err != nil || own != (point{X: 5, N: 2, Z: 3, n: 4}) {
		t.Errorf("got %+v, %v", own, err)
	}
	var kept struct {
		M map[string]int
		S []int
		P *int
	}
	one, array := 1, [4]int{9, 9, 9, 9}
	kept.M, kept.S, kept.P = map[string]int{"old": 1}, array[:1], &one
	if _, err := value.Decode(unhex(t, "83 a14d 81a16e02 a153 920304 a150 05"), &kept, value.Limits{}); err != nil {
		t.Fatal(err)
	}
	if len(kept.M) != 2 || array != [4]int{3, 4, 9, 9} || one != 5 {
		t.Errorf("got %v, %v, %v", kept.M, array, one)
	}
}

type (
	onlyMarshal   struct{ A int }
	onlyUnmarshal struct{ A int }
	liar          string // writes what it is
	embedsItself  struct{ *EmbedsItself }
	EmbedsItself  struct{ *embedsTwo }
	embedsTwo     struct{ A int }
	itself        *itself
	Loop          struct {
		*Loop
		A int
	}
	two struct {
		A int `msg:"x"`
		B int `msg:"x"`
	}
	failing struct{}
)

var errFailing = errors.New("it fails")

func (onlyMarshal) MarshalMsg(b []byte) ([]byte, error)      { return append(b, 1), nil }
func (*onlyUnmarshal) UnmarshalMsg(b []byte) ([]byte, error) { return b[1:], nil }
func (l liar) MarshalMsg(b []byte) ([]byte, error) {
	if l == "less" {
		return b[:0], nil
	}
	return append(b, l...), nil
}
func (failing) MarshalMsg(b []byte) ([]byte, error)    { return append(b, 1, 2, 3), errFailing }
func (*failing) UnmarshalMsg(b []byte) ([]byte, error) { return b, errFailing }

// TestRefused: each is an error that names type and path, and nothing is appended.
func TestRefused(t *testing.T) {
	type inner struct{ C chan int }
	cyclic := map[string]any{}
	cyclic["me"] = []any{cyclic}
	ring := &tree{}
	ring.Left = ring
	wide := []any{}
	for range 40 {
		wide = []any{wide, wide}
	}
	var selfish itself
	selfish = &selfish
	for _, row := range []struct {
		v    any
		want string
	}{
		{func() {}, "value: func(): a func has no msgpack"},
		{make(chan int), "value: chan int: a chan has no msgpack"},
		{complex64(1), "value: complex64: a complex64 has no msgpack"},
		{uintptr(1), "value: uintptr: a uintptr has no msgpack"},
		{unsafe.Pointer(nil), "value: unsafe.Pointer: a unsafe.Pointer has no msgpack"},
		{[]inner{}, "value: chan int at [].C: a chan has no msgpack"},
		{map[string]*inner{}, "value: chan int at [].C: a chan has no msgpack"},
		{[]any{1, map[string]any{"k": inner{}}}, `value: chan int at [1]["k"].C: a chan has no msgpack`},
		{struct{ A any }{[]any{func() {}}}, "value: func() at A[0]: a func has no msgpack"},
		{map[[2]int]int{}, "value: [2]int at [key]: a map's key must be a scalar"},
		{map[point]int{}, "value: value_test.point at [key]: a map's key must be a scalar"},
		{map[*int]int{}, "value: *int at [key]: a map's key must be a scalar"},
		{map[any]int{point{}: 1}, "value: value_test.point at [key]: a map's key must be a scalar"},
		{map[any]int{nil: 1}, "value: nil at [key]: a map's key must be a scalar"},
		{struct{ n int }{1}, "value: struct { n int }: a struct without exported fields has no msgpack"},
		{two{}, `value: value_test.two: two fields are called "x"`},
		{struct {
			A int `msg:"a,limit=3"`
		}{}, `at A: option "limit=3" of its tag is not known`},
		{struct {
			_ struct{} `msg:",tuple"`
			A int      `msg:",omitempty"`
		}{}, "at A: no field of a tuple can be left out"},
		{struct{ *embedsTwo }{}, "at embedsTwo: an embedded pointer to a struct that is not exported cannot be set"},
		{embedsItself{}, "cannot be set"},
		{Loop{}, "value_test.Loop: a struct that is embedded in itself"},
		{selfish, "pointers one behind the other"},
		{cyclic, "value: over the limit: more than 64 containers inside each other; is the value cyclic?"},
		{ring, "value: over the limit: more than 64 containers inside each other; is the value cyclic?"},
		{wide, "value: over the limit: more than 1048576 elements"},
		{strings.Repeat("x", 16<<20+1), "value: over the limit: more than 16777216 bytes"},
		{make([]bool, 1<<20), "value: over the limit: more than 1048576 elements"},
		{onlyUnmarshal{}, "it has UnmarshalMsg and no MarshalMsg"},
		{liar(""), "its MarshalMsg does not write one whole value"},
		{[]any{liar("\x01\x01")}, "value: value_test.liar at [0]: its MarshalMsg does not write one whole value"},
		{liar("\xa5a"), "its MarshalMsg does not write one whole value"},
		{liar("\xc1"), "its MarshalMsg does not write one whole value"},
		{liar("less"), "its MarshalMsg returned less than it was given"},
		{[]any{failing{}}, "value: value_test.failing at [0]: it fails"},
		{struct{ T time.Time }{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "old only: year outside of range"},
		{liar("\xc4\x00"), "old only: its MarshalMsg writes str8, bin or ext"},
		{big.NewFloat(1), ""},
	} {
		want, old := strings.CutPrefix(row.want, "old only: ")
		for range 2 { // from the cache, too
			dst := []byte("abc")
			got, err := value.Options{Old: old}.Append(dst, row.v)
			if want == "" {
				if err != nil {
					t.Errorf("%T: got %v", row.v, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), want) || string(got) != "abc" {
				t.Errorf("%T: got %q, %v; want %q", row.v, got, err, want)
			}
		}
	}
	if _, err := value.Append(nil, failing{}); !errors.Is(err, errFailing) {
		t.Errorf("a method's own error: got %v", err)
	}
	if _, err := value.Append(nil, cyclic); !errors.Is(err, value.ErrTooLarge) {
		t.Errorf("a cyclic value: got %v", err)
	}
}

func TestRefusedInput(t *testing.T) {
	for _, row := range []struct {
		hex  string
		v    any
		want string
	}{
		{"c1", new(any), "value: byte 0xc1 begins no value"},
		{"91c1", new([]any), "value: byte 0xc1 begins no value"},
		{"00", nil, "value: nil: Decode needs a pointer that is not nil"},
		{"00", 1, "value: int: Decode needs a pointer that is not nil"},
		{"00", (*int)(nil), "value: *int: Decode needs a pointer that is not nil"},
		{"00", new(func()), "value: func(): a func has no msgpack"},
		{"cc80", new(int8), "value: int8: 128 does not fit"},
		{"ff", new(uint), "value: uint: -1 does not fit"},
		{"cfffffffffffffffff", new(int64), "value: int64: 18446744073709551615 does not fit"},
		{"d3ffffffffffffff00", new(int8), "value: int8: -256 does not fit"},
		{"cb7fefffffffffffff", new(float32), "does not fit"},
		{"a161", new(int), "value: int: text does not fit"},
		{"cb3ff8000000000000", new(int), "value: int: a float does not fit"},
		{"01", new(string), "value: string: an integer does not fit"},
		{"01", new([]byte), "value: []uint8: an integer does not fit"},
		{"a161", new(bool), "value: bool: text does not fit"},
		{"80", new([]int), "value: []int: a map does not fit"},
		{"90", new(point), "value: value_test.point: an array does not fit"},
		{"80", new(pair), "value: value_test.pair: a map does not fit"},
		{"8101c0", new(point), "value: value_test.point: an integer as the name of a field"},
		{"81a178a161", new(point), "value: int at x: text does not fit"},
		{"9280 81a178a161", new([]point), "value: int at [1].x: text does not fit"},
		{"81a16b81a178a161", new(map[string]point), `value: int at ["k"].x: text does not fit`},
		{"9101", new([2]int), "value: [2]int: 1 elements do not fit"},
		{"c40101", new([2]byte), "value: [2]uint8: 1 bytes do not fit"},
		{"8190c0", new(any), "an array as a map's key"},
		{"81c0c0", new(any), "nil as a map's key"},
		{"81c0c0", new(map[string]int), "value: string at [key]: nil as a map's key"},
		{"81c7000101", new(any), "an extension as a map's key"},
		{"a161", new(time.Time), `value: time.Time: "a" is no time`},
		{"d40100", new(time.Time), "value: time.Time: an extension does not fit"},
		{"a161", new(netip.Addr), "value: netip.Addr: "},
		{"01", new(error), "value: error: only an empty interface can be read into"},
		{"01", new(onlyMarshal), "it has MarshalMsg and no UnmarshalMsg"},
		{"9101", new([]failing), "value: value_test.failing at [0]: it fails"},
		{"920102", new(onlyUnmarshal), "its UnmarshalMsg leaves 2 bytes of the value unread"},
		{strings.Repeat("91", 64) + "90", new(any), "more than 64 containers inside each other"},
	} {
		p := unhex(t, row.hex)
		rest, err := value.Decode(p, row.v, value.Limits{})
		if err == nil || !strings.Contains(err.Error(), row.want) || len(rest) != len(p) {
			t.Errorf("%s into %T: got %v; want %q", row.hex, row.v, err, row.want)
		}
	}
	for _, l := range []value.Limits{{Depth: 1}, {Elements: 3}, {Bytes: 4}} {
		var v any
		if _, err := value.Decode(unhex(t, "929201a161c0"), &v, l); !errors.Is(err, value.ErrTooLarge) {
			t.Errorf("%+v: got %v", l, err)
		}
		if got, err := (value.Options{Limits: l}).Append(nil, []any{[]any{1, "a"}, nil}); !errors.Is(err, value.ErrTooLarge) || len(got) > 0 {
			t.Errorf("%+v: got %x, %v", l, got, err)
		}
	}
}
