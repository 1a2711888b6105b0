package value_test

import (
	"bytes"
	"math"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/tinylib/msgp/msgp"
	"pgregory.net/rapid"
)

// everything has a field of each kind.
type everything struct {
	B    bool
	I    int
	I8   int8
	I64  int64 `msg:"a name that is longer than thirty-one bytes"`
	U16  uint16
	U64  uint64
	F32  float32
	F64  float64 `msg:",omitempty"`
	S    string
	P    []byte
	T    time.Time
	L    []pairs
	A    [2]string
	M    map[string]*everything
	N    map[int16][]bool
	Any  any
	Next *everything `msg:"next,omitempty"`
}

type pairs struct {
	_ struct{} `msg:",tuple"`
	K string
	V any
}

func drawNatural(t *rapid.T, depth int) any {
	most := 8
	if depth == 0 {
		most = 6
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.OneOf(rapid.Int64Range(-300, 300), rapid.Int64()).Draw(t, "int")
	case 3:
		return rapid.Uint64Min(1<<63).Draw(t, "uint")
	case 4:
		return rapid.Float64().Draw(t, "float")
	case 5:
		return rapid.String().Draw(t, "string")
	case 6:
		return drawTime(t)
	case 7:
		s := make([]any, rapid.IntRange(0, 20).Draw(t, "members"))
		for i := range s {
			s[i] = drawNatural(t, depth-1)
		}
		return s
	}
	m := make(map[string]any)
	for range rapid.IntRange(0, 20).Draw(t, "entries") {
		m[rapid.String().Draw(t, "key")] = drawNatural(t, depth-1)
	}
	return m
}

func drawTime(t *rapid.T) time.Time {
	sec := rapid.OneOf(rapid.Int64Range(-62135596800, 253402300799), rapid.Int64Range(0, 1<<33)).Draw(t, "seconds") // years 1 to 9999
	return time.Unix(sec, rapid.SampledFrom([]int64{0, 1, 999_999_999}).Draw(t, "nanoseconds")).UTC()
}

func drawEverything(t *rapid.T, depth int) *everything {
	v := &everything{
		B: rapid.Bool().Draw(t, "B"), I: rapid.Int().Draw(t, "I"), I8: rapid.Int8().Draw(t, "I8"), I64: rapid.Int64().Draw(t, "I64"),
		U16: rapid.Uint16().Draw(t, "U16"), U64: rapid.Uint64().Draw(t, "U64"), F32: rapid.Float32().Draw(t, "F32"), F64: rapid.Float64().Draw(t, "F64"),
		S: rapid.StringN(0, 300, -1).Draw(t, "S"), P: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "P"), T: drawTime(t),
		A: [2]string{rapid.String().Draw(t, "A0"), rapid.String().Draw(t, "A1")}, Any: drawNatural(t, 2),
		N: rapid.MapOfN(rapid.Int16(), rapid.SliceOfN(rapid.Bool(), 0, 3), 0, 3).Draw(t, "N"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "L") {
		v.L = append(v.L, pairs{K: rapid.String().Draw(t, "K"), V: drawNatural(t, 1)})
	}
	if depth > 0 && rapid.Bool().Draw(t, "deeper") {
		v.Next = drawEverything(t, depth-1)
		v.M = map[string]*everything{"": nil, "m": drawEverything(t, depth-1)}
	}
	return v
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEverything(t, 2)
		o := value.Options{Old: rapid.Bool().Draw(t, "old")}
		if o.Old {
			plain(reflect.ValueOf(want))
		}
		p, err := o.Append(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := msgp.Skip(p); err != nil || len(rest) > 0 {
			t.Fatalf("%x: msgp: %v, %d left", p, err, len(rest))
		}
		var got *everything
		rest, err := value.Decode(p, &got, value.Limits{})
		if d := cmp.Diff(want, got, cmp.AllowUnexported(pairs{})); err != nil || len(rest) > 0 || d != "" {
			t.Fatalf("%x: %v (-want +got):\n%s", p, err, d)
		}
		cut := rapid.IntRange(0, len(p)-1).Draw(t, "cut")
		if _, err := value.Decode(p[:cut], &got, value.Limits{}); err != msgp.ErrShortBytes {
			t.Fatalf("%x cut at %d: %v", p, cut, err)
		}
	})
}

// plain turns the times that interfaces hold into nothing: in msgpack of 2012 they come back as text.
func plain(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if _, ok := v.Interface().(time.Time); ok && v.Kind() == reflect.Interface {
			v.SetZero()
		} else if !v.IsNil() {
			plain(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			plain(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if m := it.Value(); m.Kind() == reflect.Interface && !m.IsNil() {
				if _, ok := m.Interface().(time.Time); ok {
					v.SetMapIndex(it.Key(), reflect.Zero(v.Type().Elem()))
					continue
				}
			}
			plain(it.Value())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				plain(f)
			}
		}
	}
}

// FuzzDecode: what is whole for us is whole for msgp, and means the same; and what was read is written and read
// again as the same.
func FuzzDecode(f *testing.F) {
	for _, row := range rows {
		if p := unhex(f, row.hex); len(p) > 0 {
			f.Add(p)
		}
	}
	f.Add(unhex(f, "82a16101c302"))
	f.Add(unhex(f, "dd0000ffff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var got any
		rest, err := value.Decode(p, &got, value.Limits{})
		after, skipErr := msgp.Skip(p)
		if err == nil && (skipErr != nil || len(after) != len(rest)) || (err == msgp.ErrShortBytes) && skipErr == nil {
			t.Fatalf("%x: %v with %d left, msgp %v with %d", p, err, len(rest), skipErr, len(after))
		}
		if err != nil {
			return
		}
		if theirs, _, err := msgp.ReadIntfBytes(p); err == nil {
			if a, b := normal(theirs, true), normal(got, true); !reflect.DeepEqual(a, b) { // cmp takes twice as long for each level
				t.Fatalf("%x: msgp %#v, got %#v", p, a, b)
			}
		}
		for _, old := range []bool{false, true} {
			q, err := value.Options{Old: old}.Append(nil, got)
			if err != nil {
				if old {
					continue // extensions, and times beyond year 9999
				}
				t.Fatalf("%x: %v", p, err)
			}
			var again any
			if _, err := value.Decode(q, &again, value.Limits{}); err != nil {
				t.Fatalf("%x becomes %x: %v", p, q, err)
			}
			if a, b := normal(got, false), normal(again, false); !old && !reflect.DeepEqual(a, b) {
				t.Fatalf("%x becomes %x: got %#v, want %#v", p, q, b, a)
			}
		}
		var typed everything
		if _, err := value.Decode(p, &typed, value.Limits{}); err == nil {
			if q, err := value.Append(nil, &typed); err != nil || len(q) == 0 {
				t.Fatalf("%x: %v", p, err)
			}
		}
		var tuples []pairs
		_, _ = value.Decode(p, &tuples, value.Limits{})
	})
}

// normal makes natural values comparable: NaN is equal to itself. loose is for msgp's beside ours: what differs on
// purpose is equal. It knows one form of times, ours and that of the specification are others.
func normal(v any, loose bool) any {
	switch v := v.(type) {
	case float32:
		return normal(float64(v), loose)
	case float64:
		if math.IsNaN(v) {
			return "NaN"
		}
		return v
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case time.Time:
		if loose {
			return "time"
		}
	case []byte:
		return append([]byte{}, v...)
	case []any:
		s := make([]any, len(v))
		for i := range v {
			s[i] = normal(v[i], loose)
		}
		return s
	case map[string]any:
		m := make(map[any]any)
		for k, x := range v {
			m[k] = normal(x, loose)
		}
		return m
	case map[any]any:
		m := make(map[any]any)
		for k, x := range v {
			m[normal(k, loose)] = normal(x, loose)
		}
		return m
	case complex64, complex128: // msgp's own extensions
		return "complex"
	case *msgp.RawExtension:
		return normal(value.Ext{Type: v.Type, Data: append([]byte{}, v.Data...)}, loose)
	case value.Ext:
		switch {
		case !loose:
		case v.Type == -1 || v.Type == msgp.TimeExtension:
			return "time"
		case v.Type == msgp.Complex64Extension || v.Type == msgp.Complex128Extension:
			return "complex"
		}
	}
	return v
}

// TestMemory: promises that the input does not keep, and the input that makes the most of each byte, cost no
// more than Limits say.
func TestMemory(t *testing.T) {
	type big struct{ A [1000]int }
	nils := append([]byte{0xdd, 0, 0x0f, 0, 0}, bytes.Repeat([]byte{0xc0}, 0x0f0000)...)
	nested := append([]byte{0xdd, 0, 0x07, 0, 0}, bytes.Repeat([]byte{0x90}, 0x070000)...)
	maps := append([]byte{0xdd, 0, 0x07, 0, 0}, bytes.Repeat([]byte{0x80}, 0x070000)...)
	for _, row := range []struct {
		name string
		p    []byte
		v    any
		most uint64 // bytes
	}{
		{"array32", unhex(t, "ddffffffff"), new(any), 1 << 16},
		{"map32", unhex(t, "dfffffffff"), new(any), 1 << 16},
		{"str32", unhex(t, "dbffffffff"), new(any), 1 << 16},
		{"ext32", unhex(t, "c9ffffffff"), new(any), 1 << 16},
		{"array32 inside", unhex(t, "92c0ddffffffff"), new([]string), 1 << 16},
		{"nils", nils, new(any), 64 * uint64(len(nils))},
		{"empty arrays", nested, new(any), 70 * uint64(len(nested))},
		{"empty maps", maps, new(any), 70 * uint64(len(maps))},
		{"large members", nils, new([]big), 70 * uint64(len(nils))},
		{"large members behind pointers", maps, new([]*big), 70 * uint64(len(maps))},
		{"large members of a map", append([]byte{0xde, 0x7f, 0xff}, bytes.Repeat([]byte{0x01, 0xc0}, 0x7fff)...), new(map[int]big), 3 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := value.Decode(row.p, row.v, value.Limits{})
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > row.most {
			t.Errorf("%s: %d bytes of input became %d bytes, %v; want at most %d", row.name, len(row.p), got, err, row.most)
		}
	}
}
