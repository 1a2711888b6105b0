package front

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/heddle-go/heddle/loop"
)

// A Listener is an address to listen on.
type Listener struct {
	Address string // host:port, or unix:/path
	Proxy   bool   // each connection begins with a PROXY protocol header
}

// What an address may begin with.
const (
	unixPrefix  = "unix:"
	proxyPrefix = "proxy:"
)

// maxSocketPath is sun_path without its final zero, unix(7), in bytes.
const maxSocketPath = 107

// ParseListener reads host:port or unix:/path, with proxy: in front where
// connections begin with a PROXY protocol header. The error says what is wrong,
// not with which address.
func ParseListener(s string) (l Listener, err error) {
	l.Address, l.Proxy = strings.CutPrefix(s, proxyPrefix)
	if path, ok := l.Path(); ok {
		switch {
		case path == "":
			return l, errors.New("the path is missing; want unix:/path")
		case len(path) > maxSocketPath:
			return l, fmt.Errorf("the path has %d bytes; a unix socket's path has at most %d", len(path), maxSocketPath)
		}
		return l, nil
	}
	_, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return l, errors.New("want host:port or unix:/path, each also with proxy: before it")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return l, fmt.Errorf("%q is no port", port)
	}
	return l, nil
}

// Path is the path of a unix socket.
func (l Listener) Path() (path string, ok bool) { return strings.CutPrefix(l.Address, unixPrefix) }

func (l Listener) String() string {
	if l.Proxy {
		return proxyPrefix + l.Address
	}
	return l.Address
}

// listen takes the address.
func (l Listener) listen() (net.Listener, error) {
	if path, ok := l.Path(); ok {
		return loop.ListenUnix(path, 0o600)
	}
	return net.Listen("tcp", l.Address)
}

// A ListenError says which address could not be taken.
type ListenError struct {
	Listener Listener
	Err      error // as loop.ListenUnix and net.Listen have it
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("front: listen on %v: %v", e.Listener, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// urlOf is how a client reaches a listener: any address is said as loopback,
// and where it must first send a PROXY protocol header, proxy: says so.
func urlOf(a net.Addr, tls, proxy bool) string {
	url := ""
	switch t, ok := a.(*net.TCPAddr); {
	case !ok:
		url = unixPrefix + a.String()
	case t.IP.IsUnspecified():
		url = fmt.Sprintf("127.0.0.1:%d", t.Port)
	default:
		url = t.String()
	}
	if _, ok := a.(*net.TCPAddr); ok {
		url = "http" + map[bool]string{true: "s"}[tls] + "://" + url
	}
	if proxy {
		return proxyPrefix + url
	}
	return url
}
