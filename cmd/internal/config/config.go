package config

import (
	"time"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/worker/engine"
)

// A Config is what a file and those it extends say, with the defaults filled
// in, every value checked and every path absolute.
type Config struct {
	Files []string // that were read, the named one first

	Name        string   // of the daemon
	Listen      []string // as front.ParseListener takes them
	ListenMode  string   // of unix sockets, octal
	ListenGroup string   // of theirs, name or number; "": the daemon's
	Admin       string   // host:port or unix:/path of metrics and health; "": none
	Control     string   // path of the control socket; "": by the name
	Locator     string   // host:port or unix:/path where a small cloud is served; "": none
	Storage     string   // directory of its service storage; "": by the name
	Join        []string // locators of other clouds whose services ours knows, too
	AllowStart  string   // directory whose programs its service node may start; "": none
	Loops       int

	TLS     front.TLSFiles
	Trusted []string // as front.ParseTrusted takes them
	Limits  Limits

	AccessLog    string // file, "-" or "" for none
	AccessFormat string // AccessCommon or AccessJSON

	Apps []App // in the order of their tables, those of extended files first

	dir     string // of the named file, absolute
	origins map[place]Origin
}

// Limits are the front's. In durations and MaxBody zero means no limit; in
// MaxClients as many as there may be descriptors.
type Limits = front.Limits

// What access-log-format may be.
const (
	AccessCommon = "common"
	AccessJSON   = "json"
)

// An App is one [app.NAME].
type App struct {
	Name   string
	Target string // absolute, or a program of PATH or an import path
	Args   []string
	HTTP   bool   // it serves plain HTTP
	Health string // path that is asked whether an HTTP app is ready

	Dialect string // of Cocaine's that its workers speak, "v0" or "v1"; "": Heddle's own
	Cloud   string // locators that workers are told of, "host:port" with commas; "": the daemon's own
	Event   string // as which such workers get requests

	Dir      string            // working directory; "": the daemon's
	Env      map[string]string // set beside what the app inherits
	EnvAllow []string          // what it inherits of the daemon's; nil: everything
	User     string            // name or number; "": the daemon's
	Group    string            // name or number; "": the user's

	Workers   int
	Standbys  int
	Suspended bool

	Hosts []string // as Routes takes them; none: every host
	Paths []string // as Routes takes them; none: every path

	Queue       int // requests
	QueueAge    time.Duration
	Concurrency int // sessions of one worker on one loop; 0: no limit

	ResponseHeaderTimeout time.Duration // these three where nobody says: the daemon's
	WriteTimeout          time.Duration
	MaxBody               int64 // bytes

	StartTimeout     time.Duration
	HeartbeatTimeout time.Duration
	DrainTimeout     time.Duration
	ShutdownTimeout  time.Duration
	KillDelay        time.Duration

	RecycleRequests uint64        // 0: never
	RecycleAge      time.Duration // 0: never
	RecycleMemory   Size          // 0: never

	Log Log
}

// Log is [app.NAME.log].
type Log struct {
	Stdout     string // file; "": none
	Stderr     string // file; "": none
	Memory     Size   // of the lines that are kept for heddle logs
	RotateSize Size   // of a file, before it is rotated; 0: never
	RotateAge  time.Duration
	Gzip       bool // of rotated files
	Keep       int  // rotated files
}

// A place is where a value belongs: the key of an app, or of the top level
// where app is "".
type place struct{ app, key string }

// Origin is where the value of a key came from; app is "" for the top level.
func (c *Config) Origin(app, key string) Origin {
	if o, ok := c.origins[place{app, key}]; ok {
		return o
	}
	return Origin{From: FromDefault}
}

// App is the one of that name, or nil.
func (c *Config) App(name string) *App {
	for i := range c.Apps {
		if c.Apps[i].Name == name {
			return &c.Apps[i]
		}
	}
	return nil
}

// appLine is where an app's table stands first.
func (c *Config) appLine(app string) Origin { return c.origins[place{app: app}] }

// The lowest heartbeat time-out leaves a worker, who beats every five seconds,
// one beat to lose.
const leastHeartbeat = 10 * time.Second

// maxSocketPath is sun_path without its final zero, unix(7), in bytes.
const maxSocketPath = 107

// leastHeaderBytes is enough for what any browser sends without cookies.
const leastHeaderBytes = 1 << 10

const (
	maxWorkers  = engine.MaxWorkers
	maxStandbys = engine.MaxStandbys
)
