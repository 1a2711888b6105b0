package host

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/heddle-go/heddle/loop"
)

// Defaults of Options.
const (
	DefaultLocator  = "127.0.0.1:10053"
	DefaultConns    = 1024
	DefaultSessions = 4096
	DefaultBlob     = 16 << 20  // bytes
	DefaultPending  = 256 << 20 // bytes
	DefaultWork     = 8
	DefaultStall    = time.Minute
)

// ErrClosed reports a Cloud that was closed.
var ErrClosed = errors.New("host: the cloud is closed")

// ErrTaken reports a name that another service has.
var ErrTaken = errors.New("host: the name is taken")

// Options configure a Cloud. The zero value is one on this machine's loopback
// address, with a locator, logging, and a node that starts nothing; what is logged is
// discarded.
type Options struct {
	// Locator is where the locator listens, host:port or unix:PATH; default
	// DefaultLocator. The other services listen on the same host with ports that the
	// system chooses, or beside the same path.
	Locator string

	// Host is how clients of dialect v0, which look names up, are told of this
	// machine, and Addresses those that clients of v1 are told. Without them it is
	// the address at which the client has reached the locator.
	Host      string
	Addresses []string

	// Loops do the I/O. They run already, and until the Cloud is closed. None: the
	// Cloud has one of its own.
	Loops []*loop.Loop

	// Cluster has the locator tell other locators of all services and of their
	// comings and goings (connect, and v0's synchronize). Without it that ends at once, as
	// with a runtime that is in no cluster.
	Cluster bool

	// Peers are locators of dialect v1, addresses as Locator's, whose services this one
	// tells of, too, where it has none of that name itself. Each has to be in a cluster.
	Peers []string

	// UUID is how the cloud is known to others; default a new one.
	UUID string

	// Log takes what clients send to the service logging; nil: Logger does. Both are
	// used on the loops and must not wait for a terminal or a disk. Only
	// lines of at least Verbosity are sent there: 0 debug, 1 info, 2 warning,
	// 3 error, by dialect v1's numbers.
	Log       *slog.Logger
	Verbosity int

	// Storage is the directory of the service storage, made if it is not there; "":
	// there is no such service.
	Storage string

	// Node starts and stops apps; nil: the service node knows those of AddApp and
	// starts none.
	Node Node

	Conns    int           // open at once, at each service; one more waits; default DefaultConns
	Sessions int           // open at once on a connection; default DefaultSessions
	Blob     int           // bytes of a stored object and of one chunk of an app's; default DefaultBlob
	Pending  int64         // bytes held for all connections together: what waits for workers and clients, open calls, halves of frames (twice); each has some beside it; default DefaultPending
	Work     int           // methods that wait for a disk at once; default DefaultWork
	Stall    time.Duration // how long half a frame, and a client that takes nothing, are waited for; default DefaultStall

	Logger *slog.Logger // nil: discards

	create createFile // of storage, in tests; nil: the system's
}

func (o Options) withDefaults() (Options, error) {
	if o.Conns < 0 || o.Sessions < 0 || o.Blob < 0 || o.Pending < 0 || o.Work < 0 || o.Stall < 0 {
		return o, errors.New("host: negative value in Options")
	}
	if o.Verbosity < levelDebug || o.Verbosity > levelError {
		return o, fmt.Errorf("host: verbosity %d: want 0 (debug) to 3 (error)", o.Verbosity)
	}
	setDefault(&o.Locator, DefaultLocator)
	setDefault(&o.UUID, newUUID())
	setDefault(&o.Conns, DefaultConns)
	setDefault(&o.Sessions, DefaultSessions)
	setDefault(&o.Blob, DefaultBlob)
	setDefault(&o.Pending, DefaultPending)
	setDefault(&o.Work, DefaultWork)
	setDefault(&o.Stall, DefaultStall)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Log == nil {
		o.Log = o.Logger
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
