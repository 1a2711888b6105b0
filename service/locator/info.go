package locator

import (
	"cmp"
	"errors"
	"slices"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/session"
)

// Ids of a locator's own methods (PROTOCOL.md 2.3, 3.3). Resolve has one id in
// both dialects.
const (
	MethodResolve = 0
	MethodConnect = 1 // v1
	MethodRefresh = 2 // v1
	MethodCluster = 3 // v1
	MethodPublish = 4 // v1
	MethodRouting = 5 // v1
	MethodUUID    = 6 // v1

	MethodReportsV0 = 2
	MethodRefreshV0 = 3
)

// Resolve is the method of that name: what a client knows of a locator before
// it has asked anything. In v0 the one chunk of the answer is what Decode takes.
var Resolve = &session.Method{ID: MethodResolve, Name: "resolve", Dispatch: session.Mute, Upstream: session.Primitive}

// Bounds of one resolve reply.
const (
	MaxEndpoints = 256
	MaxMethods   = 1024
	MaxArms      = 4096 // messages in the graphs of all methods
	MaxName      = 256  // bytes of a name
	MaxHost      = 1024 // bytes
)

// ErrBounds reports a reply over one of the bounds above, or nested too deep. It
// comes wrapped with what it was.
var ErrBounds = errors.New("locator: over the bounds")

// Info is what a locator tells about a service.
type Info struct {
	// Endpoints are to be tried in this order. v0 has exactly one; v1 none for a
	// service that is no more.
	Endpoints []Endpoint

	// Version is that of the service's protocol, for the caller to compare.
	Version uint64

	// Methods are what the service can do, by id. v0 tells their names only: they
	// have Dispatch Mute and Upstream Streaming. Tables that are the same as
	// session's Mute, Primitive or Streaming are those. Control messages that
	// every service of runtime 0.12 lists, 65532 to 65535, are not among them.
	Methods []*session.Method

	// Controls says that the reply lists the control messages. v1.
	Controls bool
}

// Method returns the method of that name, nil if there is none.
func (i *Info) Method(name string) *session.Method {
	for _, m := range i.Methods {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// MethodID returns the method of that id, nil if there is none.
func (i *Info) MethodID(id uint64) *session.Method {
	at, ok := slices.BinarySearchFunc(i.Methods, id, func(m *session.Method, id uint64) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return nil
	}
	return i.Methods[at]
}

// controls are the names of the control messages, from the lowest id.
var controls = [...]string{"goaway", "ping", "settings", "revoke"}

func isControl(id uint64) bool { return id >= heddle.MethodGoaway && id <= heddle.MethodRevoke }
