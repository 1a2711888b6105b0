package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options are a run. All but Target have defaults.
type Options struct {
	Target   Target
	TLS      TLS       // of a target that speaks it
	Requests []Request // which are sent, by weight; default one GET of the target's path

	Threads  int           // loops, each with its share of the connections and of the Pace; default 1
	Conns    int           // connections, of all; default 10
	Pace     *Pace         // nil: the closed model
	Duration time.Duration // how long requests are sent; default the Pace's length, else 10 s
	Warmup   time.Duration // the first part of Duration, which is not measured; default none
	Timeout  time.Duration // for an answer, and for an attempt to connect; default 5 s
	Count    uint64        // requests after which the run ends, those of the warm-up included; 0: no limit

	Pipeline  int           // requests outstanding on one connection; default 1
	GiveUp    bool          // end at once if none of the connections can be made at first
	Reconnect bool          // a connection for each request
	Think     time.Duration // how long a connection of the closed model rests after an answer; default not at all

	IDField string // the field that takes a request's id there and back; default X-Request-Id
	NoIDs   bool   // send none: answers are told apart by their place on the connection alone
	Seed    uint64 // of what is drawn: which request is next

	Interval   time.Duration  // of what is reported over time; default 1 s
	OnInterval func(Interval) // is told of each, not on the loop; default nobody

	Logger *slog.Logger // of the loop; default slog.Default()
}

// DefaultDuration is how long requests are sent in the closed model.
const DefaultDuration = 10 * time.Second

// Limits of Options.
const (
	maxThreads   = 256
	maxConns     = 100_000
	maxPipeline  = 1024
	maxInFlight  = 1_000_000 // requests on all connections together
	maxIntervals = 100_000
	maxTimeout   = time.Hour
)

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Threads, 1)
	setDefault(&o.Conns, 10)
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.Pipeline, 1)
	setDefault(&o.IDField, "X-Request-Id")
	setDefault(&o.Interval, time.Second)
	if o.Duration == 0 {
		if o.Duration = DefaultDuration; o.Pace != nil {
			o.Duration = o.Pace.Length()
		}
	}
	if len(o.Requests) == 0 {
		o.Requests = []Request{{}}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case o.Target.Address == "":
		return o, errors.New("bench: no target")
	case o.Conns < 1 || o.Conns > maxConns:
		return o, fmt.Errorf("bench: %d connections; want 1 to %d", o.Conns, maxConns)
	case o.Threads < 1 || o.Threads > min(maxThreads, o.Conns):
		return o, fmt.Errorf("bench: %d threads for %d connections; want 1 to %d, and no more than connections", o.Threads, o.Conns, maxThreads)
	case o.Pipeline < 1 || o.Pipeline > maxPipeline:
		return o, fmt.Errorf("bench: %d requests outstanding on a connection; want 1 to %d", o.Pipeline, maxPipeline)
	case o.Conns*o.Pipeline > maxInFlight:
		return o, fmt.Errorf("bench: %d connections with %d requests outstanding on each; want up to %d in all", o.Conns, o.Pipeline, maxInFlight)
	case o.Duration < 0 || o.Duration > maxLength:
		return o, fmt.Errorf("bench: a run of %v; want up to %v", o.Duration, maxLength)
	case o.Warmup < 0 || o.Warmup >= o.Duration:
		return o, fmt.Errorf("bench: a warm-up of %v in a run of %v; want less", o.Warmup, o.Duration)
	case o.Timeout < time.Millisecond || o.Timeout > maxTimeout:
		return o, fmt.Errorf("bench: a time-out of %v; want %v to %v", o.Timeout, time.Millisecond, maxTimeout)
	case o.Think < 0 || o.Think > 0 && (o.Pace != nil || o.Pipeline > 1):
		return o, errors.New("bench: a think time is for the closed model, one request at a time")
	case o.Reconnect && o.Pipeline > 1:
		return o, errors.New("bench: with a connection for each request there is nothing to pipeline")
	case o.Interval < time.Millisecond || (o.Duration+o.Timeout)/o.Interval > maxIntervals:
		return o, fmt.Errorf("bench: intervals of %v; want %v or more, and at most %d", o.Interval, time.Millisecond, maxIntervals)
	case !token(o.IDField):
		return o, fmt.Errorf("bench: %q cannot be a field's name", o.IDField)
	case len(o.Requests) > maxRequests:
		return o, fmt.Errorf("bench: %d requests to choose from; want up to %d", len(o.Requests), maxRequests)
	}
	if err := o.checkTarget(); err != nil {
		return o, err
	}
	for i, r := range o.Requests {
		if r.Weight < 0 || r.Weight > maxWeight {
			return o, fmt.Errorf("bench: request %d of %d: a weight of %d; want 1 to %d", i+1, len(o.Requests), r.Weight, maxWeight)
		}
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Check tells what is wrong with o, if something is.
func (o Options) Check() error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	_, err = newDriver(o, nil)
	return err
}
