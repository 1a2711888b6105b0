package servicetest

import (
	"bytes"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// FuzzParse holds parse against msgp.Skip, and what it reads against what
// appendValue writes.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"\x93\x01\x00\x91\xa1a", "\x81\x01\xcb\x40\x00\x00\x00\x00\x00\x00\x00", "\xc7\x01\x05x", "\xd4\x01x", "\xd9\x01x", "\xdf\x00\x00\x00\x01\xc0\xc2", "\xd3\xff\xff\xff\xff\xff\xff\xff\xff", "\xc1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := parse(p, 0)
		if err == errDepth {
			return
		}
		rest, skipErr := msgp.Skip(p)
		if (err == nil) != (skipErr == nil) {
			t.Fatalf("%x: parse says %v, msgp %v", p, err, skipErr)
		}
		if err != nil {
			return
		}
		if n.size != len(p)-len(rest) {
			t.Fatalf("%x: %d bytes, msgp %d", p, n.size, len(p)-len(rest))
		}
		v := n.value()
		if n.young() != 0 || bytes.ContainsAny(p, "\xca\xcb") {
			return // ext, which is read as bytes, and NaN
		}
		again, err := Unpack(Pack(v))
		if err != nil || !bytes.Equal(Pack(again), Pack(v)) {
			t.Fatalf("%x: %v becomes %v (%v)", p, v, again, err)
		}
	})
}
