package locator

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Endpoint is where a service listens.
type Endpoint struct {
	// Host is a name or an address: runtimes of v0 give the machine's name, which
	// is to be looked up, those of v1 an address. With Port 0 it is the path of a
	// unix socket, or "@" and its abstract name.
	Host string
	Port uint16
}

// Network is "tcp" or "unix".
func (e Endpoint) Network() string {
	if e.Port == 0 {
		return "unix"
	}
	return "tcp"
}

// Address is what net.Dial takes beside Network: host:port, or the path.
func (e Endpoint) Address() string {
	if e.Port == 0 {
		return e.Host
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// String returns what ParseEndpoint reads: host:port, or unix:PATH.
func (e Endpoint) String() string {
	if e.Port == 0 {
		return "unix:" + e.Host
	}
	return e.Address()
}

// ParseEndpoint reads host:port, with an address of IPv6 in brackets, unix:PATH,
// unix:@NAME or a path that begins with a slash. Without a port the error says
// so; DefaultPort is for the caller to add.
func ParseEndpoint(s string) (Endpoint, error) {
	path, unix := strings.CutPrefix(s, "unix:")
	if unix || strings.HasPrefix(s, "/") {
		if path == "" || path == "@" {
			return Endpoint{}, fmt.Errorf("locator: endpoint %q has no path", s)
		}
		return Endpoint{Host: path}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Endpoint{}, fmt.Errorf("locator: endpoint %q is neither host:port nor unix:PATH", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Endpoint{}, fmt.Errorf("locator: endpoint %q: the port is no number from 1 to 65535", s)
	}
	if host == "" {
		return Endpoint{}, fmt.Errorf("locator: endpoint %q has no host", s)
	}
	return Endpoint{host, uint16(n)}, nil
}

// ParseEndpoints reads one or more endpoints with commas between them, as the
// --locator flag of Cocaine's workers has them.
func ParseEndpoints(s string) ([]Endpoint, error) {
	var all []Endpoint
	for part := range strings.SplitSeq(s, ",") {
		e, err := ParseEndpoint(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// DefaultPort is where locators listen, in the packaged configuration and in
// every framework's default.
const DefaultPort = 10053
