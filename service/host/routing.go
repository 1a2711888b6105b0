package host

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
)

// Limits of routing groups.
const (
	mostGroups  = 1024
	mostMembers = 256     // apps of a group
	mostRouting = 4 << 20 // bytes that routing tells, about
)

// Where routing groups are kept (PROTOCOL 2.3): msgpack maps from apps to weights.
const groupsCollection = "groups"

var groupTags = []string{"group", "active"}

// A ring is a routing group: points on a circle of 2^32, each an app's, as many as
// its weight has it (PROTOCOL 3.3). A key belongs to the next point behind its own.
type ring struct {
	weights map[string]uint64
	points  []point
	size    int // bytes that routing tells of it, about
}

type point struct {
	at  uint32
	app string
}

// newRing makes a ring of weights; an error if there are none.
func newRing(weights map[string]uint64) (*ring, error) {
	var sum float64
	for _, w := range weights {
		sum += float64(w)
	}
	if sum == 0 || len(weights) > mostMembers {
		return nil, fmt.Errorf("host: routing group of %d apps, with a weight of %v in all", len(weights), sum)
	}
	r := &ring{weights: weights}
	for app, w := range weights {
		if len(app) > mostName {
			return nil, fmt.Errorf("host: routing group: name of an app of %d bytes", len(app))
		}
		steps := uint64(math.Round(float64(w) / sum * 64 * float64(len(weights))))
		for step := range steps {
			digest := md5.Sum(binary.LittleEndian.AppendUint64([]byte(app), step))
			for i := 0; i < len(digest); i += 4 {
				r.points = append(r.points, point{binary.LittleEndian.Uint32(digest[i:]), app})
				r.size += len(app) + 8
			}
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		if a.at != b.at {
			return int(int64(a.at) - int64(b.at))
		}
		return strings.Compare(a.app, b.app)
	})
	return r, nil
}

// of is the app that a key belongs to.
func (r *ring) of(key string) string {
	digest := md5.Sum([]byte(key))
	var at uint32
	for i := 0; i < len(digest); i += 4 {
		at ^= binary.LittleEndian.Uint32(digest[i:])
	}
	return r.at(at)
}

// at is the app of the first point behind p.
func (r *ring) at(p uint32) string {
	i := sort.Search(len(r.points), func(i int) bool { return r.points[i].at > p })
	return r.points[i%len(r.points)].app
}

// append appends what routing tells: array of array(2) of point uint, app raw.
func (r *ring) append(b []byte) []byte {
	b = codec.AppendArray(b, len(r.points))
	for _, p := range r.points {
		b = codec.AppendRawString(appendUint(append(b, 0x92), uint64(p.at)), p.app)
	}
	return b
}

// choose is the service that a name means: itself, unless it is a routing group's.
func (c *Cloud) choose(d heddle.Dialect, name, seed string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.groups[name]
	switch {
	case r == nil:
		return name
	case d == heddle.V0:
		return c.amongLocked(r, name)
	case seed != "":
		return r.of(seed)
	}
	return r.at(rand.Uint32())
}

// amongLocked is one of the group's apps that are here, by weight, as v0 has it; the
// group's own name if none is.
func (c *Cloud) amongLocked(r *ring, name string) string {
	var sum uint64
	var here []string
	for _, app := range slices.Sorted(maps.Keys(r.weights)) {
		if sv := c.services[app]; sv != nil && sv.doors[heddle.V0] != nil && r.weights[app] > 0 {
			here, sum = append(here, app), sum+r.weights[app]
		}
	}
	if sum == 0 {
		return name
	}
	n := rand.Uint64N(sum)
	for _, app := range here {
		if n < r.weights[app] {
			return app
		}
		n -= r.weights[app]
	}
	return name
}

// rings tells of the routing groups, at once and when they have changed.
func (c *Cloud) rings(call *Call) teller {
	told := uint64(math.MaxUint64)
	return func() (more bool, err error) {
		c.mu.Lock()
		version, groups := c.groupsVersion, c.groups // a map that nobody writes to
		c.mu.Unlock()
		if told == version {
			return false, nil
		}
		told = version
		b := appendMap(nil, len(groups))
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			b = groups[name].append(codec.AppendRawString(b, name))
		}
		return false, call.Write(heddle.Value(b))
	}
}

// refresh reads routing groups again, of which some may be gone. On an error all stay
// as they were. It waits for the disk.
func (c *Cloud) refresh(names []string) error {
	if c.store == nil {
		return nil
	}
	c.refreshing.Lock() // or what was read first could count last
	defer c.refreshing.Unlock()
	active, err := c.store.find(groupsCollection, groupTags)
	if err != nil {
		return c.groupError("", err)
	}
	fresh := map[string]*ring{}
	for _, name := range names {
		if _, ok := slices.BinarySearch(active, name); !ok || fresh[name] != nil {
			continue
		}
		if len(fresh) == mostGroups {
			return c.groupError(name, errors.New("too many groups"))
		}
		if fresh[name], err = c.readGroup(name); err != nil {
			return c.groupError(name, err)
		}
	}
	c.mu.Lock()
	groups := maps.Clone(c.groups)
	for _, name := range names {
		delete(groups, name)
	}
	maps.Copy(groups, fresh)
	size := 0
	for name, r := range groups {
		size += len(name) + r.size
	}
	if len(groups) > mostGroups || size > mostRouting {
		c.mu.Unlock()
		return c.groupError("", errors.New("too many groups"))
	}
	c.groups = groups
	c.groupsVersion++
	c.mu.Unlock()
	c.changed()
	return nil
}

// groupError is what a caller of refresh is told.
func (c *Cloud) groupError(name string, err error) error {
	c.log.Warn("host: routing groups stay as they were", "group", name, "err", err)
	return &Error{Category: heddle.CategoryLocator, Code: codeStorage, Msg: "routing storage is unavailable"}
}

func (c *Cloud) readGroup(name string) (*ring, error) {
	b, err := c.store.read(groupsCollection, name)
	if err != nil {
		return nil, err
	}
	var weights map[string]uint64
	if _, err := value.Decode(b, &weights, value.Limits{Elements: 2*mostMembers + 1}); err != nil {
		return nil, err
	}
	return newRing(weights)
}

// allGroups reads the active groups as a cloud begins. What cannot be read is logged.
func (c *Cloud) allGroups() {
	if c.store == nil {
		return
	}
	active, err := c.store.find(groupsCollection, groupTags)
	if err != nil {
		_ = c.groupError("", err)
		return
	}
	for _, name := range active {
		_ = c.refresh([]string{name}) // it is logged
	}
}
