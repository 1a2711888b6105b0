package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dialing is the state of a connection that is not there yet.
type dialing struct {
	network, addr string
	targets       []target // still to be tried, in order; the first is being tried
	cancel        context.CancelFunc
	retry         time.Duration // how long a full backlog is waited for next
	last          error         // why the target before failed
}

type target struct {
	domain int
	sa     unix.Sockaddr
}

const (
	defaultDialTimeout = 10 * time.Second

	// How long to wait for room in a unix listener's backlog, doubling. The kernel
	// tells nobody when there is some.
	minDialRetry = time.Millisecond
	maxDialRetry = 50 * time.Millisecond
)

// Dial connects to addr and never blocks: the outcome comes as OnOpen, or as
// OnClose(err) alone, where errors.Is knows syscall.ECONNREFUSED and its kind, and
// ErrTimeout. What is sent before goes out once the connection is there. Network is
// "tcp", "tcp4", "tcp6" or "unix" ("@name" is abstract). An error says that nothing
// was begun. h is called on the loop. Any goroutine.
func (l *Loop) Dial(network, addr string, h func(c *Conn) Handler, o DialOptions) (*Conn, error) {
	fail := func(err error) (*Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	d := &dialing{network: network, addr: addr, retry: minDialRetry, cancel: func() {}}
	var host, port string
	switch {
	case network == "unix":
		sa, err := unixSockaddr(addr)
		if err != nil {
			return fail(err)
		}
		d.targets = []target{{unix.AF_UNIX, sa}}
	case isTCP(network):
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return fail(err)
		}
		if host == "" {
			host = map[bool]string{false: "127.0.0.1", true: "::1"}[network == "tcp6"]
			addr = net.JoinHostPort(host, port)
		}
		if ap, err := netip.ParseAddrPort(addr); err == nil {
			domain, sa, err := tcpSockaddr(network, ap)
			if err != nil {
				return fail(err)
			}
			d.targets = []target{{domain, sa}}
		}
	default:
		return fail(net.UnknownNetworkError(network))
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultDialTimeout
	}

	c := l.newConn(-1, network == "unix")
	c.dial = d
	if len(d.targets) > 0 {
		c.raddr = netAddr(d.targets[0].sa)
	} else {
		c.raddr = &namedAddr{network, addr}
	}
	if err := l.Do(func() { c.startDial(h, host, port, o.Timeout) }); err != nil {
		return fail(err)
	}
	l.stats.dialed.Add(1)
	return c, nil
}

// namedAddr is the address of a host whose name is not resolved yet.
type namedAddr struct{ network, addr string }

func (a *namedAddr) Network() string { return a.network }
func (a *namedAddr) String() string  { return a.addr }

func (c *Conn) startDial(h func(*Conn) Handler, host, port string, timeout time.Duration) {
	l := c.loop
	l.stats.conns.Add(1)
	if !c.makeHandler(h) {
		c.finish(nil)
		return
	}
	c.stage = stageConnecting
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if c.overBeforeOpen(c.flags.Load()) {
		c.finish(cause)
		return
	}
	c.timer = c.newTimer(timeout, func() { c.finish(c.dialError(ErrTimeout)) })
	if len(c.dial.targets) > 0 {
		c.connect()
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	c.dial.cancel = cancel
	network := c.dial.network
	l.resolvers.Add(1)
	go func() { // ends with ctx: when resolved, timed out, or the connection or loop closed
		defer l.resolvers.Done()
		defer cancel()
		targets, err := resolve(ctx, network, host, port)
		_ = l.Do(func() { // after ErrClosed, the loop's end has finished c
			switch {
			case c.stage != stageConnecting:
			case err != nil:
				c.finish(c.dialError(err))
			default:
				c.dial.targets = targets
				c.connect()
			}
		})
	}()
}

// overBeforeOpen says whether the orders in flags end a connection that is not there
// yet. Closed with output queued, it still connects, to deliver that.
func (c *Conn) overBeforeOpen(flags uint32) bool {
	return flags&flagAbort != 0 || flags&flagClose != 0 && c.out.queued.Load() == 0
}

// resolve looks up a host's addresses.
func resolve(ctx context.Context, network, host, port string) (targets []target, err error) {
	n, err := net.DefaultResolver.LookupPort(ctx, network, port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		domain, sa, err := tcpSockaddr(network, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
		if err == nil {
			targets = append(targets, target{domain, sa})
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("no usable address of %s", host)
	}
	return targets, nil
}

// connect tries targets in order until one connects, has to be waited for, or none
// is left.
func (c *Conn) connect() {
	for d := c.dial; len(d.targets) > 0; d.targets = d.targets[1:] {
		t := d.targets[0]
		c.setAddrs(nil, netAddr(t.sa))
		fd, err := socket(t.domain)
		if err != nil {
			d.last = err
			continue
		}
		if t.domain != unix.AF_UNIX {
			tune(fd)
		}
		switch err = unix.Connect(fd, t.sa); err {
		case nil:
			c.fd = int32(fd)
			c.connected()
			return
		case unix.EINPROGRESS, unix.EINTR:
			c.fd = int32(fd)
			c.loop.setSource(fd, c)
			if err := c.register(interestWatch); err != nil {
				c.finish(c.dialError(err))
			}
			return
		case unix.EAGAIN: // a unix listener's backlog is full
			_ = unix.Close(fd) // never registered
			c.newTimer(d.retry, c.connect)
			d.retry = min(2*d.retry, maxDialRetry)
			return
		}
		_ = unix.Close(fd)
		d.last = os.NewSyscallError("connect", err)
	}
	c.finish(c.dialError(c.dial.last))
}

// onConnecting handles an event of a descriptor that is connecting.
func (c *Conn) onConnecting(events uint32) {
	errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno == 0 {
		if _, err := unix.Getpeername(int(c.fd)); err == nil {
			c.connected()
			return
		}
		if events&(unix.EPOLLERR|unix.EPOLLHUP) == 0 {
			return // not yet
		}
		errno = int(unix.ECONNREFUSED)
	}
	if err == nil {
		err = unix.Errno(errno)
	}
	c.dial.last = os.NewSyscallError("connect", err)
	_ = c.register(interestNone)
	c.loop.doom(int(c.fd))
	c.fd = -1
	c.dial.targets = c.dial.targets[1:]
	c.connect()
}

func (c *Conn) connected() {
	c.timer.Stop()
	c.timer = nil
	c.dial.cancel()
	c.dial = nil
	c.setAddrs(localAddr(int(c.fd)), c.raddr)
	c.open()
}

func (c *Conn) dialError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = ErrTimeout
	}
	return &net.OpError{Op: "dial", Net: c.dial.network, Addr: c.raddr, Err: err}
}

// Adopt takes over a connected TCP or unix stream socket, nc, which is handed over
// unless there is an error. h is called on the loop, then OnOpen. Any goroutine.
func (l *Loop) Adopt(nc net.Conn, h func(c *Conn) Handler) error {
	var isUnix bool
	sc, ok := nc.(interface {
		net.Conn
		rawConn
	})
	switch nc.(type) {
	case *net.TCPConn:
	case *net.UnixConn:
		isUnix = nc.LocalAddr().Network() == "unix"
		ok = ok && isUnix
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("loop: cannot adopt a %T: %w", nc, os.ErrInvalid)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	fd, err := dupConn(raw)
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	if !isUnix {
		tune(fd)
	}
	c := l.newConn(fd, isUnix)
	c.laddr, c.raddr = nc.LocalAddr(), nc.RemoteAddr()
	if c.raddr == nil {
		c.raddr = noUnixAddr
	}
	if err := l.do(task{c.started(h), nil}); err != nil {
		_ = unix.Close(fd)
		return err
	}
	_ = nc.Close()
	return nil
}

// started returns the task that opens a connection on its loop.
func (c *Conn) started(h func(*Conn) Handler) func() {
	return func() {
		c.loop.stats.conns.Add(1)
		if !c.makeHandler(h) {
			c.finish(nil)
			return
		}
		c.open()
	}
}
