package front

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Trusted is a set of addresses whose word is taken. Its zero value is empty.
type Trusted struct {
	prefixes []netip.Prefix
	unix     bool // whoever connects by a unix socket
}

// ParseTrusted reads networks such as 10.0.0.0/8, addresses, and the word unix
// for whoever connects by a unix socket.
func ParseTrusted(list []string) (t Trusted, err error) {
	for _, s := range list {
		if s == "unix" {
			t.unix = true
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, aerr := netip.ParseAddr(s)
			if aerr != nil || addr.Zone() != "" {
				return Trusted{}, fmt.Errorf("%q is no network such as 10.0.0.0/8, no address, and not the word unix", s)
			}
			addr = addr.Unmap()
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p.Addr().Is4In6() { // addresses are compared in their shorter form
			if p.Bits() < 96 {
				return Trusted{}, fmt.Errorf("%q is wider than all of IPv4 and says it in IPv6's form", s)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		t.prefixes = append(t.prefixes, p.Masked())
	}
	return t, nil
}

// Empty says whether nobody is trusted.
func (t Trusted) Empty() bool { return len(t.prefixes) == 0 && !t.unix }

// hasIP tells of an address without zone, in its shorter form.
func (t Trusted) hasIP(ip netip.Addr) bool {
	for _, p := range t.prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// hasPeer tells of the other end of a connection.
func (t Trusted) hasPeer(a net.Addr) bool {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return t.hasIP(tcp.AddrPort().Addr().Unmap().WithZone(""))
	}
	return t.unix
}

// A peer is where a request came from, as its RemoteAddr says.
type peer struct {
	ip      string // "": no IP, that is a unix socket
	six     bool
	trusted bool
}

// peerOf reads a RemoteAddr. The address it returns is a part of it.
func (t Trusted) peerOf(remote string) peer {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return peer{trusted: t.unix}
	}
	text := remote[:strings.LastIndexByte(remote, ':')]
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	text, _, _ = strings.Cut(text, "%") // a zone means something on this machine alone
	ip := ap.Addr().WithZone("").Unmap()
	return peer{ip: text, six: strings.Contains(text, ":"), trusted: len(t.prefixes) > 0 && t.hasIP(ip)}
}
