package front

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// v2 makes a header of version 2.
func v2(command, family byte, rest string) string {
	b := append([]byte(proxyV2), 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(rest)))
	return string(b) + rest
}

func pad(s string, n int) string { return s + strings.Repeat("\x00", n-len(s)) }

const (
	tcp4Rest = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb"
	tlv      = "\x03\x00\x04\xde\xad\xbe\xef" // PP2_TYPE_CRC32C, wrong
)

var (
	tcp6Rest = "\x20\x01\x0d\xb8" + pad("", 11) + "\x01" + "\x20\x01\x0d\xb8" + pad("", 11) + "\x02" + "\x12\x67\x01\xbb"
	unixRest = pad("/run/a", 108) + pad("\x00abstract", 108)
)

var proxyHeaders = []struct {
	raw  string
	want string // source and destination, "-" for none, or "error"
}{
	{"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n", "192.0.2.1:4711 198.51.100.2:443"},
	{"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711 [2001:db8::2]:443"},
	{"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1 [::1]:2"},
	{"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0 255.255.255.255:65535"},
	{"PROXY UNKNOWN\r\n", "- -"},
	{"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "- -"},
	{"PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n", "- -"},
	{"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", "error"},
	{"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\n", "error"},
	{"PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n", "error"},
	{"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 \r\n", "error"},
	{"PROXY TCP4  192.0.2.1 198.51.100.2 4711 443\r\n", "error"},
	{"PROXY TCP4 192.0.2.1 198.51.100.2 4711 65536\r\n", "error"},
	{"PROXY TCP4 192.0.2.1 198.51.100.2 04711 443\r\n", "error"},
	{"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n", "error"},
	{"PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n", "error"},
	{"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "error"},
	{"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "error"},
	{"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "error"},
	{"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "error"},
	{"PROXY \r\n", "error"},
	{"PROXY \n", "error"},
	{"proxy UNKNOWN\r\n", "error"},
	{"GET / HTTP/1.1\r\n", "error"},
	{"\x16\x03\x01", "error"},

	{v2(1, 0x11, tcp4Rest), "192.0.2.1:4711 198.51.100.2:443"},
	{v2(1, 0x11, tcp4Rest+tlv), "192.0.2.1:4711 198.51.100.2:443"},
	{v2(1, 0x21, tcp6Rest), "[2001:db8::1]:4711 [2001:db8::2]:443"},
	{v2(1, 0x31, unixRest), "/run/a @abstract"},
	{v2(1, 0x00, ""), "- -"},
	{v2(1, 0x00, tlv), "- -"},
	{v2(1, 0x12, tcp4Rest), "- -"},
	{v2(0, 0x00, ""), "- -"},
	{v2(0, 0x11, tcp4Rest), "- -"},
	{v2(0, 0x99, tlv), "- -"},
	{v2(1, 0x11, tcp4Rest+strings.Repeat("x", 4096-16-12)), "192.0.2.1:4711 198.51.100.2:443"},
	{v2(1, 0x11, tcp4Rest+strings.Repeat("x", 4096-16-11)), "error"},
	{v2(1, 0x11, tcp4Rest[:11]), "error"},
	{v2(1, 0x21, tcp4Rest), "error"},
	{v2(1, 0x31, unixRest[:215]), "error"},
	{v2(1, 0x13, tcp4Rest), "error"},
	{v2(1, 0x41, tcp4Rest), "error"},
	{v2(2, 0x11, tcp4Rest), "error"},
	{proxyV2 + "\x11\x11\x00\x00", "error"},
}

func said(h proxyHeader) string {
	words := []string{"-", "-"}
	if h.source != nil {
		words[0] = h.source.String()
	}
	if h.dest != nil {
		words[1] = h.dest.String()
	}
	return strings.Join(words, " ")
}

func TestProxyHeader(t *testing.T) {
	for _, tt := range proxyHeaders {
		h, n, err := parseProxyHeader([]byte(tt.raw + "GET / "))
		got := said(h)
		switch {
		case errors.Is(err, errProxy):
			got = "error"
		case err != nil:
			got = err.Error()
		case n != len(tt.raw):
			t.Errorf("%q: %d bytes, want %d", tt.raw, n, len(tt.raw))
		}
		if got != tt.want {
			t.Errorf("%q: got %s, want %s (%v)", tt.raw, got, tt.want, err)
		}
		if tt.want == "error" {
			continue
		}
		for i := range tt.raw {
			if _, _, err := parseProxyHeader([]byte(tt.raw[:i])); err != errProxyShort {
				t.Errorf("the first %d bytes of %q: got %v, want %v", i, tt.raw, err, errProxyShort)
			}
		}
	}
}

// FuzzProxyHeader: what is read twice says the same, what is cut is short, what
// follows does not matter, and what was read can be written and read again.
func FuzzProxyHeader(f *testing.F) {
	for _, tt := range proxyHeaders {
		f.Add([]byte(tt.raw))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n, err := parseProxyHeader(p)
		if err != nil {
			if h != (proxyHeader{}) || n > maxProxyBytes+len(p) {
				t.Fatalf("%q: %v with an error", p, h)
			}
			if err == errProxyShort && len(p) >= maxProxyBytes {
				t.Fatalf("%d bytes are short", len(p))
			}
			return
		}
		if n > len(p) || n > maxProxyBytes {
			t.Fatalf("%q: %d bytes of %d", p, n, len(p))
		}
		for _, cut := range []int{0, n / 2, n - 1} {
			if _, _, err := parseProxyHeader(p[:cut]); err != errProxyShort {
				t.Fatalf("%q cut at %d: %v", p[:n], cut, err)
			}
		}
		h2, n2, err := parseProxyHeader(append(p[:n:n], "more"...))
		if err != nil || n2 != n || said(h) != said(h2) {
			t.Fatalf("%q and more: %v %d %v", p[:n], h2, n2, err)
		}
		src, serr := netip.ParseAddrPort(said(proxyHeader{source: h.source})[:max(0, len(said(proxyHeader{source: h.source}))-2)])
		if serr != nil || h.dest == nil {
			return // a path, or none
		}
		dst := netip.MustParseAddrPort(h.dest.String())
		family := "TCP4"
		a, b := src.Addr(), dst.Addr()
		if a.Is6() || b.Is6() {
			family, a, b = "TCP6", netip.AddrFrom16(a.As16()), netip.AddrFrom16(b.As16())
		}
		line := fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, a, b, src.Port(), dst.Port())
		h3, _, err := parseProxyHeader([]byte(line))
		if err != nil || said(h3) != said(h) {
			t.Fatalf("%q: got %s, %v, want %s", line, said(h3), err, said(h))
		}
	})
}
