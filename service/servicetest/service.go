package servicetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// An Endpoint is where a service listens, as the locator tells it.
type Endpoint struct {
	Host string // name or address; the socket's path in a cloud of unix sockets
	Port int    // 0 for a unix socket
}

// String returns host:port, or unix:PATH.
func (e Endpoint) String() string {
	if e.Port == 0 {
		return "unix:" + e.Host
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// Counts are what a service has seen since it was made.
type Counts struct {
	Accepted int            // connections
	Open     int            // of them, still there
	Calls    int            // all calls that were not refused
	ByMethod map[string]int // the same, by name
}

// A Seen is one call, as it came.
type Seen struct {
	Method  string
	Session uint64
	Args    []any
	Headers []codec.Header // v1
}

// seenCalls is how many calls a service remembers.
const seenCalls = 256

// A Service is a part of the cloud, with a socket of its own. Its methods may
// be called from any goroutine.
type Service struct {
	// Immutable.
	cloud   *Cloud
	name    string
	version int
	wg      sync.WaitGroup // listeners, connections and calls

	mu        sync.Mutex
	methods   []Method
	listeners []net.Listener // none: stopped
	endpoints []Endpoint     // theirs, or those of before a Kill
	killed    bool           // the locator does not know that it has stopped
	conns     map[*conn]struct{}
	counts    Counts
	seen      []Seen
	faults    Faults
	announced *Announcement
	sockets   int // how many there have been, for the names of unix sockets
}

// Name is what the locator knows the service by.
func (s *Service) Name() string { return s.name }

// Endpoint is where the service's first socket listens, host:port or unix:PATH,
// and after Stop and Kill where it last did.
func (s *Service) Endpoint() string { return s.Endpoints()[0].String() }

// Endpoints are all its sockets, which Listen adds to.
func (s *Service) Endpoints() []Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints)
}

// Counts is what has been seen so far.
func (s *Service) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts
	n.Open, n.ByMethod = len(s.conns), maps.Clone(n.ByMethod)
	return n
}

// Seen are the last calls, 256 at most.
func (s *Service) Seen() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Handle gives the service another method, or another in place of the one with
// that id.
func (s *Service) Handle(m Method) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A new array: calls hold pointers into the old one.
	s.methods = append(slices.DeleteFunc(slices.Clone(s.methods), func(old Method) bool { return old.ID == m.ID }), m)
	slices.SortFunc(s.methods, func(a, b Method) int { return int(int64(a.ID) - int64(b.ID)) })
}

// Listen gives the service one more socket.
func (s *Service) Listen() (Endpoint, error) {
	l, e, err := s.listen()
	if err != nil {
		return Endpoint{}, fmt.Errorf("servicetest: %w", err)
	}
	s.mu.Lock()
	s.listeners, s.endpoints = append(s.listeners, l), append(s.endpoints, e)
	s.mu.Unlock()
	s.wg.Go(func() { s.acceptLoop(l) })
	return e, nil
}

// Start is the restart of a service after Stop or Kill, at another endpoint.
func (s *Service) Start() error {
	l, e, err := s.listen()
	if err != nil {
		return fmt.Errorf("servicetest: %w", err)
	}
	s.mu.Lock()
	if len(s.listeners) > 0 {
		s.mu.Unlock()
		return errors.Join(errors.New("servicetest: the service has not stopped"), l.Close())
	}
	s.listeners, s.endpoints, s.killed = []net.Listener{l}, []Endpoint{e}, false
	s.mu.Unlock()
	s.wg.Go(func() { s.acceptLoop(l) })
	s.cloud.changed()
	return nil
}

// Stop closes the service's sockets and connections. To the locator it is not
// available until Start.
func (s *Service) Stop() { s.stop(false) }

// Kill is Stop of which the locator hears nothing: it goes on announcing the
// endpoints, where nobody listens.
func (s *Service) Kill() { s.stop(true) }

func (s *Service) stop(killed bool) {
	s.mu.Lock()
	listeners := s.listeners
	s.listeners, s.killed = nil, killed
	s.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	s.Cut()
	s.wg.Wait()
	s.cloud.changed()
}

// Cut ends all connections; the service goes on listening.
func (s *Service) Cut() {
	for _, c := range s.all() {
		c.cancel(ErrGone)
	}
}

// Send sends bytes on all connections, as they are.
func (s *Service) Send(p []byte) {
	for _, c := range s.all() {
		_ = c.write(p) // fails when the connection has ended
	}
}

func (s *Service) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

func (s *Service) listen() (net.Listener, Endpoint, error) {
	if s.cloud.dir != "" {
		s.mu.Lock()
		s.sockets++
		path := filepath.Join(s.cloud.dir, fmt.Sprintf("%s.%d", s.name, s.sockets))
		s.mu.Unlock()
		l, err := net.Listen("unix", path)
		return l, Endpoint{Host: path}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, Endpoint{}, err
	}
	return l, Endpoint{s.cloud.options.Host, l.Addr().(*net.TCPAddr).Port}, nil
}

// acceptLoop ends when l is closed.
func (s *Service) acceptLoop(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		c := &conn{s: s, nc: nc, calls: map[uint64]*Call{}}
		c.ready.L = &c.mu
		c.ctx, c.cancel = context.WithCancelCause(context.Background())
		s.mu.Lock()
		stopped := !slices.Contains(s.listeners, l)
		if !stopped {
			s.conns[c] = struct{}{}
			s.counts.Accepted++
		}
		s.mu.Unlock()
		if stopped {
			c.cancel(nil)
			nc.Close()
			continue
		}
		s.wg.Go(c.writeLoop) // ends with the connection
		s.wg.Go(func() {     // likewise
			c.serve()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// method returns the method id, nil if there is none.
func (s *Service) method(id uint64) *Method {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.methods {
		if s.methods[i].ID == id {
			return &s.methods[i]
		}
	}
	return nil
}

// note counts a call, and returns what is to be wrong with it.
func (s *Service) note(c *Call) Faults {
	if s == s.cloud.locator && c.method.Name == "resolve" {
		s.cloud.mu.Lock()
		s.cloud.resolves[c.Text(0)]++
		s.cloud.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Calls++
	s.counts.ByMethod[c.method.Name]++
	if len(s.seen) == seenCalls {
		s.seen = slices.Delete(s.seen, 0, 1)
	}
	s.seen = append(s.seen, Seen{c.method.Name, c.id, values(c.args), c.headers})
	if s.faults.Method != "" && s.faults.Method != c.method.Name {
		return Faults{}
	}
	return s.faults
}

// resolved is the locator's answer about the service: its results, in v0 the
// one value. false: it is not available.
func (s *Service) resolved() ([]any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 && !s.killed {
		return nil, false
	}
	a := Announcement{s.endpoints, s.methods, s.version, nil}
	if lie := s.announced; lie != nil {
		if a.Result = lie.Result; lie.Endpoints != nil {
			a.Endpoints = lie.Endpoints
		}
		if lie.Methods != nil {
			a.Methods = lie.Methods
		}
		if lie.Version != 0 {
			a.Version = lie.Version
		}
	}
	var at []any
	for _, e := range a.Endpoints {
		at = append(at, []any{e.Host, e.Port})
	}
	graph := Graph(s.cloud.dialect, a.Methods)
	switch {
	case s.cloud.dialect == heddle.V1 && a.Result != nil:
		return split(a.Result), true
	case a.Result != nil:
		return []any{a.Result}, true
	case s.cloud.dialect == heddle.V1:
		return []any{at, a.Version, graph}, true
	case len(at) == 0:
		return []any{[]any{nil, a.Version, graph}}, true
	}
	return []any{[]any{at[0], a.Version, graph}}, true
}

// split returns the members of an array, each as it is; of anything else, that.
func split(p Packed) []any {
	n, err := parse(p, 0)
	if err != nil || n.kind != kindArray {
		return []any{p}
	}
	var all []any
	off := n.size
	for _, m := range n.list {
		off -= m.size
	}
	for _, m := range n.list {
		all = append(all, p[off:off+m.size])
		off += m.size
	}
	return all
}
