package host

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
)

// An endpoint is where somebody listens, as the locator tells it.
type endpoint struct {
	_    struct{} `msg:",tuple"`
	Host string   // address; the socket's path
	Port uint16   // 0: a unix socket
}

// endpointOf is an address of ours as clients are told of it; host is empty if we
// listen at all of this machine's.
func endpointOf(a net.Addr) endpoint {
	switch a := a.(type) {
	case *net.TCPAddr:
		e := endpoint{Port: uint16(a.Port)}
		if len(a.IP) > 0 && !a.IP.IsUnspecified() {
			e.Host = a.IP.String()
		}
		return e
	case *net.UnixAddr:
		return endpoint{Host: a.Name}
	}
	return endpoint{}
}

// A door is where a service listens for the clients of one dialect, or, the
// locator, for those of both.
type door struct {
	// Immutable after open.
	cloud   *Cloud
	name    string
	dialect heddle.Dialect
	both    bool
	frame   int         // bytes
	methods [2][]Method // by dialect
	ln      *loop.Listener
	at      endpoint

	mu    sync.Mutex
	conns map[*conn]struct{}
	shut  bool
	gone  chan struct{} // closed once it is shut and the last connection has ended
}

// open listens for a service.
func (c *Cloud) open(s *Service, d heddle.Dialect, both bool) (*door, error) {
	dr := &door{cloud: c, name: s.Name, dialect: d, both: both, frame: c.frameOf(s.Name), conns: map[*conn]struct{}{}, gone: make(chan struct{})}
	dr.methods[heddle.V0], dr.methods[heddle.V1] = s.V0, s.V1
	network, addr := c.network, c.addr
	if !both {
		network, addr = c.nextAddr()
	}
	var err error
	dr.ln, err = c.loops[0].Listen(network, addr, dr.accept, loop.ListenOptions{MaxConns: c.opt.Conns, Deal: func() *loop.Loop { return c.deal(s.serves) }})
	if err != nil {
		return nil, err
	}
	dr.at = endpointOf(dr.ln.Addr())
	return dr, nil
}

// nextAddr is where the next service listens.
func (c *Cloud) nextAddr() (network, addr string) {
	if c.network == "unix" {
		return c.network, filepath.Join(filepath.Dir(c.addr), filepath.Base(c.addr)+"."+strconv.FormatUint(c.sockets.Add(1), 10))
	}
	host, _, _ := net.SplitHostPort(c.addr) // Start has seen it
	return c.network, net.JoinHostPort(host, "0")
}

// splitLocator is what Options.Locator says.
func splitLocator(s string) (network, addr string) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return "unix", path
	}
	return "tcp", s
}

// deal gives connections to the loops in turn, of those that serve if any does.
func (c *Cloud) deal(serves func(i int) bool) *loop.Loop {
	n := uint64(len(c.loops))
	first := c.turn.Add(1)
	for i := uint64(0); serves != nil && i < n; i++ {
		if at := (first + i) % n; serves(int(at)) {
			return c.loops[at]
		}
	}
	return c.loops[first%n]
}

// accept makes the handler of a connection, on its loop.
func (d *door) accept(lc *loop.Conn) loop.Handler {
	lane := d.cloud.laneOf(lc.Loop())
	lc.SetLimit(outPause + outSlack + 2*d.frame)
	remote := endpointOf(lc.RemoteAddr())
	if remote.Port == 0 {
		remote.Host = "" // a unix socket's client has no name
	}
	c := newConn(d, lane, lc, func() endpoint { return endpointOf(lc.LocalAddr()) }, remote)
	lc.SetLowWater(freeHeld) // OnDrain weighs it
	d.mu.Lock()
	d.conns[c] = struct{}{}
	shut := d.shut
	d.mu.Unlock()
	if shut {
		lc.Abort(ErrClosed)
	}
	return c
}

func (c *Cloud) laneOf(l *loop.Loop) int {
	for i, other := range c.loops {
		if other == l {
			return i
		}
	}
	return 0
}

// method finds one; nil for none.
func (d *door) method(dialect heddle.Dialect, id uint64) *Method {
	for i := range d.methods[dialect] {
		if m := &d.methods[dialect][i]; m.ID == id {
			return m
		}
	}
	return nil
}

// left counts a connection out.
func (d *door) left(c *conn) {
	d.mu.Lock()
	delete(d.conns, c)
	if d.shut && len(d.conns) == 0 {
		close(d.gone)
	}
	d.mu.Unlock()
}

// open is how many connections there are.
func (d *door) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// close stops listening and ends the connections: what was answered is delivered.
func (d *door) close() {
	_ = d.ln.Close() // says nothing
	d.mu.Lock()
	d.shut = true
	conns := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	if len(conns) == 0 {
		close(d.gone)
	}
	d.mu.Unlock()
	for _, c := range conns {
		c.link.Close(nil)
	}
}

// abort ends what close has left.
func (d *door) abort() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		c.link.Abort(ErrClosed)
	}
}
