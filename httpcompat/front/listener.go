package front

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/heddle-go/heddle/loop"
)

// A Listener is an address to listen on.
type Listener struct {
	Address string // host:port, unix:/path, or fd:NAME
	Proxy   bool   // each connection begins with a PROXY protocol header

	// Of the file of unix:/path.
	Mode os.FileMode // permissions; default 0600
	GID  *int        // group; nil: this process's

	// With fd:NAME, else nil: the listening stream socket, made by somebody else,
	// such as systemd. It is duplicated and stays the caller's; it is neither shut
	// down nor its path removed at the end.
	File *os.File
}

// What an address may begin with.
const (
	unixPrefix  = "unix:"
	filePrefix  = "fd:"
	proxyPrefix = "proxy:"
)

// maxSocketPath is sun_path without its final zero, unix(7), in bytes.
const maxSocketPath = 107

// ParseListener reads host:port, unix:/path or fd:NAME, with proxy: in front
// where connections begin with a PROXY protocol header. The file of an fd:NAME is
// the caller's to find. The error says what is wrong, not with which address.
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
	if name, ok := l.Inherited(); ok {
		if name == "" {
			return l, errors.New("the name is missing; want fd:NAME")
		}
		return l, nil
	}
	_, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return l, errors.New("want host:port, unix:/path or fd:NAME, each also with proxy: before it")
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return l, fmt.Errorf("%q is no port", port)
	}
	return l, nil
}

// Path is the path of a unix socket.
func (l Listener) Path() (path string, ok bool) { return strings.CutPrefix(l.Address, unixPrefix) }

// Inherited is the name of a socket that somebody else has made. A host called fd
// is written fd.:port.
func (l Listener) Inherited() (name string, ok bool) { return strings.CutPrefix(l.Address, filePrefix) }

func (l Listener) String() string {
	if l.Proxy {
		return proxyPrefix + l.Address
	}
	return l.Address
}

// listen takes the address.
func (l Listener) listen() (net.Listener, error) {
	if path, ok := l.Path(); ok {
		return l.listenUnix(path)
	}
	if _, ok := l.Inherited(); ok {
		if l.File == nil {
			return nil, os.ErrNotExist
		}
		return net.FileListener(l.File)
	}
	return net.Listen("tcp", l.Address)
}

// listenUnix lets nobody in before the file is whose it should be.
func (l Listener) listenUnix(path string) (net.Listener, error) {
	if l.GID == nil || strings.HasPrefix(path, "@") {
		return loop.ListenUnix(path, l.Mode)
	}
	ln, err := loop.ListenUnix(path, 0o600)
	if err != nil {
		return nil, err
	}
	if err = os.Lchown(path, -1, *l.GID); err == nil && l.Mode != 0 {
		err = os.Chmod(path, l.Mode)
	}
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
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
