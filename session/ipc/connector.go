package ipc

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// ConnectorOptions configure a Connector; the zero value works.
type ConnectorOptions struct {
	DialOptions

	Retry        time.Duration // from a failed try to the next, before the first connection; default 1 s
	ReconnectMin time.Duration // from the end of a connection to the next try, and from try to try then: at least; default 100 ms
	ReconnectMax time.Duration // and at most: each time is drawn from between; default as ReconnectMin, or 1 s without both

	// OnChange hears of every change, in order, on the Connector's goroutine: while
	// it runs nothing else is tried. Close waits for it, and so must not be called there.
	OnChange func(Change)
}

func (o ConnectorOptions) withDefaults() ConnectorOptions {
	setDefault(&o.Retry, time.Second)
	if o.ReconnectMin <= 0 && o.ReconnectMax <= 0 {
		o.ReconnectMax = time.Second
	}
	setDefault(&o.ReconnectMin, 100*time.Millisecond)
	o.ReconnectMax = max(o.ReconnectMax, o.ReconnectMin)
	return o
}

// A ChangeKind says what a Change tells.
type ChangeKind uint8

const (
	Connected    ChangeKind = iota // for the first time
	Reconnected                    // and again
	Disconnected                   // Err says why; nil if the server closed in order
	Failed                         // a try to connect, with Err; the next is after Wait
	Closed                         // by Close; the last change
)

// A Change is what a Connector tells its OnChange.
type Change struct {
	Kind ChangeKind
	Peer *Peer // of Connected and Reconnected
	Err  error
	Wait time.Duration // until the next try, of Disconnected and Failed
}

// A Connector is a client that tries until the server is there, and again
// whenever it has gone. What is sent while it is down fails at once: nothing is
// kept for later. Its methods may be called from any goroutine but the loop's.
type Connector struct {
	// Immutable after Connect.
	path string
	o    ConnectorOptions
	own  *loop.Loop // to be closed in the end; nil if it was given
	end  context.CancelFunc
	done chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	peer   *Peer // nil while down
	closed bool
}

// Connect begins to connect to the server at path, and returns at once.
func Connect(path string, o ConnectorOptions) (*Connector, error) {
	o = o.withDefaults()
	if o.Hub == nil {
		o.Hub = NewHub(HubOptions{Logger: o.Logger})
	}
	c := &Connector{path: path, o: o, done: make(chan struct{})}
	if o.Loop == nil {
		l, err := loop.New(loop.Options{Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		go l.Run() // ends when Close closes the loop
		c.own, c.o.Loop = l, l
	}
	ctx, end := context.WithCancel(context.Background())
	c.end = end
	go c.run(ctx, func(ctx context.Context) (client, error) { return Dial(ctx, c.path, c.o.DialOptions) }) // ends when Close cancels ctx
	return c, nil
}

// A client is what a Connector needs of a Client.
type client interface {
	Peer() *Peer
	Done() <-chan struct{}
	Close() error
}

// run connects again and again.
func (c *Connector) run(ctx context.Context, dial func(context.Context) (client, error)) {
	defer close(c.done)
	wait := func() time.Duration { return c.o.Retry }
	kind := Connected
	for {
		cl, err := dial(ctx)
		var d time.Duration
		if err == nil {
			c.set(cl.Peer())
			c.tell(Change{Kind: kind, Peer: cl.Peer()})
			kind, wait = Reconnected, c.jitter
			select {
			case <-cl.Done():
			case <-ctx.Done():
			}
			c.set(nil)
			_ = cl.Close() // what is left of it
			if ctx.Err() != nil {
				break
			}
			d = wait()
			c.tell(Change{Kind: Disconnected, Err: cl.Peer().Err(), Wait: d})
		} else if ctx.Err() != nil {
			break
		} else {
			d = wait()
			c.tell(Change{Kind: Failed, Err: err, Wait: d})
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	c.tell(Change{Kind: Closed})
}

// jitter is a time between the two bounds.
func (c *Connector) jitter() time.Duration {
	return c.o.ReconnectMin + rand.N(c.o.ReconnectMax-c.o.ReconnectMin+1)
}

func (c *Connector) set(p *Peer) {
	c.mu.Lock()
	c.peer = p
	c.mu.Unlock()
}

func (c *Connector) tell(ch Change) {
	if c.o.OnChange != nil {
		c.o.OnChange(ch)
	}
}

// Hub has the handlers of what the server sends.
func (c *Connector) Hub() *Hub { return c.o.Hub }

// Peer is the server; ErrDown while it is not there, ErrClosed after Close.
func (c *Connector) Peer() (*Peer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, ErrClosed
	case c.peer == nil:
		return nil, ErrDown
	}
	return c.peer, nil
}

// Post is Peer.Post; ErrDown and ErrClosed as Peer.
func (c *Connector) Post(ctx context.Context, m Message) error {
	p, err := c.Peer()
	if err != nil {
		return err
	}
	return c.down(p.Post(ctx, m))
}

// Send is Peer.Send; ErrDown and ErrClosed as Peer.
func (c *Connector) Send(ctx context.Context, m Message) (*Ack, error) {
	p, err := c.Peer()
	if err != nil {
		return nil, err
	}
	a, err := p.Send(ctx, m)
	return a, c.down(err)
}

// Request is Peer.Request; ErrDown and ErrClosed as Peer.
func (c *Connector) Request(ctx context.Context, q Query) iter.Seq2[Reply, error] {
	p, err := c.Peer()
	if err != nil {
		return func(yield func(Reply, error) bool) { yield(Reply{}, err) }
	}
	return p.Request(ctx, q)
}

// down makes ErrDown of a peer that has gone a moment ago, beside it.
func (c *Connector) down(err error) error {
	if errors.Is(err, ErrPeerDied) {
		return errors.Join(ErrDown, err)
	}
	return err
}

// Close ends the connection once what was sent has left, and the trying. It
// returns when nothing of the Connector runs any more; a second call does nothing.
func (c *Connector) Close() error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	c.end()
	<-c.done
	if again || c.own == nil {
		return nil
	}
	return c.own.Close()
}
