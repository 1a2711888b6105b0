package servicetest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-go/heddle"
)

// The runtimes that New plays.
const (
	Runtime011 = heddle.V0 // 0.11.2
	Runtime012 = heddle.V1 // 0.12.14
)

// UUID is what a cloud of runtime 0.12 is known by.
const UUID = "57c7ddbb-b81f-4534-bd36-3bdc1a1b718c"

// Options say what a cloud is like. The zero value is one on TCP that fails the
// test for each Slip.
type Options struct {
	// Unix puts the services on unix sockets, which no real runtime does for
	// clients. The locator then names [path, 0] as endpoints.
	Unix bool

	// Host is how the locator names the machine. Runtime 0.11 gives a name, by
	// default "localhost", for the client to look up, 0.12 an address, by default
	// "127.0.0.1". The services listen on 127.0.0.1 in any case.
	Host string

	// Verbosity is what logging answers. nil: everything is to be sent, which is
	// 4 for runtime 0.11 and 0 for 0.12.
	Verbosity *int

	// Prefix is the directory in storage's messages of runtime 0.12, by default
	// "/var/lib/cocaine".
	Prefix string

	// Cluster lets locator.connect tell all services and their changes. Without,
	// it ends at once, as that of a runtime that is in no cluster.
	Cluster bool

	// OnSlip takes the client's mistakes, which then do not fail the test. It is
	// called from the service's goroutines.
	OnSlip func(Slip)
}

// A Slip is a mistake of the client.
type Slip struct {
	Service string
	What    string
	Frame   []byte // the first 4096 bytes of the frame
	Dropped bool   // the runtime has closed the connection for it
}

func (s Slip) String() string {
	end := "which this runtime forgives"
	if s.Dropped {
		end = "for which the runtime closes the connection"
	}
	return fmt.Sprintf("to %s: %s, %s: %x", s.Service, s.What, end, s.Frame)
}

// A Cloud is a runtime and its services. Its methods may be called from any
// goroutine.
type Cloud struct {
	// Immutable after New.
	t       testing.TB
	dialect heddle.Dialect
	options Options
	dir     string // of the sockets; empty: TCP
	locator *Service

	mu       sync.Mutex
	services map[string]*Service
	closed   bool
	slips    []Slip
	storage  storage
	logged   []Entry
	level    int                                    // verbosity
	running  map[string]func(c *Call, event string) // apps
	resolves map[string]int
	outside  map[string]published
	groups   map[string]any
	watchers map[chan struct{}]struct{} // of groups and of services; each has one element when they have changed
	dead     []net.Conn                 // see DeadEndpoint
	hold     net.Listener               // likewise
}

// New starts a cloud with the services locator, storage, logging and node. It is
// closed when the test ends.
func New(t testing.TB, runtime heddle.Dialect, o Options) *Cloud {
	t.Helper()
	if o.Host == "" {
		if o.Host = "localhost"; runtime == Runtime012 {
			o.Host = "127.0.0.1"
		}
	}
	if o.Prefix == "" {
		o.Prefix = "/var/lib/cocaine"
	}
	c := &Cloud{
		t: t, dialect: runtime, options: o,
		services: map[string]*Service{}, running: map[string]func(*Call, string){}, resolves: map[string]int{}, outside: map[string]published{},
		groups: map[string]any{}, watchers: map[chan struct{}]struct{}{}, storage: storage{},
	}
	if c.level = 0; runtime == Runtime011 {
		c.level = 4
	}
	if o.Verbosity != nil {
		c.level = *o.Verbosity
	}
	if o.Unix {
		dir, err := os.MkdirTemp("", "cloud") // t.TempDir may be too long for a socket's path
		if err != nil {
			t.Fatalf("servicetest: %v", err)
		}
		c.dir = dir
	}
	t.Cleanup(c.Close)
	c.locator = c.add("locator", 3, c.locatorMethods())
	c.Add("storage", 1, c.storageMethods()...)
	c.Add("logging", 2, c.loggingMethods()...)
	c.Add("node", 1, c.nodeMethods()...)
	return c
}

// Add starts a service of that name, or panics: the name is taken, or the
// system has no more sockets. Runtime 0.11 knows version 1 only.
func (c *Cloud) Add(name string, version int, methods ...Method) *Service {
	if c.dialect == Runtime011 {
		version = 1
	}
	s := c.add(name, version, methods)
	c.mu.Lock()
	if c.services[name] != nil {
		c.mu.Unlock()
		s.Stop()
		panic(fmt.Sprintf("servicetest: there is a service %q", name))
	}
	c.services[name] = s
	c.mu.Unlock()
	c.changed()
	return s
}

func (c *Cloud) add(name string, version int, methods []Method) *Service {
	s := &Service{cloud: c, name: name, version: version, conns: map[*conn]struct{}{}}
	s.counts.ByMethod = map[string]int{}
	for _, m := range methods {
		s.Handle(m)
	}
	if err := s.Start(); err != nil {
		panic(err)
	}
	return s
}

// Dialect is the runtime's.
func (c *Cloud) Dialect() heddle.Dialect { return c.dialect }

// Endpoint is the locator's: host:port, or unix:PATH.
func (c *Cloud) Endpoint() string { return c.locator.Endpoint() }

// Locator is the service that resolves.
func (c *Cloud) Locator() *Service { return c.locator }

// Service is the one of that name, nil if there is none.
func (c *Cloud) Service(name string) *Service {
	if name == "locator" {
		return c.locator
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.services[name]
}

// Resolves is how often that name was asked for.
func (c *Cloud) Resolves(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resolves[name]
}

// Slips are the client's mistakes so far.
func (c *Cloud) Slips() []Slip {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.slips)
}

// DeadEndpoint is one at which nobody listens as long as the cloud is there.
func (c *Cloud) DeadEndpoint() Endpoint {
	if c.dir != "" {
		return Endpoint{Host: c.dir + "/dead"}
	}
	// The port of our own end of a connection: the system gives it to nobody else.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hold == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(fmt.Sprintf("servicetest: %v", err))
		}
		c.hold = l // its backlog holds what connects
	}
	nc, err := net.Dial("tcp", c.hold.Addr().String())
	if err != nil {
		panic(fmt.Sprintf("servicetest: %v", err))
	}
	c.dead = append(c.dead, nc)
	return Endpoint{c.options.Host, nc.LocalAddr().(*net.TCPAddr).Port}
}

// Close stops all services and waits for their goroutines. New has it called
// when the test ends.
func (c *Cloud) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	all := slices.Collect(maps.Values(c.services))
	dead, hold := c.dead, c.hold
	c.mu.Unlock()
	for _, s := range append(all, c.locator) {
		s.Stop()
	}
	for _, nc := range dead {
		nc.Close()
	}
	if hold != nil {
		hold.Close()
	}
	if c.dir != "" {
		if err := os.RemoveAll(c.dir); err != nil {
			c.t.Errorf("servicetest: %v", err)
		}
	}
}

func (c *Cloud) slip(s Slip) {
	c.mu.Lock()
	c.slips = append(c.slips, s)
	c.mu.Unlock()
	if c.options.OnSlip != nil {
		c.options.OnSlip(s)
		return
	}
	c.t.Errorf("servicetest: %v: %v", c.dialect, s)
}

// changed wakes who waits for news of services and groups.
func (c *Cloud) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// watch returns a channel that gets an element at each change, until done.
func (c *Cloud) watch() (news chan struct{}, done func()) {
	news = make(chan struct{}, 1)
	c.mu.Lock()
	c.watchers[news] = struct{}{}
	c.mu.Unlock()
	return news, func() {
		c.mu.Lock()
		delete(c.watchers, news)
		c.mu.Unlock()
	}
}

// names are the services that the locator knows, sorted.
func (c *Cloud) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Keys(c.services), strings.Compare)
}
