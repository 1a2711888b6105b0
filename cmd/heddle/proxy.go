package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/gateway"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/worker/engine"
)

// proxyOptions are proxy's command line, checked.
type proxyOptions struct {
	front    frontFlags
	admin    adminFlags
	locators []string
	dialect  string // "": the locator's answer tells

	timeout        time.Duration // 0: no limit
	connectTimeout time.Duration
	refresh        time.Duration
	drainTimeout   time.Duration
	jsonRPC        bool
	json           bool
	loops          int
}

func newProxy() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy [flags]",
		Short: "Serve the apps of a Cocaine cloud over HTTP",
		Long: `Proxy takes HTTP requests for the apps that a Cocaine locator knows, resolves the app,
and gives its service each request as an event (docs/proxy.md).

A request names its app and event by X-Cocaine-Service and X-Cocaine-Event, or by a
path /app/event/rest, of which the app is told /rest. With X-Cocaine-Sticky the locator's
routing group chooses the app. X-Request-Id, 16 hex digits, is the trace that the app
sees; Authorization is handed on. /ping says OK while a locator answers.

What a client gets when there is no answer: 503 for an app that nobody knows, that cannot
be reached or whose queue is full, 500 for one that failed, 504 for one that took too
long, 502 for one whose connection broke. A request is sent anew, once, if nobody can have
begun with it.

With --json-rpc a POST with the field X-Cocaine-JSON-RPC calls any method of any service,
storage and node among them: let only those reach it who may do that.

Locators of 0.10 and 0.11, and of 0.12, are told apart by their answers. Ctrl-C (or
SIGTERM) drains: what has begun is finished. A second one stops at once.`,
		Example: `  heddle proxy
  heddle proxy --listen :8080 --locator 10.0.0.1:10053,10.0.0.2:10053
  heddle proxy --locator unix:/run/cocaine/locator.sock --timeout 5s --json-rpc
  heddle proxy --dialect v0 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if runtime.GOOS != "linux" {
				return &failure{code: exitError, err: fmt.Errorf("proxy needs Linux; this is %s", runtime.GOOS), fine: "nothing was started."}
			}
			return serveProxy(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	o.front.add(cmd)
	o.admin.add(cmd)
	fs.StringSliceVar(&o.locators, "locator", service.DefaultLocators, "where the locator is: host:port or unix:PATH; several with commas, the first that answers is asked")
	fs.StringVar(&o.dialect, "dialect", "", "what the locators speak: v0 (0.10, 0.11) or v1 (0.12) (default: their answers tell)")
	fs.DurationVar(&o.timeout, "timeout", gateway.DefaultTimeout, "how long an app may take to begin its answer; then 504; 0: no limit")
	fs.DurationVar(&o.connectTimeout, "connect-timeout", gateway.DefaultConnectTimeout, "how long it may take to resolve an app and connect to it; then 503")
	fs.DurationVar(&o.refresh, "refresh", gateway.DefaultRefresh, "how long a connection to an app gets new requests before the locator is asked again, up to double of that")
	fs.BoolVar(&o.jsonRPC, "json-rpc", false, "let requests with X-Cocaine-JSON-RPC call services")
	fs.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second, "how long requests may take to finish after Ctrl-C")
	fs.BoolVar(&o.json, "json", false, "write the log as lines of JSON")
	fs.IntVar(&o.loops, "loops", engine.DefaultLoops(), "number of I/O loops")
	return cmd
}

// check refuses what cannot be meant.
func (o *proxyOptions) check() error {
	if len(o.locators) == 0 {
		return usage("proxy", "--locator is empty: want host:port or unix:PATH")
	}
	for _, l := range o.locators {
		if _, err := locator.ParseEndpoint(l); err != nil {
			return usage("proxy", "--locator %s: want host:port, such as 127.0.0.1:%d, or unix:PATH", l, locator.DefaultPort)
		}
	}
	if _, ok := dialects[o.dialect]; !ok {
		return usage("proxy", "--dialect %s: want v0 or v1", o.dialect)
	}
	if o.loops < 1 || o.loops > 256 {
		return usage("proxy", "--loops %d: want a number from 1 to 256", o.loops)
	}
	if o.timeout < 0 {
		return usage("proxy", "--timeout %v: want a duration such as 30s, or 0 for no limit", o.timeout)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"connect-timeout", o.connectTimeout}, {"refresh", o.refresh}, {"drain-timeout", o.drainTimeout}} {
		if d.value <= 0 {
			return usage("proxy", "--%s %v: want a duration such as 5s", d.flag, d.value)
		}
	}
	if _, err := o.admin.address(); err != nil {
		return err
	}
	_, err := o.front.options(nil)
	return err
}

// dialects are what --dialect may say.
var dialects = map[string]service.Dialect{"": service.DialectAuto, "v0": service.DialectV0, "v1": service.DialectV1}
