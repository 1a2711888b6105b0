package service

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

// Defaults of Options and ClientOptions.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultDialTimeout = 5 * time.Second
	DefaultBuffer      = 1 << 20 // bytes
	DefaultCacheTime   = 10 * time.Second
	DefaultCacheSize   = 1024
	DefaultDeadTime    = 5 * time.Second
)

// A Dialect says what is spoken to a service or locator.
type Dialect uint8

const (
	DialectAuto Dialect = iota // a service: its locator's, or v1; a locator: told by its answer
	DialectV0                  // that of Cocaine 0.10 and 0.11
	DialectV1                  // that of Cocaine 0.12, and Heddle's
)

func (d Dialect) wire() heddle.Dialect {
	if d == DialectV0 {
		return heddle.V0
	}
	return heddle.V1
}

// A Reconnect says what makes a Service connect beside Connect.
type Reconnect uint8

const (
	// ReconnectOnCall: a call that finds no connection makes one.
	ReconnectOnCall Reconnect = iota

	// ReconnectNever: a call that finds no connection fails with a *StateError.
	ReconnectNever

	// ReconnectAlways is ReconnectOnCall, and a connection that was made, lost or
	// could not be made is made again at once, then with pauses that double from
	// 100 ms to 10 s, each up to half shorter by chance.
	ReconnectAlways
)

// The pauses of ReconnectAlways.
const (
	leastPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second
)

// pause is how long to wait before attempt n, from 0.
func pause(n int) time.Duration {
	if n == 0 {
		return 0
	}
	d := min(leastPause<<min(n-1, 10), mostPause)
	return d - rand.N(d/2)
}

// Options say what a Service is. It needs Endpoints, or a Name that a Client
// resolves.
type Options struct {
	Name string // also for errors and logs; default the first of Endpoints

	// Endpoints are where the service listens, host:port or unix:PATH, tried in
	// this order. With them nobody is asked to resolve the name, and Methods are
	// all that can be called.
	Endpoints []string
	Dialect   Dialect
	Methods   []*session.Method

	Definition *Definition
	Reconnect  Reconnect

	// Timeout ends a call, and the peer's stream of one, of which nothing was heard
	// for so long. Default 30 s; below 0: none.
	Timeout     time.Duration
	DialTimeout time.Duration // of each endpoint, its look-up included; default 5 s

	// Buffer is how many bytes of a stream may wait to be read, or one message that is
	// longer; default 1 MiB.
	Buffer int
	Limits codec.Limits // of one frame

	// Loop is where the connection lives. nil: the Client's, or one that the
	// Service runs until Close.
	Loop   *loop.Loop
	Logger *slog.Logger // nil: none

	// The events, each once per occurrence, one after the other, on a goroutine of
	// their own: Close may have returned when the last is told. They may call the
	// Service.
	OnConnect func()          // connected
	OnError   func(err error) // could not be connected, or the connection was lost
	OnClose   func(err error) // the connection has ended; nil: by Close
}

// mostMessage is what the session room lets one call have at once: any one message.
// What waits of a stream is counted here, against Buffer.
func (o *Options) mostMessage() int {
	if o.Limits.Frame > 0 {
		return o.Limits.Frame
	}
	return codec.DefaultFrame
}

// withDefaults are the options with their defaults, and the endpoints read.
func (o Options) withDefaults(resolves bool) (Options, []locator.Endpoint, error) {
	var all []locator.Endpoint
	for _, s := range o.Endpoints {
		e, err := locator.ParseEndpoint(s)
		if err != nil {
			return o, nil, fmt.Errorf("service: %w", err)
		}
		all = append(all, e)
	}
	switch {
	case len(all) == 0 && !resolves:
		return o, nil, errors.New("service: neither endpoints nor a client that resolves the name")
	case len(all) == 0 && o.Name == "":
		return o, nil, errors.New("service: no name to resolve")
	case o.Reconnect > ReconnectAlways || o.Dialect > DialectV1:
		return o, nil, errors.New("service: no such choice of Reconnect or Dialect")
	}
	if o.Name == "" {
		o.Name = o.Endpoints[0]
	}
	switch {
	case o.Timeout == 0:
		o.Timeout = DefaultTimeout
	case o.Timeout < 0:
		o.Timeout = 0
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = DefaultDialTimeout
	}
	if o.Buffer <= 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, all, nil
}
