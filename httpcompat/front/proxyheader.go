package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's doc/proxy-protocol.txt has
// it. A header says from where to where a connection was made that somebody
// passes on.

// A proxyHeader is what a header says.
type proxyHeader struct {
	source, dest net.Addr // nil: the connection's own, as of a health check
}

// errProxyShort reports that more bytes are needed.
var errProxyShort = errors.New("front: short PROXY protocol header")

// errProxy is wrapped by what is wrong with a header.
var errProxy = errors.New("front: no valid PROXY protocol header")

const (
	proxyV1       = "PROXY "
	maxProxyV1    = 107 // bytes of a version 1 header, its end included: section 2.1
	proxyV2       = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Fixed  = 16   // bytes: signature, version and command, family, length
	maxProxyBytes = 4096 // of a version 2 header, what it says of TLS included
)

// parseProxyHeader reads the header at the front of p and returns how many
// bytes it has.
func parseProxyHeader(p []byte) (h proxyHeader, n int, err error) {
	switch {
	case begins(p, proxyV2):
		if len(p) < proxyV2Fixed {
			return h, 0, errProxyShort
		}
		return parseProxyV2(p)
	case begins(p, proxyV1):
		return parseProxyV1(p)
	}
	return h, 0, fmt.Errorf("%w: it begins with neither version's signature", errProxy)
}

// begins says whether p begins with s as far as both go.
func begins(p []byte, s string) bool {
	n := min(len(p), len(s))
	return string(p[:n]) == s[:n]
}

// parseProxyV1 reads a line of words: PROXY, family, source and destination
// address, source and destination port.
func parseProxyV1(p []byte) (h proxyHeader, n int, err error) {
	end := bytes.IndexByte(p[:min(len(p), maxProxyV1)], '\n')
	switch {
	case end < 0 && len(p) >= maxProxyV1:
		return h, 0, fmt.Errorf("%w: no end in its first %d bytes", errProxy, maxProxyV1)
	case end < 0:
		return h, 0, errProxyShort
	case end < len(proxyV1) || p[end-1] != '\r':
		return h, 0, fmt.Errorf("%w: the line does not end with CR LF", errProxy)
	}
	words := strings.Split(string(p[len(proxyV1):end-1]), " ")
	if words[0] == "UNKNOWN" {
		return h, end + 1, nil // and whatever else the line says
	}
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return h, 0, fmt.Errorf("%w: %q", errProxy, p[:end-1])
	}
	four := words[0] == "TCP4"
	source, ok1 := addrOf(words[1], words[3], four)
	dest, ok2 := addrOf(words[2], words[4], four)
	if !ok1 || !ok2 {
		return h, 0, fmt.Errorf("%w: %q", errProxy, p[:end-1])
	}
	return proxyHeader{source, dest}, end + 1, nil
}

func addrOf(ip, port string, four bool) (net.Addr, bool) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Is4() != four || addr.Zone() != "" {
		return nil, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port != strconv.FormatUint(n, 10) {
		return nil, false
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(n))), true
}

// parseProxyV2 reads, behind the signature, a byte of version and command, one
// of family and transport, the length of the rest in two, the addresses, the
// ports, and then what nobody here asks for (TLVs).
func parseProxyV2(p []byte) (h proxyHeader, n int, err error) {
	version, command := p[12]>>4, p[12]&15
	n = proxyV2Fixed + int(binary.BigEndian.Uint16(p[14:16]))
	switch {
	case version != 2 || command > 1:
		return h, 0, fmt.Errorf("%w: version %d, command %d", errProxy, version, command)
	case n > maxProxyBytes:
		return h, 0, fmt.Errorf("%w: it has %d bytes; %d are the most", errProxy, n, maxProxyBytes)
	case len(p) < n:
		return h, 0, errProxyShort
	case command == 0: // LOCAL: the sender's own connection
		return h, n, nil
	}
	rest := p[proxyV2Fixed:n]
	size := map[byte]int{0x11: 4, 0x21: 16, 0x31: 108}[p[13]] // bytes of an address
	if size == 0 {
		switch p[13] {
		case 0x00, 0x12, 0x22, 0x32: // unspecified, and datagrams, which this is not
			return h, n, nil
		}
		return h, 0, fmt.Errorf("%w: family and transport %#02x", errProxy, p[13])
	}
	if p[13] == 0x31 {
		if len(rest) < 2*size {
			return h, 0, fmt.Errorf("%w: addresses cut short", errProxy)
		}
		return proxyHeader{unixAddr(rest[:size]), unixAddr(rest[size : 2*size])}, n, nil
	}
	if len(rest) < 2*size+4 {
		return h, 0, fmt.Errorf("%w: addresses cut short", errProxy)
	}
	ports := rest[2*size:]
	return proxyHeader{tcpAddr(rest[:size], ports), tcpAddr(rest[size:2*size], ports[2:])}, n, nil
}

func tcpAddr(ip, port []byte) net.Addr {
	addr, _ := netip.AddrFromSlice(ip) // of 4 or 16 bytes
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port)))
}

// unixAddr reads a path that zeros fill up; of an abstract name the first byte
// is one too.
func unixAddr(p []byte) net.Addr {
	name := string(bytes.TrimRight(p, "\x00"))
	if strings.HasPrefix(name, "\x00") {
		name = "@" + name[1:]
	}
	return &net.UnixAddr{Name: name, Net: "unix"}
}
