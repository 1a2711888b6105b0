package codec

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/heddle-go/heddle"
)

func TestNextRefuses(t *testing.T) {
	deep := func(n int) string { return "93 02 00" + strings.Repeat("91", n) + "01" }
	small := Limits{Frame: 64, Depth: 3, Elements: 12}
	for _, c := range []struct {
		name, hex string
		dialects  []heddle.Dialect
		limits    Limits
		off       int64
		what      string // empty: accepted
		large     bool
	}{
		{"three elements", "93 02 00 90", dialects, Limits{}, 0, "", false},
		{"uint64 and int64 ids", "93 cf0000000000000002 d30000000000000000 90", dialects, Limits{}, 0, "", false},
		{"int8 id", "93 d002 d100ff 90", dialects, Limits{}, 0, "", false},
		{"array16 head", "dc0003 02 00 90", dialects, Limits{}, 0, "", false},
		{"array32 head", "dd00000003 02 00 90", dialects, Limits{}, 0, "", false},
		{"array16 args", "93 02 00 dc0001 01", dialects, Limits{}, 0, "", false},
		{"empty headers", "94 02 00 90 90", dialects[1:], Limits{}, 0, "", false},
		{"fifth element", "95 02 00 90 90 c0", dialects[1:], Limits{}, 0, "", false},
		{"seventeen elements", "dc0011 02 00 90 90" + strings.Repeat("c0", 13), dialects[1:], Limits{}, 0, "", false},
		{"not an array", "81 02 00", dialects, Limits{}, 0, "frame is no array but begins with 0x81", false},
		{"http", "474554202f", dialects, Limits{}, 0, "frame is no array but begins with 0x47", false},
		{"json", "7b", dialects, Limits{}, 0, "frame is no array but begins with 0x7b", false},
		{"never used byte", "c1", dialects, Limits{}, 0, "frame is no array but begins with 0xc1", false},
		{"never used byte in args", "93 02 00 91 c1", dialects, Limits{}, 4, "byte 0xc1 begins no value", false},
		{"empty array", "90", dialects, Limits{}, 0, "frame of 0 elements", false},
		{"two elements", "92 01 00", dialects, Limits{}, 0, "frame of 2 elements", false},
		{"v0 of four", "94 02 00 90 90", dialects[:1], Limits{}, 0, "frame of 4 elements", false},
		{"negative first", "93 ff 00 90", dialects, Limits{}, 1, "element 0 of the frame is negative", false},
		{"negative second", "93 00 d1fff0 90", dialects, Limits{}, 2, "element 1 of the frame is negative", false},
		{"float id", "93 00 ca00000000 90", dialects, Limits{}, 2, "element 1 of the frame is no integer but begins with 0xca", false},
		{"string type", "93 a161 00 90", dialects, Limits{}, 1, "element 0 of the frame is no integer but begins with 0xa1", false},
		{"map args", "93 02 00 80", dialects, Limits{}, 3, "arguments are no array but begin with 0x80", false},
		{"nil args", "93 02 00 c0", dialects, Limits{}, 3, "arguments are no array but begin with 0xc0", false},
		{"headers no array", "94 02 00 90 05", dialects[1:], Limits{}, 4, "headers are no array but begin with 0x05", false},
		{"headers nil", "94 02 00 90 c0", dialects[1:], Limits{}, 4, "headers are no array but begin with 0xc0", false},
		{"headers no array, five elements", "95 02 00 91a161 c0 00", dialects[1:], Limits{}, 6, "headers are no array but begin with 0xc0", false},

		{"sixteen deep", deep(16), dialects, Limits{}, 0, "", false},
		{"seventeen deep", deep(17), dialects, Limits{}, 3 + 16, "nested too deep", true},
		{"hundred thousand deep", deep(100000), dialects, Limits{}, 3 + 16, "nested too deep", true},
		{"seventeen deep in a fifth element", "95 02 00 90 90" + strings.Repeat("91", 17) + "01", dialects[1:], Limits{}, 5 + 16, "nested too deep", true},
		{"three deep of three", deep(3), dialects, small, 0, "", false},
		{"four deep of three", deep(4), dialects, small, 3 + 3, "nested too deep", true},
		{"twelve objects of twelve", "93 02 00 98 01 02 03 04 05 06 07 08", dialects, small, 0, "", false},
		{"thirteen objects of twelve", "93 02 00 99", dialects, small, 3, "too many elements", true},
		{"array32 promises 4 G", "93 02 00 ddffffffff", dialects, Limits{}, 3, "too many elements", true},
		{"map32 promises 4 G", "93 02 00 91 dfffffffff", dialects, Limits{}, 4, "too many elements", true},
		{"frame of 4 G elements", "ddffffffff", dialects[1:], Limits{}, 0, "too many elements", true},
		{"raw32 promises 4 GiB", "93 02 00 91 dbffffffff", dialects, Limits{}, 4, "frame too long", true},
		{"bin32 promises 16 MiB", "93 02 00 91 c601000000", dialects, Limits{}, 4, "frame too long", true},
		{"ext32 promises 4 GiB", "93 02 00 91 c9ffffffff01", dialects, Limits{}, 4, "frame too long", true},
		{"64 bytes of 64", "93 02 00 91 da0039" + strings.Repeat("00", 57), dialects, Limits{Frame: 64}, 0, "", false},
		{"65 bytes of 64", "93 02 00 91 da003a", dialects, Limits{Frame: 64}, 4, "frame too long", true},
		{"65 bytes of 64, all there", "93 02 00 91 da003a" + strings.Repeat("00", 58), dialects, Limits{Frame: 64}, 4, "frame too long", true},
		{"room for promised objects", "93 02 00 93 da0038", dialects, Limits{Frame: 64}, 4, "frame too long", true},
	} {
		for _, d := range c.dialects {
			wire := unhex(t, c.hex)
			before := AppendHeartbeat(nil, d)
			dec := NewDecoder(d, c.limits)
			if _, n, err := dec.Next(before); n != len(before) || err != nil {
				t.Fatal(n, err)
			}
			f, n, err := dec.Next(wire)
			if c.what == "" {
				if err != nil || n != len(wire) {
					t.Errorf("%v, %s: got %d, %v, want all of %x", d, c.name, n, err, wire)
				} else if d == heddle.V1 && f.Session != 2 {
					t.Errorf("%v, %s: channel %d", d, c.name, f.Session)
				}
				continue
			}
			var syntax *SyntaxError
			off := c.off + int64(len(before))
			switch {
			case c.large:
				if !errors.Is(err, ErrTooLarge) || err.Error() != tooLarge(off, c.what).Error() {
					t.Errorf("%v, %s: got %v, want %v", d, c.name, err, tooLarge(off, c.what))
				}
			case !errors.As(err, &syntax) || *syntax != SyntaxError{off, c.what}:
				t.Errorf("%v, %s: got %v, want %v", d, c.name, err, &SyntaxError{off, c.what})
			}
			if _, _, again := dec.Next(before); again != err {
				t.Errorf("%v, %s: then got %v, want the same error", d, c.name, again)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want heddle.Dialect
		err  string // "short", "wrong", or empty
	}{
		{"", 0, "short"},
		{"93", 0, "short"},
		{"93 00", heddle.V0, ""},
		{"93 00 00 91 da0024", heddle.V0, ""},
		{"93 01", heddle.V1, ""},
		{"94 01 00 91", heddle.V1, ""},
		{"93 01 00 90", heddle.V1, ""},
		{"93 02 00 91 a161", heddle.V1, ""},
		{"dc", 0, "short"},
		{"dc0003", 0, "short"},
		{"dc0003 00", heddle.V0, ""},
		{"dd00000004 cd", 0, "short"},
		{"dd00000004 cd0100", heddle.V1, ""},
		{"93 cf00000000", 0, "short"},
		{"93 cf0000000000000000", heddle.V0, ""},
		{"92", 0, "wrong"},
		{"90", 0, "wrong"},
		{"7b", 0, "wrong"},
		{"47455420", 0, "wrong"},
		{"c1", 0, "wrong"},
		{"93 ff", 0, "wrong"},
		{"93 c0", 0, "wrong"},
		{"93 a0", 0, "wrong"},
	} {
		p := unhex(t, c.hex)
		got, err := Detect(p)
		var syntax *SyntaxError
		kind := ""
		if err == ErrShort {
			kind = "short"
		} else if errors.As(err, &syntax) {
			kind = "wrong"
		}
		if got != c.want || kind != c.err {
			t.Errorf("%x: got %v, %v; want %v, %q", p, got, err, c.want, c.err)
		}
	}
	for _, v := range loadVectors(t) {
		if v.typ != "handshake" {
			continue
		}
		if d, err := Detect(v.bytes); d != v.dialect || err != nil {
			t.Errorf("row %d: got %v, %v", v.n, d, err)
		}
	}
}

// TestLinearWork counts what is done for frames that arrive in many pieces: an object costs one visit, and a piece
// at most one more.
func TestLinearWork(t *testing.T) {
	many := AppendArray([]byte{0x93, 2, 0}, 1<<19)
	many = append(many, make([]byte, 1<<19)...)
	for _, c := range []struct {
		name    string
		frame   []byte
		objects int
		piece   int
	}{
		{"half a million elements", many, 1<<19 + 4, 1024},
		{"half a million elements by the byte", many, 1<<19 + 4, 1},
		{"15 MiB in one raw", AppendChunk(nil, heddle.V1, 2, make([]byte, 15<<20)), 5, 64 << 10},
	} {
		dec := NewDecoder(heddle.V1, Limits{})
		pieces, calls := 0, 0
		for end := 0; end < len(c.frame); {
			end = min(end+c.piece, len(c.frame))
			pieces++
			if end < len(c.frame) && dec.Need() > end {
				continue
			}
			calls++
			if _, n, err := dec.Next(c.frame[:end]); err != ErrShort && (err != nil || n != len(c.frame)) {
				t.Fatalf("%s: %d, %v", c.name, n, err)
			}
		}
		if got, most := dec.scanner.visits, c.objects+pieces; got > most || got == 0 {
			t.Errorf("%s: %d visits in %d pieces, want at most %d", c.name, got, pieces, most)
		}
		if c.objects < 10 && calls > 3 {
			t.Errorf("%s: %d calls although Need told the length", c.name, calls)
		}
	}
}

// TestNothingPromisedIsAllocated gives decoders heads that promise much more than comes.
func TestNothingPromisedIsAllocated(t *testing.T) {
	for _, hex := range []string{
		"93 02 00 ddffffffff", "93 02 00 91 dbffffffff", "93 02 00 91 db00ffffff", "93 02 00 dd000fff00", "94 02 00 90 dd000fff00", "ddffffffff",
		"93 02 00 df0007ff00",
	} {
		p := unhex(t, hex)
		if got := allocated(func() { NewDecoder(heddle.V1, Limits{}).Next(p) }); got > 4096 {
			t.Errorf("%s: %d bytes allocated", hex, got)
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	least := ^uint64(0)
	for range 3 { // other goroutines allocate too
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func TestFramesAreCutOff(t *testing.T) {
	p := append(AppendChunk(nil, heddle.V1, 2, []byte("one")), 0xff)
	f, n, err := NewDecoder(heddle.V1, Limits{}).Next(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Args) != cap(f.Args) || n != len(p)-1 {
		t.Errorf("args have %d bytes of room behind them", cap(f.Args)-len(f.Args))
	}
	var m heddle.Chunk
	if err := DecodeArgs(&m, f.Args, 1); err != nil || cap(m.Data) != 3 || !bytes.Equal(m.Data, []byte("one")) {
		t.Errorf("%q with room for %d: %v", m.Data, cap(m.Data), err)
	}
}
