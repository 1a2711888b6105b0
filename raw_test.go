package heddle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRawReads(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      string
		none      bool // nil
	}{
		{"fixraw", "a3 616263", "abc", false},
		{"empty", "a0", "", false},
		{"fixraw of 31", "bf" + strings.Repeat("61", 31), strings.Repeat("a", 31), false},
		{"raw16", "da0003 616263", "abc", false},
		{"raw32", "db00000003 616263", "abc", false},
		{"str8", "d903 616263", "abc", false},
		{"bin8", "c403 616263", "abc", false},
		{"bin16", "c50003 616263", "abc", false},
		{"bin32", "c600000003 616263", "abc", false},
		{"nil", "c0", "", true},
	} {
		p := append(unhex(t, c.hex), 0x05)
		r := Raw("old")
		rest, err := r.UnmarshalMsg(p)
		if err != nil || string(r) != c.want || (r == nil) != c.none || !bytes.Equal(rest, []byte{5}) {
			t.Errorf("%s: got %q, %x, %v from %x", c.name, r, rest, err, p)
		}
		if len(r) != cap(r) {
			t.Errorf("%s: an append reaches the next value", c.name)
		}
		for cut := range len(p) - 1 {
			if _, err := r.UnmarshalMsg(p[:cut]); err != msgp.ErrShortBytes {
				t.Errorf("%s cut at %d: %v", c.name, cut, err)
			}
		}
	}
}

func TestRawRefuses(t *testing.T) {
	for _, lead := range []byte{0x00, 0x7f, 0x80, 0x90, 0xc1, 0xc2, 0xc3, 0xc7, 0xca, 0xcc, 0xd0, 0xd4, 0xdc, 0xde, 0xff} {
		var r Raw
		var wrong msgp.TypeError
		if _, err := r.UnmarshalMsg(append([]byte{lead}, make([]byte, 40)...)); !errors.As(err, &wrong) {
			t.Errorf("%#02x: got %q, %v", lead, r, err)
		}
	}
}

func TestRawWrites(t *testing.T) {
	for n, head := range map[int]string{0: "a0", 31: "bf", 32: "da0020", 255: "da00ff", 65535: "daffff", 65536: "db00010000"} {
		r := Raw(strings.Repeat("x", n))
		p, err := r.MarshalMsg([]byte("before"))
		if want := append(append([]byte("before"), unhex(t, head)...), r...); err != nil || !bytes.Equal(p, want) {
			t.Errorf("%d bytes: head %x, want %s", n, p[6:len(p)-n], head)
		}
		if len(p)-6 > r.Msgsize() {
			t.Errorf("%d bytes: %d written, Msgsize says %d", n, len(p)-6, r.Msgsize())
		}
	}
}

func TestRawRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Raw(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "raw"))
		p, _ := want.MarshalMsg(nil)
		var got Raw
		if rest, err := got.UnmarshalMsg(p); err != nil || len(rest) > 0 || !bytes.Equal(got, want) {
			t.Fatalf("%x: got %x, %x, %v", p, got, rest, err)
		}
	})
}
