package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/loop"
)

// The names of a cloud's own services.
const (
	nameLocator = "locator"
	nameLogging = "logging"
	nameStorage = "storage"
	nameNode    = "node"
)

// smallFrame bounds a frame to a service that carries no blobs.
const smallFrame = 1 << 20 // bytes

// A Cloud is a locator and the services that it knows. Its methods may be called
// from any goroutine but those of its loops.
type Cloud struct {
	// Immutable after Start.
	opt     Options
	log     *slog.Logger
	network string
	addr    string
	loops   []*loop.Loop
	endLoop func() // ends the loop that is the Cloud's own
	slots   chan struct{}
	closing chan struct{} // closed by Close
	store   *store        // nil: none

	pending budget
	holders holders

	turn    atomic.Uint64
	sockets atomic.Uint64
	works   sync.WaitGroup
	badAt   atomic.Int64 // when a client's mistake was logged, in seconds
	badMore atomic.Int64 // mistakes that were not

	mistakes atomic.Uint64
	resolves [answerers]atomic.Uint64

	refreshing sync.Mutex // held while routing groups are read again; before mu

	mu            sync.Mutex
	locator       *served            // written once
	services      map[string]*served // all others, by name
	apps          map[string]*App
	published     map[string]*publication
	watchers      map[*watcher]struct{}
	neighbours    []*neighbour
	groups        map[string]*ring // never written to: a change is another map
	groupsVersion uint64
	closed        bool
}

// A served is a service and its doors.
type served struct {
	Service
	own    bool     // one of the Cloud's
	doors  [2]*door // by dialect; the locator's are one
	graphs [2]heddle.Value
}

// Start begins to serve. Close ends it.
func Start(o Options) (_ *Cloud, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	c := &Cloud{opt: o, log: o.Logger, loops: o.Loops, endLoop: func() {}, slots: make(chan struct{}, o.Work), closing: make(chan struct{}), services: map[string]*served{},
		apps: map[string]*App{}, published: map[string]*publication{}, watchers: map[*watcher]struct{}{}, groups: map[string]*ring{}}
	c.pending.most = o.Pending
	c.network, c.addr = splitLocator(o.Locator)
	if c.network == "tcp" {
		if _, _, err := net.SplitHostPort(c.addr); err != nil {
			return nil, fmt.Errorf("host: locator: %w", err)
		}
	}
	if len(c.loops) == 0 {
		if err := c.ownLoop(); err != nil {
			return nil, fmt.Errorf("host: %w", err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close(context.Background()))
		}
	}()
	at, err := c.serve(c.locatorService(), true)
	if err != nil {
		return nil, fmt.Errorf("host: locator: %w", err)
	}
	c.mu.Lock()
	c.locator = at
	c.mu.Unlock()
	own := []Service{c.loggingService(), c.nodeService()}
	if o.Storage != "" {
		if c.store, err = newStore(o.Storage, o.Blob, o.create); err != nil {
			return nil, err
		}
		c.goWork(func() {
			if err := c.store.sweep(); err != nil {
				c.log.Warn("host: storage: what a crash has left stays", "err", err)
			}
		})
		own = append(own, c.store.service())
	}
	for _, s := range own {
		if err := c.add(s, true); err != nil {
			return nil, err
		}
	}
	c.allGroups()
	if err := c.link(); err != nil {
		return nil, err
	}
	return c, nil
}

// ownLoop has a loop run until endLoop.
func (c *Cloud) ownLoop() error {
	l, err := loop.New(loop.Options{Logger: c.log})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { // ends when endLoop closes the loop
		defer close(done)
		if err := l.Run(); err != nil && !errors.Is(err, loop.ErrClosed) {
			c.log.Error("host: loop ended", "err", err)
		}
	}()
	c.loops = []*loop.Loop{l}
	c.endLoop = func() {
		_ = l.Close() // ErrClosed, if it has ended by itself
		<-done
	}
	return nil
}

// Add serves another service. ErrTaken: there is one of that name.
func (c *Cloud) Add(s Service) error { return c.add(s, false) }

func (c *Cloud) add(s Service, own bool) error {
	if s.Name == "" || s.Name == nameLocator {
		return fmt.Errorf("%w: %q", ErrTaken, s.Name)
	}
	sv, err := c.serve(s, false)
	if err != nil {
		return fmt.Errorf("host: %s: %w", s.Name, err)
	}
	sv.own = own
	c.mu.Lock()
	switch {
	case c.closed:
		err = ErrClosed
	case c.services[s.Name] != nil:
		err = fmt.Errorf("%w: %q", ErrTaken, s.Name)
	default:
		c.services[s.Name] = sv
	}
	c.mu.Unlock()
	if err != nil {
		sv.close()
		return err
	}
	c.changed()
	return nil
}

// Remove ends a service: its connections, too. There need be none of that name.
func (c *Cloud) Remove(name string) {
	c.mu.Lock()
	sv := c.services[name]
	if sv != nil && !sv.own {
		delete(c.services, name)
	} else {
		sv = nil
	}
	c.mu.Unlock()
	if sv != nil {
		sv.close()
		c.changed()
	}
}

// serve opens a service's doors: one per dialect, or one for both.
func (c *Cloud) serve(s Service, both bool) (*served, error) {
	s.V0, s.V1 = tallied(s.V0), tallied(s.V1)
	sv := &served{Service: s}
	for _, d := range [...]heddle.Dialect{heddle.V0, heddle.V1} {
		if len(s.methods(d)) == 0 {
			continue
		}
		sv.graphs[d] = graph(d, s.methods(d))
		if both && sv.doors[heddle.V0] != nil {
			sv.doors[d] = sv.doors[heddle.V0]
			continue
		}
		var err error
		if sv.doors[d], err = c.open(&sv.Service, d, both); err != nil {
			sv.close()
			return nil, err
		}
	}
	return sv, nil
}

// each calls f for every door once.
func (s *served) each(f func(d *door)) {
	for i, d := range s.doors {
		if d != nil && (i == 0 || d != s.doors[0]) {
			f(d)
		}
	}
}

func (s *served) close() { s.each((*door).close) }

// Addr is where the locator listens: host:port, or unix:PATH.
func (c *Cloud) Addr() string { return c.AddrOf(nameLocator, heddle.V1) }

// AddrOf is where a service listens for clients of a dialect, as Addr; "": nowhere.
func (c *Cloud) AddrOf(name string, d heddle.Dialect) string {
	sv := c.find(name)
	if sv == nil || sv.doors[d] == nil {
		return ""
	}
	return addrOf(sv.doors[d])
}

// find is a service of this cloud, the locator among them; nil for none.
func (c *Cloud) find(name string) *served {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == nameLocator {
		return c.locator
	}
	return c.services[name]
}

func addrOf(d *door) string {
	a := d.ln.Addr()
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// frameOf is how many bytes a frame to a service may have.
func (c *Cloud) frameOf(name string) int {
	switch name {
	case nameLocator, nameLogging:
		return smallFrame
	}
	return c.opt.Blob + 64<<10
}

// goWork runs f on a goroutine once one of Options.Work places is free, unless the
// Cloud is closed before that.
func (c *Cloud) goWork(f func()) {
	c.works.Go(func() { // ends with f, or before it when closing is closed
		select {
		case c.slots <- struct{}{}:
		case <-c.closing:
			return
		}
		defer func() { <-c.slots }()
		select {
		case <-c.closing: // both were ready
		default:
			f()
		}
	})
}

// Close ends all services and connections. What was answered is delivered to
// clients that take it before ctx ends. ErrClosed: it was closed before.
//
// Calls that have not begun never do. Those of a Slow method, a Node and an App's Info
// and Control that have begun are waited for, whatever ctx says: once Close has
// returned nothing of the Cloud's runs any more.
func (c *Cloud) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.closed = true
	close(c.closing)
	all := slices.Collect(maps.Values(c.services))
	if c.locator != nil {
		all = append(all, c.locator)
	}
	c.mu.Unlock()
	c.unlink()
	for _, sv := range all {
		sv.close()
	}
	for _, sv := range all {
		sv.each(func(d *door) {
			select {
			case <-d.gone:
				return
			case <-ctx.Done():
				d.abort()
			}
			<-d.gone // the loops run on until we are closed
		})
	}
	c.works.Wait()
	c.endLoop()
	return nil
}
