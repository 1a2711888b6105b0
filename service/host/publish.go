package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session"
)

// Limits of what others may publish.
const (
	mostPublished = 1024     // services, of all connections
	mostHolds     = 64       // publications and streams of news, of one connection
	mostEndpoints = 64       // of one service
	mostGraph     = 64 << 10 // bytes
	mostNesting   = 8        // tables of a graph inside each other
)

// A publication is a service of another program's, known as long as its publisher
// is there.
type publication struct{ result }

type published struct {
	_         struct{} `msg:",tuple"`
	Name      string
	Endpoints []endpoint
	Native    native
}

// native is what a service can, of one that speaks the protocol.
type native struct {
	_       struct{} `msg:",tuple"`
	Version uint64
	Graph   map[uint64]heddle.Value
}

// publish makes a service known until its publisher says discard or is gone.
func (c *Cloud) publish(call *Call, a *published) error {
	p := &publication{result{at: a.Endpoints, version: a.Native.Version, graph: heddle.Value{0x80}}}
	for _, e := range a.Endpoints {
		if !c.valid(e) {
			return call.refuse("no endpoint")
		}
	}
	if len(a.Native.Graph) > 0 {
		if a.Native.Version == 0 {
			return &Error{Category: heddle.CategoryLocator, Code: codeVersion, Msg: "missing protocol version"}
		}
		if !validGraph(a.Native.Graph) {
			return call.refuse("no graph")
		}
		p.graph = appendGraph(nil, a.Native.Graph)
	}
	switch {
	case a.Name == "" || len(a.Name) > mostName || strings.ContainsRune(a.Name, 0):
		return errnoError(syscall.EINVAL, "no name for a service")
	case len(a.Endpoints) == 0:
		return errnoError(syscall.EINVAL, "no endpoints")
	case len(a.Endpoints) > mostEndpoints || len(p.graph) > mostGraph:
		return errnoError(syscall.E2BIG, fmt.Sprintf("more than %d endpoints, or a graph of more than %d bytes", mostEndpoints, mostGraph))
	case call.conn.streams >= mostHolds:
		return errTooMuch
	}
	c.mu.Lock()
	var err error
	switch {
	case a.Name == nameLocator || a.Name == nameNode || a.Name == nameStorage || a.Name == nameLogging || c.services[a.Name] != nil:
		err = errnoError(syscall.EEXIST, fmt.Sprintf("service '%s' is this cloud's own", a.Name))
	case c.published[a.Name] != nil:
		err = errnoError(syscall.EEXIST, fmt.Sprintf("service '%s' is published by somebody else", a.Name))
	case len(c.published) >= mostPublished:
		err = errTooMuch
	default:
		c.published[a.Name] = p
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	call.conn.streams++
	call.Serve(&publisher{c, call.conn, a.Name, p})
	c.log.Info("host: service published", "service", a.Name, "endpoints", len(p.at), "native", len(p.graph) > 1)
	c.changed()
	return call.answer(nil)
}

// errTooMuch refuses a client who has as much as he may.
var errTooMuch = &Error{Category: heddle.CategoryOverseer, Code: heddle.CodePoolFull, Msg: "too many publications and streams", CodeV0: heddle.CodeV0Resource}

// A publisher hears what ends a publication.
type publisher struct {
	cloud *Cloud
	conn  *conn
	name  string
	p     *publication
}

// OnMessage: see session.Handler. Whatever it is, it is the end.
func (p *publisher) OnMessage(*session.Session, session.Message) {}

// OnWritable: see session.Handler.
func (p *publisher) OnWritable(*session.Session) {}

// OnEnd takes the service out again.
func (p *publisher) OnEnd(_ *session.Session, err error) {
	p.conn.streams--
	c := p.cloud
	c.mu.Lock()
	if c.published[p.name] == p.p {
		delete(c.published, p.name)
	}
	c.mu.Unlock()
	c.log.Info("host: service unpublished", "service", p.name, "err", err)
	c.changed()
}

// errGraph is of a graph that is none.
var errGraph = errors.New("host: no graph of a protocol")

// validGraph says whether clients could build a service of it: a lie there must
// not be theirs to find out.
func validGraph(g map[uint64]heddle.Value) bool {
	for _, v := range g {
		var m struct {
			_                  struct{} `msg:",tuple"`
			Name               string
			Dispatch, Upstream heddle.Value
		}
		if decodeTuple(v, 3, &m) != nil || validTable(m.Dispatch, 1) != nil || validTable(m.Upstream, 1) != nil {
			return false
		}
	}
	return true
}

// appendGraph appends a graph with its methods in order, so that equal ones are equal
// bytes.
func appendGraph(b []byte, g map[uint64]heddle.Value) []byte {
	b = appendMap(b, len(g))
	for _, id := range slices.Sorted(maps.Keys(g)) {
		b = append(appendUint(b, id), g[id]...)
	}
	return b
}

// validTable checks what one direction may carry; nil is the same table again.
func validTable(v heddle.Value, depth int) error {
	if len(v) == 1 && v[0] == 0xc0 {
		return nil
	}
	var arms map[uint64]heddle.Value
	if v[0]&0xf0 != 0x80 && v[0] != 0xde || depth > mostNesting {
		return errGraph
	}
	if _, err := value.Decode(v, &arms, value.Limits{}); err != nil {
		return errGraph
	}
	for _, v := range arms {
		var a struct {
			_    struct{} `msg:",tuple"`
			Name string
			Next heddle.Value
		}
		if err := decodeTuple(v, 2, &a); err != nil {
			return err
		}
		if err := validTable(a.Next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func decodeTuple(v heddle.Value, members int, into any) error {
	if decodeArgs(v, members, into) != "" {
		return errGraph
	}
	return nil
}
