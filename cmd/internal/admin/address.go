package admin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/heddle-go/heddle/loop"
)

// An Address is where the pages are served.
type Address struct {
	text     string
	anywhere bool
}

const unixPrefix = "unix:"

// maxSocketPath is sun_path without its final zero, unix(7), in bytes.
const maxSocketPath = 107

// ErrNotLoopback refuses an address that other machines may reach.
var ErrNotLoopback = errors.New("it is no loopback address, and whoever reaches it sees profiles and numbers without being asked who they are")

// ParseAddress reads host:port or unix:/path. A host must be localhost or a
// loopback address, or it fails with ErrNotLoopback; unless anywhere. The error
// says what is wrong, not with which address.
func ParseAddress(s string, anywhere bool) (Address, error) {
	a := Address{s, anywhere}
	if path, ok := a.path(); ok {
		switch {
		case path == "":
			return a, errors.New("the path is missing; want unix:/path")
		case len(path) > maxSocketPath:
			return a, fmt.Errorf("the path has %d bytes; a unix socket's path has at most %d", len(path), maxSocketPath)
		}
		return a, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return a, errors.New("want host:port or unix:/path")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return a, fmt.Errorf("%q is no port", port)
	}
	if !anywhere && !isLocal(host) {
		return a, ErrNotLoopback
	}
	return a, nil
}

// isLocal says whether a host can be nothing but this machine.
func isLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

func (a Address) path() (path string, ok bool) { return strings.CutPrefix(a.text, unixPrefix) }

func (a Address) String() string { return a.text }

// listen takes the address. localhost is looked up once more here: what it
// means is this machine's business, and it may be wrong.
func (a Address) listen() (net.Listener, error) {
	if path, ok := a.path(); ok {
		return loop.ListenUnix(path, 0o600)
	}
	ln, err := net.Listen("tcp", a.text)
	if err != nil {
		return nil, err
	}
	if t, ok := ln.Addr().(*net.TCPAddr); ok && !a.anywhere && !t.IP.IsLoopback() {
		_ = ln.Close() // nobody has connected
		return nil, fmt.Errorf("it is %v here: %w", t.IP, ErrNotLoopback)
	}
	return ln, nil
}

// urlOf is how to reach a listener.
func urlOf(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	switch {
	case !ok:
		return unixPrefix + a.String()
	case t.IP.IsUnspecified():
		return fmt.Sprintf("http://127.0.0.1:%d", t.Port)
	}
	return "http://" + t.String()
}
