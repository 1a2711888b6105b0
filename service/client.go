package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/locator"
)

// DefaultLocators are where a Client looks for a locator unless told otherwise.
var DefaultLocators = []string{"127.0.0.1:10053", "[::1]:10053"}

// ClientOptions configure a Client; the zero value asks the locator of this
// machine.
type ClientOptions struct {
	// Locators are host:port or unix:PATH, asked in this order: one that cannot be
	// reached, or does not answer in time, leaves the question to the next, and is
	// asked after the others for DeadTime.
	// Default DefaultLocators.
	Locators []string

	// Dialect is that of the locators and of the services that they name. By
	// default each locator is tried in v1 first: its answer tells.
	Dialect Dialect

	// CacheTime is how long an answer is used again; default 10 s, below 0: never.
	// CacheSize is how many are kept; default 1,024.
	CacheTime time.Duration
	CacheSize int

	// DeadTime is how long an endpoint that could not be connected to is tried
	// after all others; default 5 s.
	DeadTime time.Duration

	Timeout     time.Duration // of one question; default 30 s, below 0: none
	DialTimeout time.Duration // as in Options
	Limits      codec.Limits

	Loop   *loop.Loop // nil: one that the Client runs until Close
	Logger *slog.Logger

	// Definitions are by the names of the services that they are for. A Service
	// whose Options have one of their own does without.
	Definitions map[string]*Definition
}

// A Client makes Services by name. Its methods may be called from any goroutine.
type Client struct {
	// Immutable after NewClient.
	o         ClientOptions
	endpoints []locator.Endpoint // of locators, in the order of the options
	locators  map[locator.Endpoint]*resolver
	loops     *looper
	cache     *cache
	loads     *loads

	mu       sync.Mutex
	shut     bool
	services map[*Service]struct{}
}

// NewClient returns a Client. It connects to nobody yet. Close ends it.
func NewClient(o ClientOptions) (*Client, error) {
	if len(o.Locators) == 0 {
		o.Locators = DefaultLocators
	}
	if o.Dialect > DialectV1 {
		return nil, errors.New("service: no such dialect")
	}
	setDefault(&o.CacheTime, DefaultCacheTime)
	setDefault(&o.CacheSize, DefaultCacheSize)
	setDefault(&o.DeadTime, DefaultDeadTime)
	if o.DialTimeout <= 0 {
		o.DialTimeout = DefaultDialTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		o: o, loops: &looper{given: o.Loop, log: o.Logger}, cache: newCache(o.CacheTime, o.CacheSize), loads: newLoads(o.DeadTime),
		services: make(map[*Service]struct{}), locators: make(map[locator.Endpoint]*resolver),
	}
	for _, l := range o.Locators {
		e, err := locator.ParseEndpoint(l)
		if err != nil {
			return nil, fmt.Errorf("service: %w", err)
		}
		if c.locators[e] == nil {
			c.endpoints = append(c.endpoints, e)
			c.locators[e] = newResolver(c, e)
		}
	}
	return c, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Service returns a service by name. It is closed, and resolved when it connects.
func (c *Client) Service(name string) (*Service, error) {
	return c.NewService(Options{Name: name})
}

// NewService is Service with options. With Endpoints nobody is asked to resolve.
func (c *Client) NewService(o Options) (*Service, error) {
	if o.Definition == nil {
		o.Definition = c.o.Definitions[o.Name]
	}
	if o.Logger == nil {
		o.Logger = c.o.Logger
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = c.o.DialTimeout
	}
	s, err := newService(o, c)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil, ErrClosed
	}
	c.services[s] = struct{}{}
	return s, nil
}

// Get returns a service as whatever make makes of it: a Go type of one's own that
// has the service's methods, with their arguments and results.
func Get[T any](c *Client, name string, make func(*Service) T) (T, error) {
	s, err := c.Service(name)
	if err != nil {
		var none T
		return none, err
	}
	return make(s), nil
}

// leave is a Service's that was closed. It may Connect again; then its owner
// closes it before the Client.
func (c *Client) leave(s *Service) {
	c.mu.Lock()
	delete(c.services, s)
	c.mu.Unlock()
}

// enter is a Service's that connects. False: the Client was closed.
func (c *Client) enter(s *Service) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shut {
		c.services[s] = struct{}{}
	}
	return !c.shut
}

// Close closes all services that the Client has made and the connections to its
// locators. It always returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	c.shut = true
	all := make([]*Service, 0, len(c.services))
	for s := range c.services {
		all = append(all, s)
	}
	c.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	c.cache.close()
	for _, r := range c.locators {
		r.close()
	}
	c.loops.stop()
	return nil
}

// Resolve asks the locators for a service, unless the answer is known.
func (c *Client) Resolve(ctx context.Context, name string) (locator.Info, error) {
	t, err := c.find(ctx, name)
	return t.info(), err
}

// find is Resolve with the endpoints in the order in which to try them.
func (c *Client) find(ctx context.Context, name string) (target, error) {
	t, err := c.cache.get(ctx, name, func(ctx context.Context) (target, error) { return c.ask(ctx, name) })
	if err == nil {
		t.endpoints = c.loads.sorted(t.endpoints)
	}
	return t, err
}

// ask asks the locators in order, those that have not answered of late last.
func (c *Client) ask(ctx context.Context, name string) (target, error) {
	var errs []error
	for _, e := range c.loads.sorted(c.endpoints) {
		t, err := c.locators[e].ask(ctx, name)
		var said *Error
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil, errors.As(err, &said), errors.Is(err, ErrNotAvailable): // a locator that answers is believed
			return t, err
		}
		c.loads.died(e)
		errs = append(errs, err)
	}
	return target{}, refused(errs)
}

// loads knows how many connections each endpoint has from here, and which could
// not be connected to of late.
type loads struct {
	deadTime time.Duration

	mu    sync.Mutex
	conns map[locator.Endpoint]int
	dead  map[locator.Endpoint]time.Time // until when
}

// mostDead is how many dead endpoints are remembered.
const mostDead = 4096

func newLoads(deadTime time.Duration) *loads {
	return &loads{deadTime: deadTime, conns: make(map[locator.Endpoint]int), dead: make(map[locator.Endpoint]time.Time)}
}

// add counts a connection that was made (1) or has ended (-1).
func (l *loads) add(e locator.Endpoint, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[e] += n; l.conns[e] <= 0 {
		delete(l.conns, e)
	}
	if n > 0 {
		delete(l.dead, e)
	}
}

func (l *loads) died(e locator.Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now()
	if len(l.dead) >= mostDead {
		for e, until := range l.dead {
			if at.After(until) || len(l.dead) >= mostDead {
				delete(l.dead, e)
			}
		}
	}
	l.dead[e] = at.Add(l.deadTime)
}

// sorted returns the endpoints in the order in which to try them: those with the
// fewest connections first, dead ones last, and equals as they were.
func (l *loads) sorted(all []locator.Endpoint) []locator.Endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now()
	weight := func(e locator.Endpoint) int {
		if until, ok := l.dead[e]; ok && at.Before(until) {
			return 1<<30 + l.conns[e]
		}
		return l.conns[e]
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b locator.Endpoint) int { return weight(a) - weight(b) })
	return all
}
