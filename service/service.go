package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
	"github.com/looplab/fsm"
)

// A Service calls the methods of one service, over one connection at a time. Its
// methods may be called from any goroutine, but not from a loop.
type Service struct {
	// Immutable after New.
	o         Options
	endpoints []locator.Endpoint // fixed ones
	plans     *plans
	client    *Client // resolves; nil: nobody does
	loops     *looper
	ownsLoop  bool // nobody else has loops

	cur      atomic.Pointer[conn] // the connection; nil unless connected
	shutting atomic.Bool          // Shutdown was called, and Connect not since

	mu      sync.Mutex
	life    *fsm.FSM
	shut    bool        // Close was called, and Connect not since
	try     *attempt    // to connect; nil: none goes on
	looking bool        // it is about to resolve the name
	again   *time.Timer // begins the next attempt of ReconnectAlways
	tries   int         // attempts and short connections in a row
	since   time.Time   // when the connection was made
	events  []func()    // that are still to be told
	telling bool        // a goroutine tells them
}

// New returns a Service with fixed endpoints. It is closed; the first call
// connects it unless Options.Reconnect says otherwise. Close ends it.
func New(o Options) (*Service, error) { return newService(o, nil) }

func newService(o Options, c *Client) (*Service, error) {
	o, endpoints, err := o.withDefaults(c != nil)
	if err != nil {
		return nil, err
	}
	s := &Service{o: o, endpoints: endpoints, plans: newPlans(o.Definition, o.Timeout), client: c, life: newLife()}
	switch {
	case o.Loop != nil || c == nil:
		s.loops, s.ownsLoop = &looper{given: o.Loop, log: o.Logger}, true
	default:
		s.loops = c.loops
	}
	return s, nil
}

// Name is Options.Name.
func (s *Service) Name() string { return s.o.Name }

// State is one of the states of Lifecycle.
func (s *Service) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.Current()
}

// Resolving says that the service is closed and its name is being looked up.
func (s *Service) Resolving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looking
}

// Endpoint is where the service is connected to, host:port or unix:PATH; empty
// if it is not.
func (s *Service) Endpoint() string {
	if c := s.cur.Load(); c != nil {
		return c.endpoint.String()
	}
	return ""
}

// Dialect is what is spoken on the connection; false if there is none.
func (s *Service) Dialect() (heddle.Dialect, bool) {
	if c := s.cur.Load(); c != nil {
		return c.dialect, true
	}
	return 0, false
}

// Version is that of the service's protocol as its locator told it; 0 without
// a connection or locator.
func (s *Service) Version() uint64 {
	if c := s.cur.Load(); c != nil {
		return c.version
	}
	return 0
}

// InFlight is how many calls and streams the connection carries.
func (s *Service) InFlight() int {
	if c := s.cur.Load(); c != nil {
		return c.mux.Load()
	}
	return 0
}

// An attempt is one try to resolve the name and connect.
type attempt struct {
	// Guarded by the Service's mu.
	waiters  int  // calls that want it
	kept     bool // it goes on without any
	canceled bool
	cancel   context.CancelFunc

	done chan struct{} // closed when what follows is set
	conn *conn
	err  error
}

// errAbandoned is of an attempt that nobody waited for any more.
var errAbandoned = errors.New("service: attempt abandoned")

// Connect resolves the name and connects. It is there in the states closed and
// error, while no attempt goes on, and else a *StateError. If ctx ends and no
// call waits for the connection, too, the attempt is given up.
func (s *Service) Connect(ctx context.Context) error {
	s.mu.Lock()
	if state := s.life.Current(); s.try != nil || state == StateConnecting || state == StateConnected {
		s.mu.Unlock()
		return &StateError{s.o.Name, "Connect", state}
	}
	s.shut = false
	s.shutting.Store(false)
	a := s.beginLocked()
	a.waiters++
	s.mu.Unlock()
	_, err := s.await(ctx, a)
	return err
}

// ready returns a connection, and makes it if that is to be.
func (s *Service) ready(ctx context.Context, method string) (*conn, error) {
	for {
		if c := s.cur.Load(); c != nil {
			return c, nil
		}
		s.mu.Lock()
		state := s.life.Current()
		switch {
		case s.cur.Load() != nil: // just now
			s.mu.Unlock()
			continue
		case s.shut: // though an attempt may be ending
			s.mu.Unlock()
			return nil, &StateError{s.o.Name, method, StateClosed}
		case s.o.Reconnect == ReconnectNever:
			s.mu.Unlock()
			return nil, &StateError{s.o.Name, method, state}
		}
		a := s.try
		if a == nil {
			a = s.beginLocked()
		}
		a.waiters++
		s.mu.Unlock()
		c, err := s.await(ctx, a)
		if err != errAbandoned {
			return c, err
		}
	}
}

// beginLocked begins an attempt.
func (s *Service) beginLocked() *attempt {
	if s.again != nil {
		s.again.Stop()
		s.again = nil
	}
	if s.life.Current() == StateFailed {
		fire(s.life, eventClose)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &attempt{cancel: cancel, done: make(chan struct{})}
	s.try = a
	go s.attempt(ctx, a) // ends when connected, refused everywhere, or cancelled
	return a
}

// await waits for an attempt, of which the caller is counted as a waiter.
func (s *Service) await(ctx context.Context, a *attempt) (*conn, error) {
	select {
	case <-a.done:
		return a.conn, a.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	if a.waiters--; a.waiters == 0 && !a.kept {
		a.canceled = true
		a.cancel()
	}
	s.mu.Unlock()
	return nil, failed(s.o.Name, "connect", context.Cause(ctx))
}

func (s *Service) attempt(ctx context.Context, a *attempt) {
	defer a.cancel()
	c, err := s.connect(ctx, a)
	s.mu.Lock()
	if s.try == a {
		s.try, s.looking = nil, false
	}
	switch {
	case err == nil: // established has moved the state
		a.conn = c
	case a.canceled:
		if a.err = errAbandoned; s.shut {
			a.err = failed(s.o.Name, "connect", ErrClosed)
		}
		fire(s.life, eventClose)
	default:
		a.err = err
		fire(s.life, eventFail)
		s.tries++
		s.pauseLocked()
		s.tellLocked(s.o.OnError, err)
	}
	close(a.done)
	s.mu.Unlock()
}

// established is the loop's: c is there. False: nobody wants it any more.
func (s *Service) established(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.try != c.try || c.try.canceled || !fire(s.life, eventConnect) {
		return false
	}
	s.since = time.Now()
	s.try = nil // it has only to tell those who wait
	s.cur.Store(c)
	if f := s.o.OnConnect; f != nil {
		s.tellLocked(func(error) { f() }, nil)
	}
	return true
}

// lost is the loop's: c has ended, and not by Close.
func (s *Service) lost(c *conn, err error) {
	if s.client != nil {
		s.client.cache.drop(s.o.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur.Load() != c {
		return // Close was first
	}
	s.cur.Store(nil)
	fire(s.life, eventLose)
	if time.Since(s.since) > mostPause {
		s.tries = 0
	}
	s.pauseLocked()
	s.tries++
	err = &placed{"service " + s.o.Name + ": " + bare(disconnected(err)), []error{ErrDisconnected, err}}
	s.tellLocked(s.o.OnError, err)
	s.tellLocked(s.o.OnClose, err)
}

// pauseLocked begins the pause of ReconnectAlways.
func (s *Service) pauseLocked() {
	if s.o.Reconnect != ReconnectAlways || s.shut {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(pause(s.tries), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.again != t || s.shut || s.try != nil || s.cur.Load() != nil {
			return
		}
		s.beginLocked().kept = true
	})
	s.again = t
}

// Close ends the connection: what was not sent is dropped, and calls in flight
// fail with ErrClosed. Calls that follow do so, too, until Connect. It may be
// called in any state, and always returns nil. A Service that is not used any
// more has to be closed.
func (s *Service) Close() error {
	s.mu.Lock()
	s.shut = true
	if s.again != nil {
		s.again.Stop()
		s.again = nil
	}
	a, c := s.try, s.cur.Load()
	if a != nil {
		a.canceled = true
		a.cancel()
	}
	if c != nil {
		s.cur.Store(nil)
		s.tellLocked(s.o.OnClose, nil)
	}
	if a == nil { // an attempt does that itself
		fire(s.life, eventClose)
	}
	s.mu.Unlock()
	if a != nil {
		<-a.done
	}
	if c != nil {
		c.mux.Abort(ErrClosed)
		<-c.gone
	}
	if s.client != nil {
		s.client.leave(s)
	}
	if s.ownsLoop {
		s.loops.stop()
	}
	return nil
}

// Shutdown is Close once all calls have ended and all that was said has left.
// Calls that follow fail with ErrClosed. If ctx ends first it is Close at once,
// and returns the context's error.
func (s *Service) Shutdown(ctx context.Context) (err error) {
	s.mu.Lock()
	s.shut = true
	s.shutting.Store(true)
	c := s.cur.Load()
	s.mu.Unlock()
	if c != nil {
		err = c.drain(ctx)
	}
	s.Close()
	return err
}

// tellLocked has f called with err, behind the events before it.
func (s *Service) tellLocked(f func(error), err error) {
	if f == nil {
		return
	}
	s.events = append(s.events, func() { f(err) })
	if !s.telling {
		s.telling = true
		go s.tellLoop() // ends when all is told
	}
}

func (s *Service) tellLoop() {
	s.mu.Lock()
	for len(s.events) > 0 {
		f := s.events[0]
		s.events = s.events[1:]
		s.mu.Unlock()
		f()
		s.mu.Lock()
	}
	s.telling = false
	s.mu.Unlock()
}

// Methods are those that the service has, by id: what its locator told, or
// Options.Methods. It connects if a call would.
func (s *Service) Methods(ctx context.Context) ([]*session.Method, error) {
	c, err := s.ready(ctx, "Methods")
	if err != nil {
		return nil, err
	}
	return c.all, nil
}
