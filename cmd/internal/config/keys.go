package config

import (
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/worker/engine"
)

const (
	most          = math.MaxInt64
	defaultHealth = "/"
)

// keys is heddle.toml, in the order of docs/configuration.md, which
// TestConfigurationPage of cmd/heddle writes and checks.
var keys = []Key{
	{Name: "extends", Type: Text, Default: "none", When: Live, at: nil,
		Means: "another file, relative to this one, whose values hold where this one says nothing"},
	{Name: "name", Type: Text, Default: "the app's name; with several apps, the name of the file's directory", When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Name },
		check: onText(func(s string) error { return CheckName("a daemon's", s) }),
		Means: "name of the daemon: of its control socket and its directory"},
	{Name: "listen", Type: List, Default: `["127.0.0.1:8080"]`, def: []string{"127.0.0.1:8080"}, When: Restart,
		at:      func(c *Config, _ *App) any { return &c.Listen },
		resolve: resolveListener, check: checkListen,
		Means: "addresses to serve on: `host:port`, `unix:/path`, or `fd:NAME` for a socket that systemd passes, `proxy:` before it where connections begin with a PROXY protocol header; where nobody says, all that systemd passes"},
	{Name: "listen-mode", Type: Text, Default: `"0600"`, def: "0600", When: Restart,
		at: func(c *Config, _ *App) any { return &c.ListenMode }, check: onText(checkMode),
		Means: "permissions of `unix:/path` addresses, octal: `0660` lets the group's members connect, such as a web server in front"},
	{Name: "listen-group", Type: Text, Default: "the daemon's", When: Restart,
		at: func(c *Config, _ *App) any { return &c.ListenGroup }, check: onText(checkUser),
		Means: "group of `unix:/path` addresses, name or number"},
	{Name: "admin", Type: Text, Default: "none", When: Restart,
		at:      func(c *Config, _ *App) any { return &c.Admin },
		resolve: resolveListener, check: onText(checkAdmin),
		Means: "address of metrics and health (metrics.md): loopback `host:port` or `unix:/path`; another only with the flag `--admin-anywhere`"},
	{Name: "control", Type: Path, Default: "`$XDG_RUNTIME_DIR/heddle/NAME.sock`, else `/tmp/heddle-UID/NAME.sock`", When: Restart,
		at:      func(c *Config, _ *App) any { return &c.Control },
		resolve: resolvePath, check: onText(checkSocket),
		Means: "control socket; at most 107 bytes"},
	{Name: "loops", Type: Number, Default: "one per four CPUs, at least one", def: engine.DefaultLoops(), min: 1, max: 256, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Loops },
		Means: "number of I/O loops"},
	{Name: "tls-cert", Type: Path, Default: "none", When: Restart,
		at: func(c *Config, _ *App) any { return &c.TLS.Cert }, resolve: resolvePath,
		Means: "PEM file of the certificate and its chain: `host:port` addresses speak TLS; what is in it is taken anew when it changes"},
	{Name: "tls-key", Type: Path, Default: "none", When: Restart,
		at: func(c *Config, _ *App) any { return &c.TLS.Key }, resolve: resolvePath,
		Means: "PEM file of the certificate's key"},
	{Name: "tls-client-ca", Type: Path, Default: "none", When: Restart,
		at: func(c *Config, _ *App) any { return &c.TLS.ClientCA }, resolve: resolvePath,
		Means: "PEM file of authorities: clients must show a certificate of theirs"},
	{Name: "tls-client-optional", Type: Bool, Default: "false", When: Restart,
		at:    func(c *Config, _ *App) any { return &c.TLS.Optional },
		Means: "let clients without a certificate in, too"},
	{Name: "trusted-proxies", Type: List, Default: "none", When: Restart,
		at: func(c *Config, _ *App) any { return &c.Trusted }, check: each(checkTrusted),
		Means: "whose `X-Forwarded-*` and `Forwarded` are believed: networks such as `10.0.0.0/8`, addresses, or `unix`"},
	{Name: "read-header-timeout", Type: Duration, Default: "10s", def: front.DefaultReadHeaderTimeout, max: most, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.ReadHeaderTimeout },
		Means: "how long a request's head may take; 0s: no limit"},
	{Name: "read-timeout", Type: Duration, Default: "0s", max: most, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.ReadTimeout },
		Means: "how long a request may take to come, with its body; 0s: no limit"},
	{Name: "write-timeout", Type: Duration, Default: "0s", max: most, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.WriteTimeout },
		Means: "how long a client may take nothing in of an answer; 0s: no limit"},
	{Name: "response-header-timeout", Type: Duration, Default: "0s", max: most, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.ResponseHeaderTimeout },
		Means: "how long a worker may take to begin its answer, then 504; 0s: no limit"},
	{Name: "idle-timeout", Type: Duration, Default: "2m", def: front.DefaultIdleTimeout, max: most, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.IdleTimeout },
		Means: "how long a connection may be without a request; 0s: no limit"},
	{Name: "max-header-bytes", Type: Bytes, Default: "1Mi", def: front.MostHeaderBytes, min: leastHeaderBytes, max: front.MostHeaderBytes, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.MaxHeaderBytes },
		Means: "bytes of a request's head; more get 431"},
	{Name: "max-headers", Type: Number, Default: "1000", def: front.MostHeaders, min: 1, max: front.MostHeaders, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.MaxHeaders },
		Means: "header fields of a request; more get 431"},
	{Name: "max-body-bytes", Type: Bytes, Default: "0", max: most, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.MaxBody },
		Means: "bytes of a request's body; more get 413; 0: no limit"},
	{Name: "max-clients", Type: Number, Default: "0", max: 1 << 30, When: Restart,
		at:    func(c *Config, _ *App) any { return &c.Limits.MaxClients },
		Means: "connections of each address in clear; more are reset; 0: nearly as many as there may be descriptors"},
	{Name: "access-log", Type: Path, Default: "none", When: Restart,
		at: func(c *Config, _ *App) any { return &c.AccessLog }, resolve: resolveAccess,
		Means: "file that gets a line for each request, or `-` for standard output"},
	{Name: "access-log-format", Type: Text, Default: `"common"`, def: AccessCommon, When: Restart,
		at: func(c *Config, _ *App) any { return &c.AccessFormat }, check: onText(oneOf(AccessCommon, AccessJSON)),
		Means: "`common` or `json`"},

	{App: true, Name: "target", Type: Text, Default: "needed", When: Deploy,
		at: func(_ *Config, a *App) any { return &a.Target }, resolve: resolveTarget, check: onText(notEmpty),
		Means: "a Go package's directory or import path, or an executable; a name without a slash that is not beside the file is looked for in `PATH`"},
	{App: true, Name: "args", Type: List, Default: "none", When: Deploy,
		at:    func(_ *Config, a *App) any { return &a.Args },
		Means: "the program's arguments"},
	{App: true, Name: "http", Type: Bool, Default: "false", When: Restart,
		at:    func(_ *Config, a *App) any { return &a.HTTP },
		Means: "the program serves plain HTTP: it is not made with httpcompat"},
	{App: true, Name: "health", Type: Text, Default: `"/"`, def: defaultHealth, When: Restart,
		at: func(_ *Config, a *App) any { return &a.Health }, check: onText(checkHealth),
		Means: "with `http`: the path that is asked whether it is ready"},
	{App: true, Name: "dir", Type: Path, Default: "the daemon's", When: Deploy,
		at: func(_ *Config, a *App) any { return &a.Dir }, resolve: resolvePath,
		Means: "working directory"},
	{App: true, Name: "env", Type: Table, Default: "none", When: Deploy,
		at: func(_ *Config, a *App) any { return &a.Env }, check: checkEnv,
		Means: "variables of its environment, beside those that it inherits"},
	{App: true, Name: "env-allow", Type: List, Default: "all", empty: true, When: Deploy,
		at: func(_ *Config, a *App) any { return &a.EnvAllow }, check: each(checkVariable),
		Means: "variables that it inherits of the daemon's; `[]`: none"},
	{App: true, Name: "user", Type: Text, Default: "the daemon's", When: Deploy,
		at: func(_ *Config, a *App) any { return &a.User }, check: onText(checkUser),
		Means: "name or number of the user that it runs as"},
	{App: true, Name: "group", Type: Text, Default: "the user's", When: Deploy,
		at: func(_ *Config, a *App) any { return &a.Group }, check: onText(checkUser),
		Means: "name or number of the group that it runs as"},
	{App: true, Name: "workers", Type: Number, Default: "the number of CPUs", def: runtime.GOMAXPROCS(0), min: 1, max: maxWorkers, When: Live,
		at:    func(_ *Config, a *App) any { return &a.Workers },
		Means: "number of worker processes"},
	{App: true, Name: "standbys", Type: Number, Default: "0", max: maxStandbys, When: Live,
		at:    func(_ *Config, a *App) any { return &a.Standbys },
		Means: "workers besides that stand ready to take a dead or broken one's place"},
	{App: true, Name: "suspended", Type: Bool, Default: "false", When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Suspended },
		Means: "let requests wait, once the workers are ready, until heddle resume"},
	{App: true, Name: "hosts", Type: List, Default: "every host", When: Live,
		at: func(_ *Config, a *App) any { return &a.Hosts }, check: each(checkHost),
		Means: "hosts whose requests it gets: `shop.example`, `*.shop.example`, `192.0.2.1`, `[2001:db8::1]`"},
	{App: true, Name: "paths", Type: List, Default: "every path", When: Live,
		at: func(_ *Config, a *App) any { return &a.Paths }, check: each(checkPath),
		Means: "beginnings of paths whose requests it gets: `/api` is also `/api/x`, and not `/apix`"},
	{App: true, Name: "queue", Type: Number, Default: "16384", def: 16384, min: 1, max: 1 << 20, When: Live,
		at:    func(_ *Config, a *App) any { return &a.Queue },
		Means: "requests that wait while every worker is busy; more get 503"},
	{App: true, Name: "queue-age", Type: Duration, Default: "10s", def: 10 * time.Second, min: 1, max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.QueueAge },
		Means: "how long a request waits there before it gets 503"},
	{App: true, Name: "concurrency", Type: Number, Default: "0", max: 1 << 20, When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Concurrency },
		Means: "requests a worker answers at once, on each loop; 0: no limit"},
	{App: true, Name: "response-header-timeout", Type: Duration, Default: "the daemon's", max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.ResponseHeaderTimeout },
		Means: "how long a worker may take to begin its answer, then 504; 0s: no limit"},
	{App: true, Name: "write-timeout", Type: Duration, Default: "the daemon's", max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.WriteTimeout },
		Means: "how long a client may take nothing in of an answer; 0s: no limit"},
	{App: true, Name: "max-body-bytes", Type: Bytes, Default: "the daemon's", max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.MaxBody },
		Means: "bytes of a request's body; more get 413; 0: no limit"},
	{App: true, Name: "start-timeout", Type: Duration, Default: "1m", def: time.Minute, min: 1, max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.StartTimeout },
		Means: "how long a worker may take until it is ready"},
	{App: true, Name: "heartbeat-timeout", Type: Duration, Default: "30s", def: 30 * time.Second, min: int64(leastHeartbeat), max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.HeartbeatTimeout },
		Means: "how long a silent worker counts as alive, at least 10s"},
	{App: true, Name: "drain-timeout", Type: Duration, Default: "30s", def: 30 * time.Second, min: 1, max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.DrainTimeout },
		Means: "how long requests may take to finish when a worker has to go"},
	{App: true, Name: "shutdown-timeout", Type: Duration, Default: "10s", def: 10 * time.Second, min: 1, max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.ShutdownTimeout },
		Means: "how long a worker that has finished, or has to, may take to leave; then SIGTERM"},
	{App: true, Name: "kill-delay", Type: Duration, Default: "5s", def: 5 * time.Second, min: 1, max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.KillDelay },
		Means: "how long a worker, and all in its process group, may take after SIGTERM; then SIGKILL"},
	{App: true, Name: "recycle-requests", Type: Number, Default: "0", max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.RecycleRequests },
		Means: "replace a worker after that many requests; 0: never"},
	{App: true, Name: "recycle-age", Type: Duration, Default: "0s", max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.RecycleAge },
		Means: "replace a worker that is so old; 0s: never"},
	{App: true, Name: "recycle-memory", Type: Bytes, Default: "0", max: most, When: Live,
		at:    func(_ *Config, a *App) any { return &a.RecycleMemory },
		Means: "replace a worker that holds so many bytes of memory; 0: never"},
	{App: true, Name: "log.stdout", Type: Path, Default: "none", When: Restart,
		at: func(_ *Config, a *App) any { return &a.Log.Stdout }, resolve: resolvePath,
		Means: "file of what the workers write to standard output"},
	{App: true, Name: "log.stderr", Type: Path, Default: "none", When: Restart,
		at: func(_ *Config, a *App) any { return &a.Log.Stderr }, resolve: resolvePath,
		Means: "file of what the workers write to standard error"},
	{App: true, Name: "log.memory", Type: Bytes, Default: "4Mi", def: Size(4 << 20), max: 1 << 30, When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Log.Memory },
		Means: "bytes of the workers' lines that are kept for heddle logs"},
	{App: true, Name: "log.rotate-size", Type: Bytes, Default: "100Mi", def: Size(100 << 20), max: most, When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Log.RotateSize },
		Means: "size at which a file is rotated; 0: never"},
	{App: true, Name: "log.rotate-age", Type: Duration, Default: "0s", max: most, When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Log.RotateAge },
		Means: "age at which a file is rotated; 0s: never"},
	{App: true, Name: "log.gzip", Type: Bool, Default: "false", When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Log.Gzip },
		Means: "compress rotated files"},
	{App: true, Name: "log.keep", Type: Number, Default: "5", def: 5, max: 10_000, When: Restart,
		at:    func(_ *Config, a *App) any { return &a.Log.Keep },
		Means: "rotated files that are kept"},
}

// Keys are all there are: those of the top level, then those of an app.
func Keys() []Key { return slices.Clone(keys) }

// findKey is the key of that name, or nil.
func findKey(name string, app bool) *Key {
	for i := range keys {
		if keys[i].Name == name && keys[i].App == app {
			return &keys[i]
		}
	}
	return nil
}

// fill sets the defaults: of the top level, or of an app.
func fill(c *Config, a *App) {
	for i := range keys {
		if k := &keys[i]; k.def != nil && k.App == (a != nil) {
			assign(k.at(c, a), k.def)
		}
	}
}
