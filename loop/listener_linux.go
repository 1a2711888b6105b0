package loop

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Listener accepts connections for a loop, until it or the loop is closed.
type Listener struct {
	// Immutable after Listen.
	loop   *Loop
	opt    ListenOptions
	accept func(c *Conn) Handler
	addr   net.Addr
	unix   bool
	shared bool // the socket is somebody else's too: shutting it down is not ours
	wild   bool // bound to every address: a connection's own has to be asked for

	// Loop goroutine only.
	interest interest
	pause    *Timer // running while accepting rests for lack of descriptors
	spare    spare  // with Refuse

	live atomic.Int64 // connections open

	mu      sync.Mutex
	closing bool       // Close was called
	fd      int        // -1: closed
	path    *boundPath // to be removed at the end, or nil
}

type rawConn interface {
	SyscallConn() (syscall.RawConn, error)
}

// acceptsPerEvent bounds what one event accepts, so that a flood of connections
// cannot starve those that are open; about two milliseconds.
const acceptsPerEvent = 256

const defaultBacklog = 1024

// Listen accepts connections at addr; accept is called on the loop that gets one and
// returns its Handler. Network is "tcp", "tcp4", "tcp6" or "unix"; a unix addr
// "@name" is in the abstract namespace. An error is a *net.OpError, for which
// errors.Is knows syscall.EADDRINUSE and its kind. A unix path that exists is taken
// over only if it is a socket that nobody answers on. Any goroutine; a host name is
// looked up, which may take time.
func (l *Loop) Listen(network, addr string, accept func(c *Conn) Handler, o ListenOptions) (*Listener, error) {
	ln := &Listener{loop: l, opt: o, accept: accept, fd: -1}
	if ln.opt.Backlog <= 0 {
		ln.opt.Backlog = defaultBacklog
	}
	var err error
	switch {
	case network == "unix":
		ln.unix = true
		ln.addr = &net.UnixAddr{Net: "unix", Name: addr}
		ln.fd, ln.path, err = bindUnix(addr, ln.opt.Mode, ln.opt.Backlog)
	case isTCP(network):
		err = ln.bindTCP(network, addr)
	default:
		err = net.UnknownNetworkError(network)
	}
	if err == nil {
		err = l.Do(ln.begin)
	}
	if err != nil {
		ln.shut()
		return nil, &net.OpError{Op: "listen", Net: network, Addr: &namedAddr{network, addr}, Err: err}
	}
	return ln, nil
}

// ListenFile accepts connections on a listening stream socket made by somebody
// else, such as systemd. The file is duplicated and stays the caller's; a unix path
// is not removed at the end. Any goroutine.
func (l *Loop) ListenFile(f *os.File, accept func(c *Conn) Handler, o ListenOptions) (*Listener, error) {
	fd, err := dupFile(f)
	if err != nil {
		return nil, fmt.Errorf("loop: %w", err)
	}
	ln := &Listener{loop: l, opt: o, accept: accept, fd: fd, wild: true, shared: true}
	if v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || v == 0 {
		ln.shut()
		return nil, fmt.Errorf("loop: %s is no listening socket: %w", f.Name(), os.ErrInvalid)
	}
	_ = unix.SetNonblock(fd, true)
	ln.addr = localAddr(fd)
	if ln.unix = ln.addr.Network() == "unix"; !ln.unix {
		tune(fd)
	}
	if err := l.Do(ln.begin); err != nil {
		ln.shut()
		return nil, err
	}
	return ln, nil
}

func (ln *Listener) bindTCP(network, addr string) (err error) {
	a, err := net.ResolveTCPAddr(network, addr)
	if err != nil {
		return err
	}
	ap := a.AddrPort()
	ln.wild = len(a.IP) == 0 || a.IP.IsUnspecified()
	both := network == "tcp" && len(a.IP) == 0 // every address of either family
	if len(a.IP) == 0 {
		ip := netip.IPv6Unspecified()
		if network == "tcp4" {
			ip = netip.IPv4Unspecified()
		}
		ap = netip.AddrPortFrom(ip, uint16(a.Port))
	}
	domain, sa, err := tcpSockaddr(network, ap)
	if err != nil {
		return err
	}
	if ln.fd, err = socket(domain); err != nil && both {
		domain, sa, _ = tcpSockaddr(network, netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(a.Port)))
		ln.fd, err = socket(domain) // no IPv6 here
	}
	if err != nil {
		return err
	}
	if domain == unix.AF_INET6 {
		only := 1
		if both {
			only = 0
		}
		_ = unix.SetsockoptInt(ln.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	// Not SO_REUSEPORT: it would share the address with a live second server, unnoticed.
	_ = unix.SetsockoptInt(ln.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	tune(ln.fd)
	if err := unix.Bind(ln.fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(ln.fd, ln.opt.Backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	ln.addr = localAddr(ln.fd)
	return nil
}

// Addr returns the address listened on, with the port the kernel chose.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Close stops accepting: who connects from now on is refused. A unix path is removed
// if it is still ours. Accepted connections stay. Any goroutine.
func (ln *Listener) Close() error {
	ln.mu.Lock()
	ln.closing = true
	if ln.fd >= 0 && !ln.shared {
		// The loop owns the descriptor and closes it; this takes effect at once.
		_ = unix.Shutdown(ln.fd, unix.SHUT_RDWR)
	}
	path := ln.path
	ln.path = nil
	ln.mu.Unlock()
	path.remove()
	_ = ln.loop.Do(ln.end) // after ErrClosed, the loop's end has done it
	return nil
}

// begin registers the listener. On the loop.
func (ln *Listener) begin() {
	ln.mu.Lock()
	fd := ln.fd
	ln.mu.Unlock()
	if fd < 0 {
		return
	}
	ln.loop.setSource(fd, ln)
	if ln.opt.Refuse {
		ln.spare.keep()
	}
	ln.settle()
}

// end deregisters and closes. On the loop.
func (ln *Listener) end() {
	ln.register(interestNone)
	if ln.pause != nil {
		ln.pause.Stop()
	}
	ln.spare.give()
	ln.mu.Lock()
	fd, path := ln.fd, ln.path
	ln.fd, ln.path = -1, nil
	ln.mu.Unlock()
	path.remove()
	if fd >= 0 {
		ln.loop.doom(fd)
	}
}

// shut undoes a Listen that failed.
func (ln *Listener) shut() {
	ln.path.remove()
	if ln.fd >= 0 {
		_ = unix.Close(ln.fd)
		ln.fd = -1
	}
}

func (ln *Listener) register(to interest) {
	l := ln.loop
	if ln.fd < 0 || to == ln.interest {
		return
	}
	l.attachment.FD = ln.fd
	if err := change(l.poller, &l.attachment, ln.interest, to); err != nil {
		l.log.Error("loop: listener", "addr", ln.addr, "err", err)
	}
	ln.interest = to
}

// settle registers the listener as long as accepting does not rest.
func (ln *Listener) settle() {
	if ln.opt.Refuse {
		ln.spare.keep() // again, if it was lost to somebody faster
	}
	if ln.crowded() && !ln.opt.Refuse || ln.pause != nil && ln.pause.index >= 0 {
		ln.register(interestNone)
		return
	}
	ln.register(interestRead)
}

// crowded says whether there are as many connections as there may be.
func (ln *Listener) crowded() bool {
	return ln.opt.MaxConns > 0 && ln.live.Load() >= int64(ln.opt.MaxConns)
}

// left counts a connection out. Its loop need not be the listener's.
func (ln *Listener) left() {
	if n := ln.live.Add(-1); ln.opt.MaxConns > 0 && n == int64(ln.opt.MaxConns)-1 {
		_ = ln.loop.Do(ln.settle)
	}
}

func (ln *Listener) onEvent(events uint32) {
	for range acceptsPerEvent {
		crowded := ln.crowded()
		if crowded && !ln.opt.Refuse {
			break
		}
		fd, sa, err := unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if (err == unix.EMFILE || err == unix.ENFILE) && ln.spare.give() {
			full := err
			if fd, sa, err = unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
				ln.refuse(fd, sa, os.NewSyscallError("accept4", full))
			}
			if !ln.spare.keep() { // somebody was faster
				ln.rest(full)
				break
			}
			if err == nil {
				continue
			}
		}
		switch err {
		case nil:
			if crowded {
				ln.refuse(fd, sa, errCrowded)
			} else {
				ln.deal(fd, sa)
			}
			continue
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EAGAIN:
			if events&(unix.EPOLLHUP|unix.EPOLLRDHUP) != 0 {
				ln.rest(unix.EINVAL) // as a unix socket says it that was shut down
			}
		default:
			ln.rest(err)
		}
		break
	}
	ln.settle()
}

// rest pauses accepting: there are no descriptors left (EMFILE, ENFILE), no memory,
// or something else that asking again at once would not change. A socket that was shut
// down (EINVAL) accepts nothing ever again.
func (ln *Listener) rest(err error) {
	l := ln.loop
	if err == unix.EINVAL {
		ln.mu.Lock()
		closing := ln.closing
		ln.mu.Unlock()
		if !closing { // by somebody else; Close is on its way here otherwise
			l.log.Error("loop: listening ends: the socket was shut down", "addr", ln.addr, "err", os.NewSyscallError("accept4", err))
			ln.end()
		}
		return
	}
	l.stats.acceptPauses.Add(1)
	if l.stats.acceptPauses.Load()%64 == 1 { // it may go on for long
		l.log.Warn("loop: accepting rests", "addr", ln.addr, "for", l.opt.AcceptPause, "err", os.NewSyscallError("accept4", err))
	}
	if ln.pause == nil {
		ln.pause = l.After(l.opt.AcceptPause, ln.settle)
		return
	}
	ln.pause.Reset(l.opt.AcceptPause)
}

// deal gives an accepted socket to its loop.
func (ln *Listener) deal(fd int, sa unix.Sockaddr) {
	to := ln.loop
	to.stats.accepted.Add(1)
	if ln.opt.Deal != nil {
		to.call(nil, "Deal", func() {
			if l := ln.opt.Deal(); l != nil {
				to = l
			}
		})
	}
	c := to.newConn(fd, ln.unix)
	c.listener = ln
	c.laddr, c.raddr = ln.addr, netAddr(sa)
	if ln.wild {
		c.laddr = localAddr(fd)
	}
	ln.live.Add(1)
	start := c.started(ln.accept)
	if to == ln.loop {
		start()
		return
	}
	if to.Do(start) != nil { // that loop is closed
		_ = unix.Close(fd)
		ln.left()
	}
}
