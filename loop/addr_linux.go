package loop

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnixPath is what fits into sockaddr_un with its final zero byte, unix(7).
const maxUnixPath = 107

// unixSockaddr checks a path, or a name in the abstract namespace if it begins with @.
func unixSockaddr(path string) (*unix.SockaddrUnix, error) {
	switch {
	case path == "" || path == "@":
		return nil, fmt.Errorf("empty unix path: %w", unix.EINVAL)
	case len(path) > maxUnixPath:
		return nil, fmt.Errorf("unix path of %d bytes, at most %d fit: %w", len(path), maxUnixPath, unix.ENAMETOOLONG)
	case strings.IndexByte(path, 0) >= 0:
		return nil, fmt.Errorf("zero byte in unix path: %w", unix.EINVAL)
	}
	return &unix.SockaddrUnix{Name: path}, nil
}

func isTCP(network string) bool { return network == "tcp" || network == "tcp4" || network == "tcp6" }

// tcpSockaddr returns the socket domain and address for ap on network.
func tcpSockaddr(network string, ap netip.AddrPort) (domain int, sa unix.Sockaddr, err error) {
	addr := ap.Addr()
	if addr.Is4() || addr.Is4In6() {
		if network == "tcp6" {
			return 0, nil, fmt.Errorf("%s is no IPv6 address: %w", addr, unix.EAFNOSUPPORT)
		}
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: addr.As4()}, nil
	}
	if network == "tcp4" {
		return 0, nil, fmt.Errorf("%s is no IPv4 address: %w", addr, unix.EAFNOSUPPORT)
	}
	sa6 := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		ifi, err := net.InterfaceByName(zone)
		if err != nil {
			return 0, nil, err
		}
		sa6.ZoneId = uint32(ifi.Index)
	}
	return unix.AF_INET6, sa6, nil
}

// netAddr turns a kernel address into a net one.
func netAddr(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: append(net.IP(nil), sa.Addr[:]...), Port: sa.Port}
	case *unix.SockaddrInet6:
		a := &net.TCPAddr{IP: append(net.IP(nil), sa.Addr[:]...), Port: sa.Port}
		if sa.ZoneId != 0 {
			if ifi, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				a.Zone = ifi.Name
			}
		}
		return a
	case *unix.SockaddrUnix:
		if sa.Name == "" {
			return noUnixAddr
		}
		return &net.UnixAddr{Net: "unix", Name: sa.Name}
	}
	return noUnixAddr
}

// noUnixAddr is the address of all unix sockets that were not bound.
var noUnixAddr = &net.UnixAddr{Net: "unix"}

func localAddr(fd int) net.Addr {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return noUnixAddr
	}
	return netAddr(sa)
}

// socket makes a stream socket that never blocks.
func socket(domain int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}

// tune sets what every TCP socket gets; a connection inherits it from its listener.
func tune(fd int) {
	set := func(level, name, value int) { _ = unix.SetsockoptInt(fd, level, name, value) }
	set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	// A byte of urgent data would be reported as EPOLLPRI for ever, not being read:
	// inline it is input like any other.
	set(unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	// A peer that vanished is noticed after two and a half minutes, as with package net.
	set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
	set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	set(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9)
}

// dupConn duplicates a descriptor without touching its flags.
func dupConn(raw syscall.RawConn) (fd int, err error) {
	fd = -1
	ctlErr := raw.Control(func(from uintptr) {
		fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	if ctlErr != nil {
		return -1, ctlErr
	}
	return fd, os.NewSyscallError("fcntl", err)
}
