package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/session"
)

// Defaults and bounds.
const (
	DefaultTimeout        = 30 * time.Second
	DefaultConnectTimeout = 5 * time.Second
	DefaultRefresh        = 2 * time.Minute

	maxApps    = 1024    // that one loop knows at a time
	maxWaiting = 4096    // requests of one loop that wait for a connection
	maxConns   = 4       // of one app and loop, for new requests
	maxName    = 256     // bytes of an app's name, as locators have it
	maxEvent   = 1 << 10 // bytes
	mostEvents = 64      // of one app, that are kept
	mostLines  = 10      // of one loop's log, in a second, of apps that cannot be reached
)

// Options configure a Gateway. Loops is needed.
type Options struct {
	// Locators are asked in this order (service.ClientOptions). Default: this
	// machine's. Dialect is theirs; by default it is told by their answers.
	Locators []string
	Dialect  service.Dialect

	// Loops are the front's. They run until the Gateway was closed.
	Loops []*loop.Loop

	// Timeout is how long an app may take to begin its answer; then 504. Default
	// 30 s; below 0: no limit.
	Timeout time.Duration

	// ConnectTimeout is how long it may take to resolve an app and connect to it;
	// then 503. Default 5 s.
	ConnectTimeout time.Duration

	// Refresh is for how long a connection gets new requests before the locator
	// is asked again, up to double of that by chance. Default 2 minutes.
	Refresh time.Duration

	// JSONRPC lets requests with X-Cocaine-JSON-RPC call any method of any service.
	JSONRPC bool

	// Bodies is what requests may hold together whose bodies are read whole, in bytes.
	// Default httpcompat.DefaultBodies.
	Bodies int64

	Logger *slog.Logger // nil: slog.Default()
}

// A Gateway is the front's Backend and the handler for what net/http has. Its
// methods may be called from any goroutine but those that the front calls.
type Gateway struct {
	// Immutable after New.
	o      Options
	log    *slog.Logger
	client *service.Client
	lanes  []*lane
	limits front.AppLimits
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	bodies httpcompat.Bodies // what net/http has of requests and results, whole

	turn  atomic.Uint64         // of the lanes, for requests by net/http
	apps  sync.Map              // *Origin by name: those that were connected to
	conns sync.Map              // *conn by *session.Mux
	rings atomic.Pointer[rings] // nil: the locator has told none
	alive atomic.Bool           // a locator has answered of late
	gone  atomic.Bool           // Close was called

	badAt   atomic.Int64 // when a request was last said to be refused, in seconds
	badMore atomic.Int64 // those that were not

	counts counts
}

var (
	_ front.Dispatcher = (*Gateway)(nil)
	_ front.Limiter    = (*Gateway)(nil)
)

// New returns a Gateway that begins to look after its locators. Close ends it.
func New(o Options) (*Gateway, error) {
	if len(o.Loops) == 0 {
		return nil, errors.New("gateway: no loops")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	o.Timeout = max(o.Timeout, 0)
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.Refresh <= 0 {
		o.Refresh = DefaultRefresh
	}
	if len(o.Locators) == 0 {
		o.Locators = service.DefaultLocators
	}
	client, err := service.NewClient(service.ClientOptions{
		Locators: o.Locators, Dialect: o.Dialect, Timeout: o.ConnectTimeout, DialTimeout: o.ConnectTimeout, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{o: o, log: o.Logger, client: client, limits: front.AppLimits{ResponseHeaderTimeout: o.Timeout}}
	g.bodies.Limit = o.Bodies
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for i, l := range o.Loops {
		g.lanes = append(g.lanes, &lane{g: g, index: i, loop: l, apps: make(map[string]*app), conns: make(map[*conn]struct{})})
	}
	g.wg.Go(g.watchLoop)   // ends with Close
	g.wg.Go(g.routingLoop) // likewise
	return g, nil
}

// SetLimits sets those of the front's limits that hold for every request, before
// the front serves. The time that an app may take stays the Gateway's.
func (g *Gateway) SetLimits(l front.AppLimits) {
	l.ResponseHeaderTimeout = g.o.Timeout
	g.limits = l
}

// Loops are the front's.
func (g *Gateway) Loops() []*loop.Loop { return g.o.Loops }

// OpenOn is never called: a Dispatcher is asked for another Opener first.
func (g *Gateway) OpenOn(int, session.OpenOptions, func(*session.Session, error)) (*session.Session, func() bool, error) {
	return nil, nil, errors.New("gateway: no app was asked for")
}

// Close ends the connections to apps and locators, with whatever is under way on
// them. The loops must run still.
func (g *Gateway) Close() {
	if g.gone.Swap(true) {
		return
	}
	g.cancel()
	for _, ln := range g.lanes {
		closed := make(chan struct{})
		if ln.loop.Do(func() { defer close(closed); ln.close() }) == nil {
			<-closed
		}
	}
	g.wg.Wait()
	g.client.Close()
}

// An Origin is the tag of an app's connections, on every loop.
type Origin struct{ app string }

// Labels are the app's name, and no release.
func (o *Origin) Labels() (app, release string) { return o.app, "" }

// origin is the one of an app.
func (g *Gateway) origin(app string) *Origin {
	o, ok := g.apps.Load(app)
	if !ok {
		o, _ = g.apps.LoadOrStore(app, &Origin{app})
	}
	return o.(*Origin)
}

// Apps are those that were ever connected to, in order.
func (g *Gateway) Apps() (names []string) {
	g.apps.Range(func(name, _ any) bool {
		names = append(names, name.(string))
		return true
	})
	slices.Sort(names)
	return names
}

// Alive says whether a locator has answered of late.
func (g *Gateway) Alive() bool { return g.alive.Load() }

// How often locators are asked whether they are there.
const (
	watchEvery = 5 * time.Second
	watchAgain = time.Second // after one that was not
)

func (g *Gateway) watchLoop() {
	told := true
	for {
		ctx, cancel := context.WithTimeout(g.ctx, g.o.ConnectTimeout)
		_, err := g.client.Ping(ctx)
		cancel()
		if g.ctx.Err() != nil {
			return
		}
		g.alive.Store(err == nil)
		pause := watchEvery
		switch {
		case err != nil && told:
			g.log.Error("gateway: no locator answers", "err", err)
			told = false
		case err == nil && !told:
			g.log.Info("gateway: a locator answers again")
			told = true
		}
		if err != nil {
			pause = watchAgain
		}
		if !g.sleep(pause) {
			return
		}
	}
}

// sleep waits, and says whether the Gateway is still open.
func (g *Gateway) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-g.ctx.Done():
		return false
	}
}

// locate asks where an app is.
func (g *Gateway) locate(name string) (service.Located, *session.Method, error) {
	ctx, cancel := context.WithTimeout(g.ctx, g.o.ConnectTimeout)
	defer cancel()
	at, err := g.client.Locate(ctx, name)
	if err != nil {
		g.counts.located(err)
		return at, nil, err
	}
	m := at.Method(enqueue)
	if m == nil || m.ID != enqueueID {
		g.counts.located(service.ErrNotAvailable)
		g.client.Forget(name) // it may become one
		return at, nil, errNoApp
	}
	g.counts.located(nil)
	return at, m, nil
}

// enqueue is the method of an app's service that takes events (PROTOCOL 2.5, 3.5). That
// of node, under another number, takes an app's name before the event.
const (
	enqueue   = "enqueue"
	enqueueID = 0
)

var errNoApp = errors.New("gateway: the service is no app: it has no method enqueue")

// Stats is what a Gateway has now.
type Stats struct {
	Apps        int // known on a loop, counted there
	Connections int
	Waiting     int // requests
}

// Stats asks every loop. One that does not turn for a second is left out.
func (g *Gateway) Stats() (st Stats) {
	told := make(chan Stats, len(g.lanes))
	asked := 0
	for _, ln := range g.lanes {
		if ln.loop.Do(func() { told <- Stats{len(ln.apps), len(ln.conns), ln.waiting} }) == nil {
			asked++
		}
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	for range asked {
		select {
		case one := <-told:
			st.Apps += one.Apps
			st.Connections += one.Connections
			st.Waiting += one.Waiting
		case <-late.C:
			return st
		}
	}
	return st
}
