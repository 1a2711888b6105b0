package heddle

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

func TestValue(t *testing.T) {
	for _, s := range []string{
		"00", "7f", "ff", "e0", "c0", "c2", "c3", "a0", "a3616263", "cc80", "cd0100", "ce00010000", "cf0000000100000000",
		"d080", "d1ff00", "d2ffff0000", "d3ffffffff00000000", "ca00000000", "cb0000000000000000",
		"d90161", "da000161", "db0000000161", "c40161", "c5000161", "c60000000161",
		"c7010561", "c800010561", "c9000000010561", "d40561", "d5056161", "d60561616161", "d70561616161616161" + "61",
		"d805" + strings.Repeat("61", 16),
		"90", "9101", "91a161", "91da000161", "91c5000161", "91db0000000161", "91c40161", "dc000101", "dd0000000101", "dc0000",
		"80", "81a16101", "de0001a16101", "df00000001a16101", "82a16190a16280",
		"9492c201a1619180c0", "91" + strings.Repeat("91", 14) + "91", strings.Repeat("91", 16) + "90",
	} {
		want := unhex(t, s)
		if s == "91"+strings.Repeat("91", 14)+"91" {
			want = append(want, 0x05)
		}
		p := append(bytes.Clone(want), 0xc1)
		v := Value("old")
		rest, err := v.UnmarshalMsg(p)
		if err != nil || !bytes.Equal(v, want) || len(rest) != 1 || len(v) != cap(v) {
			t.Errorf("%s: got %x, %x, %v", s, v, rest, err)
		}
		for cut := range want {
			if _, err := v.UnmarshalMsg(want[:cut:cut]); err != msgp.ErrShortBytes {
				t.Errorf("%s cut at %d: %v", s, cut, err)
			}
		}
		again, err := v.MarshalMsg([]byte("before"))
		if err != nil || !bytes.Equal(again, append([]byte("before"), want...)) || v.Msgsize() != len(want) {
			t.Errorf("%s: written as %x", s, again)
		}
	}
	if p, _ := Value(nil).MarshalMsg(nil); !bytes.Equal(p, []byte{0xc0}) {
		t.Errorf("an empty value is written as %x", p)
	}
}

func TestValueRefuses(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"nothing", "", msgp.ErrShortBytes},
		{"never used", "c1", ErrLead},
		{"never used inside", "9201c1", ErrLead},
		{"seventeen deep", strings.Repeat("91", 17) + "00", ErrDepth},
		{"a million deep", strings.Repeat("91", 1<<20), ErrDepth},
		{"seventeen maps deep", strings.Repeat("8100", 17) + "00", ErrDepth},
		{"a million elements", "dd00100000", ErrElements},
		{"4 G elements", "ddffffffff", ErrElements},
		{"half a million entries", "df00080000", ErrElements},
		{"elements in parts", "92 dd0007ffff" + strings.Repeat("00", 0x7ffff) + "dd0007ffff", ErrElements},
		{"as many as may be", "dd000fffff", msgp.ErrShortBytes},
		{"4 GiB", "dbffffffff", msgp.ErrShortBytes},
	} {
		var v Value
		p := unhex(t, c.hex)
		if rest, err := v.UnmarshalMsg(p); err != c.want || v != nil || len(rest) != len(p) {
			t.Errorf("%s: got %v and %d bytes, want %v", c.name, err, len(v), c.want)
		}
		if n := testing.AllocsPerRun(5, func() { v.UnmarshalMsg(p) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// FuzzValue compares Value with msgp.Skip, which has no limits worth the name.
func FuzzValue(f *testing.F) {
	f.Add([]byte{0x92, 1, 0xc0})
	f.Add([]byte{0x91, 0xda, 0, 1, 'x'})
	f.Add([]byte{0x81, 0xa1, 'x', 0xd6, 1, 2, 3, 4, 5})
	f.Add([]byte{0xdd, 0, 0, 0, 1, 0xc7, 1, 2, 3})
	f.Fuzz(func(t *testing.T, p []byte) {
		var v Value
		rest, err := v.UnmarshalMsg(p)
		after, skipErr := msgp.Skip(p)
		switch {
		case err == nil && (skipErr != nil || len(rest) != len(after)):
			t.Fatalf("%x: %d bytes left, msgp %d and %v", p, len(rest), len(after), skipErr)
		case err == msgp.ErrShortBytes && skipErr != msgp.ErrShortBytes:
			t.Fatalf("%x: short, msgp says %v", p, skipErr)
		case err == ErrLead && skipErr == nil:
			t.Fatalf("%x: %v, msgp skips it", p, err)
		}
	})
}
