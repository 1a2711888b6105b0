package gateway

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/locator"
	"github.com/heddle-go/heddle/session"
)

// rings are the routing groups that the locator tells of, by name (PROTOCOL.md
// 3.3). Not changed any more.
type rings map[string]ring

// A ring is the points of a group's apps, by number.
type ring []point

type point struct {
	at  uint32
	app []byte
}

// Bounds of what a locator may tell.
const (
	maxRings  = 4096
	maxPoints = 1 << 20 // in all
)

// elect is the app of a group that a request with this seed goes to, or name if
// there is no such group.
func (g *Gateway) elect(name, seed []byte) []byte {
	all := g.rings.Load()
	if all == nil {
		return name
	}
	r := (*all)[string(name)]
	if len(r) == 0 {
		return name
	}
	return r.of(seedOf(seed))
}

// of is the app at the first point that is not below n.
func (r ring) of(n uint32) []byte {
	i, _ := slices.BinarySearchFunc(r, n, func(p point, n uint32) int { return cmp.Compare(p.at, n) })
	if i == len(r) {
		i = 0
	}
	return r[i].app
}

// seedOf is the point of a seed: the four words of its MD5, each with each.
func seedOf(seed []byte) uint32 {
	sum := md5.Sum(seed)
	n := uint32(0)
	for i := 0; i < len(sum); i += 4 {
		n ^= binary.LittleEndian.Uint32(sum[i:])
	}
	return n
}

// makeRings reads a message of the routing stream.
func makeRings(groups map[string][]member) (rings, error) {
	if len(groups) > maxRings {
		return nil, fmt.Errorf("gateway: over %d routing groups", maxRings)
	}
	all, total := make(rings, len(groups)), 0
	for name, members := range groups {
		if total += len(members); total > maxPoints {
			return nil, fmt.Errorf("gateway: over %d points in routing groups", maxPoints)
		}
		names := make(map[string][]byte) // one memory for all points of an app
		r := make(ring, 0, len(members))
		for _, m := range members {
			if len(m.App) == 0 || len(m.App) > maxName || len(name) > maxName {
				return nil, fmt.Errorf("gateway: a name of %d bytes in a routing group", max(len(m.App), len(name)))
			}
			if strings.ContainsFunc(m.App, isControl) { // it is told as a field of the answer
				return nil, fmt.Errorf("gateway: a name in a routing group that no field can hold: %q", m.App)
			}
			if names[m.App] == nil {
				names[m.App] = []byte(m.App)
			}
			r = append(r, point{m.Point, names[m.App]})
		}
		slices.SortStableFunc(r, func(a, b point) int { return cmp.Compare(a.at, b.at) })
		all[name] = r
	}
	return all, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// A member is one point of a group, as it travels.
type member struct {
	_     struct{} `msg:",tuple"`
	Point uint32
	App   string
}

// routing is the method of that name.
var routing = &session.Method{
	ID: locator.MethodRouting, Name: "routing", Upstream: session.Streaming,
	Dispatch: session.NewTable(session.Arm{ID: 0, Name: "discard", Next: session.Mute}),
}

// The pauses between subscriptions.
const (
	leastPause = time.Second
	mostPause  = 32 * time.Second
)

// routingLoop follows the locator's routing groups. One of v0 has none to tell.
func (g *Gateway) routingLoop() {
	host, _ := os.Hostname() // "" will do
	id := fmt.Sprintf("heddle:%s_%d_%x", host, os.Getpid(), rand.Uint64())
	pause := leastPause
	for {
		told, err := g.follow(id)
		g.rings.Store(nil)
		switch {
		case g.ctx.Err() != nil:
			return
		case err == nil:
			pause = mostPause // of v0
		default:
			if told {
				pause = leastPause
			}
			g.log.Warn("gateway: routing groups are not known", "err", err, "again", pause)
		}
		if !g.sleep(pause) {
			return
		}
		pause = min(2*pause, mostPause)
	}
}

// follow subscribes to the routing groups, and returns when that ends. told: there
// was a message.
func (g *Gateway) follow(id string) (told bool, err error) {
	ctx, cancel := context.WithTimeout(g.ctx, g.o.ConnectTimeout)
	d, err := g.client.Ping(ctx)
	cancel()
	if err != nil || d == service.DialectV0 {
		return false, err
	}
	s, err := service.New(service.Options{
		Name: "locator", Endpoints: g.o.Locators, Dialect: d, Methods: []*session.Method{routing}, Timeout: -1, DialTimeout: g.o.ConnectTimeout,
		Buffer: 16 << 20, Logger: g.log,
	})
	if err != nil {
		return false, err
	}
	defer s.Close()
	st, err := s.Stream(g.ctx, routing.Name, id, true)
	if err != nil {
		return false, err
	}
	defer st.Close()
	for {
		groups, err := service.Recv[map[string][]member](st)
		if err == io.EOF { // one that is wrapped is the connection's
			return told, errors.New("the locator has ended the stream")
		}
		if err != nil {
			return told, err
		}
		all, err := makeRings(groups)
		if err != nil {
			return told, err
		}
		told = true
		g.rings.Store(&all)
		g.log.Info("gateway: routing groups", "groups", len(all))
	}
}
