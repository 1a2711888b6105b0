package front

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/heddle-go/heddle/session"
)

// Options say where a front listens and what it lets through. Only Listeners is
// needed.
type Options struct {
	Listeners []Listener
	TLS       TLSFiles // on each TCP listener; unix sockets stay in clear
	Limits    Limits
	Trusted   Trusted // whose word on its clients is taken
	Tallies   bool    // count requests by who answered them, for Tallies
	ShortIDs  bool    // request ids that are made here have 16 hex digits, as traces of Cocaine's, and not 32
	Logger    *slog.Logger

	// OnAccess is told of each request that is over, on its loop or, by net/http,
	// on any goroutine. It must not wait. Nil: nobody is.
	OnAccess func(*Access)
}

// TLSFiles name PEM files. They are looked at again when clients connect, at
// most once a second, and taken when they have changed; a pair that cannot be
// used is logged, and the one before it stays.
type TLSFiles struct {
	Cert, Key string // both, or neither for no TLS

	// ClientCA are the authorities of clients' certificates; "" asks clients for
	// none. Optional lets a client without one in, never one whose certificate
	// does not verify.
	ClientCA string
	Optional bool
}

// Limits bound what a client may ask of the front. A field's zero value means
// its default. The names are net/http's.
type Limits struct {
	// ReadHeaderTimeout is how long a request's head may take. Default 10 s;
	// negative: no limit.
	ReadHeaderTimeout time.Duration

	// ReadTimeout is how long a request may take to come, its body included.
	// Default: no limit. It does not concern what goes on once all of it is there.
	ReadTimeout time.Duration

	// WriteTimeout is how long one write to the client may take, so it ends those
	// that take nothing in. It is not net/http's bound on the whole answer, which
	// would end every long download and every stream. Default: no limit.
	WriteTimeout time.Duration

	// ResponseHeaderTimeout is how long a worker may take to begin its answer
	// once it has the whole request; 1xx heads are none. Then the client gets 504.
	// Default: no limit. On the net/http side it is the Proxy's HeadTimeout.
	ResponseHeaderTimeout time.Duration

	// IdleTimeout is how long a connection may be without a request. Default 2
	// minutes; negative: no limit.
	IdleTimeout time.Duration

	// MaxHeaderBytes bounds a request's head, in bytes; more is answered with 431.
	// net/http adds 4 KiB of grace. Default and most: 1 MiB, which is what a
	// session carries.
	MaxHeaderBytes int

	// MaxHeaders bounds a request's header fields, repeated ones counted each;
	// more is answered with 431. Default and most: 1,000, since a session carries
	// 1,024 and some are added here.
	MaxHeaders int

	// MaxBody bounds a request's body, in bytes; more is answered with 413.
	// Default: no limit.
	MaxBody int64

	// MaxClients bounds the connections that each address in clear has open at
	// once on the loops; one more is reset, and that is logged. Default: the
	// descriptors that this process may have, less an eighth, at most 512.
	MaxClients int
}

// Defaults and most of Limits.
const (
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultIdleTimeout       = 2 * time.Minute
	MostHeaderBytes          = session.MaxHead
	MostHeaders              = 1000
)

// withDefaults fills in what is missing and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	l := &o.Limits
	switch {
	case len(o.Listeners) == 0:
		return o, errors.New("front: no address to listen on")
	case (o.TLS.Cert == "") != (o.TLS.Key == ""):
		return o, errors.New("front: TLS needs a certificate and its key, both")
	case o.TLS.ClientCA != "" && o.TLS.Cert == "":
		return o, errors.New("front: client certificates need TLS, that is a certificate and its key")
	case o.TLS.Optional && o.TLS.ClientCA == "":
		return o, errors.New("front: optional client certificates need their authorities")
	case l.MaxHeaderBytes < 0 || l.MaxHeaderBytes > MostHeaderBytes:
		return o, fmt.Errorf("front: MaxHeaderBytes %d is not from 1 to %d", l.MaxHeaderBytes, MostHeaderBytes)
	case l.MaxHeaders < 0 || l.MaxHeaders > MostHeaders:
		return o, fmt.Errorf("front: MaxHeaders %d is not from 1 to %d", l.MaxHeaders, MostHeaders)
	case l.MaxClients < 0:
		return o, fmt.Errorf("front: MaxClients %d is negative", l.MaxClients)
	}
	setDefault(&l.MaxClients, MostClients())
	setDefault(&l.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	setDefault(&l.IdleTimeout, DefaultIdleTimeout)
	setDefault(&l.MaxHeaderBytes, MostHeaderBytes)
	setDefault(&l.MaxHeaders, MostHeaders)
	l.ReadTimeout, l.WriteTimeout, l.MaxBody = max(l.ReadTimeout, 0), max(l.WriteTimeout, 0), max(l.MaxBody, 0)
	l.ResponseHeaderTimeout = max(l.ResponseHeaderTimeout, 0)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
