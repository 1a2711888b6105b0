package heddle

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tinylib/msgp/msgp"
)

// A message is any type of messages.go.
type message interface {
	msgp.Marshaler
	msgp.Unmarshaler
	msgp.Sizer
	Reset()
}

// messages returns a fresh value of each type. Header has no Reset, being exact.
func messages() []message {
	return []message{
		&FrameV0{}, &FrameV1{}, &Handshake{}, &Offer{}, &Terminate{}, &Invoke{}, &Chunk{},
		&ErrorV0{}, &ErrorCode{}, &ErrorV1{}, &Empty{}, &Window{}, &Files{}, &Drain{}, &Resume{},
		&Reason{}, &Welcome{}, &WelcomeInfo{}, &RequestHead{}, &RequestExtra{}, &TLSInfo{},
		&ResponseHead{}, &Info{}, &Trailers{},
	}
}

// fill gives every field of v, which is settable, a value of its own; strings get size bytes.
func fill(v reflect.Value, size int, next *int64) {
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), size, next)
		}
	case reflect.Uint64:
		v.SetUint(uint64(*next) << 8)
	case reflect.Int64:
		v.SetInt(-*next << 8)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		switch v.Interface().(type) {
		case Raw:
			v.SetBytes(bytes.Repeat([]byte{byte(*next)}, size))
		case Value:
			v.SetBytes([]byte{0x91, byte(*next) & 0x7f})
		default:
			v.Set(reflect.MakeSlice(v.Type(), 3, 3))
			for i := range 3 {
				fill(v.Index(i), size, next)
			}
		}
	default:
		panic(v.Kind())
	}
}

// TestMessagesRoundTrip: every field of every type survives, only bytes of the 2012 specification are written, and
// everything but the whole is short.
func TestMessagesRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		for i, m := range messages() {
			var n int64
			fill(reflect.ValueOf(m).Elem(), size, &n)
			p, err := m.MarshalMsg([]byte("before"))
			if err != nil || !bytes.HasPrefix(p, []byte("before")) {
				t.Fatalf("%T: %v", m, err)
			}
			p = p[6:]
			if len(p) > m.Msgsize() {
				t.Errorf("%T: %d bytes, Msgsize says %d", m, len(p), m.Msgsize())
			}
			for off := 0; off < len(p); {
				if c := p[off]; c >= 0xc4 && c <= 0xc9 || c >= 0xd4 && c <= 0xd9 || c == 0xc1 {
					t.Fatalf("%T with strings of %d: byte %d is %#02x", m, size, off, c)
				}
				size, _, err := Head(p[off:])
				if err != nil {
					t.Fatal(err)
				}
				off += int(size)
			}
			got := messages()[i]
			if rest, err := got.UnmarshalMsg(p); err != nil || len(rest) > 0 {
				t.Fatalf("%T: %v with %d bytes left", m, err, len(rest))
			}
			if size > 40 { // cmp takes its time
				if again, _ := got.MarshalMsg(nil); !bytes.Equal(again, p) {
					t.Errorf("%T with strings of %d becomes another", m, size)
				}
				continue
			}
			if d := cmp.Diff(m, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("%T (-want +got):\n%s", m, d)
			}
			for cut := range p {
				if _, err := got.UnmarshalMsg(p[:cut]); err != msgp.ErrShortBytes {
					t.Errorf("%T cut at %d of %d: %v", m, cut, len(p), err)
				}
			}
		}
	}
}

// TestReset: after Reset a filled message is a fresh one, but for the values that absent fields have.
func TestReset(t *testing.T) {
	for i, m := range messages() {
		var n int64
		fill(reflect.ValueOf(m).Elem(), 5, &n)
		m.Reset()
		want := messages()[i]
		switch w := want.(type) {
		case *Invoke:
			w.Window = -1
		case *Resume:
			w.Index = -1
		case *RequestHead:
			w.Extra.ContentLength = -1
		case *RequestExtra:
			w.ContentLength = -1
		}
		if d := cmp.Diff(want, m, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%T (-want +got):\n%s", m, d)
		}
		if n := testing.AllocsPerRun(10, m.Reset); n != 0 {
			t.Errorf("%T: Reset allocates %v times", m, n)
		}
	}
}

// TestPromises: heads that promise many elements allocate little, whichever field they are in.
func TestPromises(t *testing.T) {
	request := "95 a0 a0 a0"
	for _, c := range []struct {
		name string
		m    message
		hex  string
	}{
		{"request headers", &RequestHead{}, request + "ddffffffff"},
		{"request headers below the limit", &RequestHead{}, request + "dc0400"},
		{"request transfer encoding", &RequestExtra{}, "99 a0 a0 a0 00 90 00 a0 a0 ddffffffff"},
		{"request trailer", &RequestExtra{}, "9a a0 a0 a0 00 90 00 a0 a0 90 ddffffffff"},
		{"response headers", &ResponseHead{}, "92 00 ddffffffff"},
		{"info headers", &Info{}, "92 00 ddffffffff"},
		{"trailers", &Trailers{}, "91 ddffffffff"},
		{"offered features", &Offer{}, "81 a86665617475726573 ddffffffff"},
		{"offer", &Offer{}, "dfffffffff"},
		{"welcome features", &WelcomeInfo{}, "81 a86665617475726573 ddffffffff"},
		{"welcome endpoints", &WelcomeInfo{}, "81 a9656e64706f696e7473 ddffffffff"},
		{"raw", &Chunk{}, "91 dbffffffff"},
		{"frame", &FrameV1{}, "93 01 00 ddffffffff"},
		{"arguments", &Chunk{}, "ddffffffff"},
	} {
		p := unhex(t, c.hex)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.m.UnmarshalMsg(p)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 64<<10 {
			t.Errorf("%s: %d bytes allocated, %v", c.name, got, err)
		}
	}
}

func TestDialectString(t *testing.T) {
	for d, want := range map[Dialect]string{V0: "v0", V1: "v1", 7: "unknown dialect"} {
		if d.String() != want {
			t.Errorf("got %q, want %q", d, want)
		}
	}
}
