package admin

import (
	"github.com/heddle-go/heddle/cmd/internal/gateway"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/worker/engine"
)

// A Source is what a daemon lets be seen of itself. Its functions are called
// from any goroutine, several at a time, and must not wait for long.
type Source struct {
	// State is what the daemon does; Serving is the one word that is ready.
	State func() string

	// Control is the loop whose turning is the sign of life.
	Control *loop.Loop

	// Loops are those that clients and workers are on; nil before there are any.
	Loops func() []*loop.Loop

	// Front is nil until it serves.
	Front func() Front

	// Apps are those that the daemon runs, also while they start.
	Apps func() []App

	// Cloud is the daemon's, nil until it serves. Nil: there is none.
	Cloud func() Cloud

	// Proxy is what asks the apps of elsewhere. Nil: nothing does.
	Proxy Proxy

	// Unrouted is the app that requests are counted for which the front has
	// answered before it knew whose they were. "" where there are several or routes.
	Unrouted string

	// DroppedLines counts lines that were to be written and were not, by where.
	// Nil: there is nothing to count.
	DroppedLines func() map[string]uint64

	Version, Revision string // of the build
}

// Serving is the State of a daemon that serves.
const Serving = "serving"

// A Front is what is asked of the daemon's front: a *front.Server whose Options
// had Tallies.
type Front interface {
	Stats() front.Stats
	Tallies() []front.Tally
	ForgetTallies(drop func(tag any) bool)
}

// A Cloud is what is asked of a *host.Cloud.
type Cloud interface{ Stats() host.Stats }

// A Proxy is what is asked of a *gateway.Gateway.
type Proxy interface {
	Alive() bool
	Stats() gateway.Stats
	Counts() gateway.Counts
}

// An App is one that the daemon runs.
type App struct {
	Name    string
	Engine  Engine // nil before it starts
	Deploys *Outcomes

	// Elsewhere: it is run by somebody else, and only asked here. There is no Engine.
	Elsewhere bool
}

// An Engine is what is asked of an app's *engine.Engine.
type Engine interface {
	Stats() engine.Stats
	Status() engine.Status
}
