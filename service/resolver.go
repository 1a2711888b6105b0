package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

// A resolver asks one locator. It has one connection to it, which is made with the
// first question.
type resolver struct {
	client   *Client
	endpoint locator.Endpoint
	telling  chan struct{} // has one element while somebody asks for the dialect

	mu       sync.Mutex
	shut     bool
	told     bool // dialect is known
	dialect  Dialect
	services [2]*Service // of v0 and v1, made when needed
}

func newResolver(c *Client, e locator.Endpoint) *resolver {
	return &resolver{client: c, endpoint: e, telling: make(chan struct{}, 1), told: c.o.Dialect != DialectAuto, dialect: c.o.Dialect}
}

// rawResult is how resolve is called.
var rawResult = Definition{Default: Method{Unpack: Raw}}

// ask resolves a name.
func (r *resolver) ask(ctx context.Context, name string) (target, error) {
	d, err := r.tell(ctx, name)
	if err != nil {
		return target{}, err
	}
	s, err := r.service(d)
	if err != nil {
		return target{}, err
	}
	v, err := s.Call(ctx, locator.Resolve.Name, name)
	if err != nil {
		var said *Error
		if !errors.As(err, &said) {
			r.forget() // it may be another runtime when it is there again
		}
		return target{}, r.failed(err)
	}
	p, _ := v.([]byte)
	info, err := locator.Decode(d.wire(), p)
	if err != nil {
		return target{}, r.failed(err)
	}
	if len(info.Endpoints) == 0 {
		return target{}, r.failed(ErrNotAvailable)
	}
	return target{endpoints: info.Endpoints, dialect: d.wire(), version: info.Version, methods: info.Methods, controls: info.Controls}, nil
}

// failed is an error of this locator's: its address stands for the service's name and
// the method, which are the same for all.
func (r *resolver) failed(err error) error {
	text := strings.TrimPrefix(bare(err), "service locator: ")
	return &placed{"service: locator " + r.endpoint.String() + ": " + strings.TrimPrefix(text, locator.Resolve.Name+": "), []error{err}}
}

// service is what asks in dialect d.
func (r *resolver) service(d Dialect) (*Service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.services[d.wire()]
	switch {
	case r.shut:
		return nil, ErrClosed
	case *at != nil:
		return *at, nil
	}
	o := r.client.o
	s, err := New(Options{
		Name: "locator", Endpoints: []string{r.endpoint.String()}, Dialect: d, Methods: []*session.Method{locator.Resolve}, Definition: &rawResult,
		Timeout: o.Timeout, DialTimeout: o.DialTimeout, Limits: o.Limits, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.loops, s.ownsLoop = r.client.loops, false
	*at = s
	return s, nil
}

func (r *resolver) close() {
	r.mu.Lock()
	r.shut = true
	all := r.services
	r.mu.Unlock()
	for _, s := range all {
		if s != nil {
			s.Close()
		}
	}
}

// forget forgets the locator's dialect, if it was told by its answer.
func (r *resolver) forget() {
	r.mu.Lock()
	r.told = r.client.o.Dialect != DialectAuto
	r.mu.Unlock()
}

// known is the locator's dialect, if it was told.
func (r *resolver) known() (d Dialect, told bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return r.dialect, false, ErrClosed
	}
	return r.dialect, r.told, nil
}

// tell returns the locator's dialect. It asks in v1 on a connection of its own:
// a runtime of v0 takes that for method 1 on session 0, and answers there or not
// at all; one of v1 answers on channel 1.
func (r *resolver) tell(ctx context.Context, name string) (Dialect, error) {
	if d, told, err := r.known(); told || err != nil {
		return d, err
	}
	select { // one connection does for all
	case r.telling <- struct{}{}:
		defer func() { <-r.telling }()
	case <-ctx.Done():
		return DialectAuto, context.Cause(ctx)
	}
	d, told, err := r.known()
	if told || err != nil {
		return d, err
	}
	l, err := r.client.loops.get()
	if err != nil {
		return d, err
	}
	args, err := PackEach(nil, heddle.V1, []any{name})
	if err != nil {
		return d, fmt.Errorf("service: resolve: %w", err)
	}
	said := make(chan Dialect, 1)
	failed := make(chan error, 1)
	opened := make(chan struct{}, 1)
	ch, err := session.Dial(l, r.endpoint.Network(), r.endpoint.Address(), session.Callbacks{
		OnConnect: func() { opened <- struct{}{} },
		OnLost:    func(err error) { failed <- err },
		OnCall: func(first, second uint64, _ []byte) {
			d := DialectV1
			if first != 1 && second == 0 {
				d = DialectV0
			}
			select {
			case said <- d:
			default:
			}
		},
	}, session.ChannelOptions{Dialect: heddle.V1, Service: true, Limits: r.client.o.Limits, DialTimeout: r.client.o.DialTimeout})
	if err != nil {
		return d, r.failed(disconnected(err))
	}
	defer ch.Close()
	var late <-chan time.Time
	if t := r.client.o.timeout(); t > 0 {
		timer := time.NewTimer(t)
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case <-opened:
			if err = ch.Send(1, codec.AppendMethod(nil, heddle.V1, 1, locator.MethodResolve, args)); err != nil {
				err = disconnected(err)
			}
		case cause := <-failed:
			var op *net.OpError
			if errors.As(cause, &op) {
				cause = op.Err // the endpoint is named below
			}
			err = disconnected(cause)
		case <-late:
			err = ErrTimeout
		case <-ctx.Done():
			err = context.Cause(ctx)
		case d = <-said:
			r.mu.Lock()
			r.dialect, r.told = d, true
			r.mu.Unlock()
			return d, nil
		}
		if err != nil {
			return d, r.failed(err)
		}
	}
}

// timeout is that of one question; 0: none.
func (o *ClientOptions) timeout() time.Duration {
	switch {
	case o.Timeout == 0:
		return DefaultTimeout
	case o.Timeout < 0:
		return 0
	}
	return o.Timeout
}
