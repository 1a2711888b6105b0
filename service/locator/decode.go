package locator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session"
)

// Decode reads a reply to resolve: of v1 the arguments of the value message, a
// whole array, of v0 the payload of the one chunk. Nothing in the result borrows
// p. What follows the three elements is passed over.
//
// *codec.SyntaxError: p is no such reply; Off counts from its start. ErrBounds:
// see there.
func Decode(d heddle.Dialect, p []byte) (Info, error) {
	r := reader{p: p}
	if err := r.whole(); err != nil {
		return Info{}, err
	}
	if n := r.head(isArray, "a reply to resolve"); r.err == nil && n < 3 {
		r.fail("a reply to resolve has %d elements, want 3", n)
	}
	var i Info
	if d == heddle.V0 {
		i.Endpoints = []Endpoint{r.endpoint()}
	} else {
		i.Endpoints = r.endpoints()
	}
	i.Version = r.integer("the version")
	r.graph(d, &i)
	if r.err != nil {
		return Info{}, r.err
	}
	return i, nil
}

// A reader reads the front of a value that is known to be whole. After the first
// error it reads nothing more.
type reader struct {
	p    []byte
	off  int
	err  error
	arms int // seen so far, those of methods among them
}

// whole checks that p is one value and within the bounds of any, so that no
// length in it can promise what is not there and recursion has an end.
func (r *reader) whole() error {
	var v heddle.Value
	rest, err := v.UnmarshalMsg(r.p)
	switch {
	case errors.Is(err, heddle.ErrDepth), errors.Is(err, heddle.ErrElements):
		return fmt.Errorf("%w: %w", ErrBounds, err)
	case err != nil:
		return &codec.SyntaxError{What: "a reply to resolve: " + err.Error()}
	case len(rest) > 0:
		return &codec.SyntaxError{Off: int64(len(r.p) - len(rest)), What: "bytes after a reply to resolve"}
	}
	return nil
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &codec.SyntaxError{Off: int64(r.off), What: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) over(what string, most int) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: over %d %s", ErrBounds, most, what)
	}
}

// head reads the head of an array or map and returns how many elements or
// entries follow.
func (r *reader) head(is func(lead byte) bool, what string) int {
	if r.err != nil {
		return 0
	}
	lead := r.p[r.off]
	if !is(lead) {
		r.fail("%s begins with 0x%02x", what, lead)
		return 0
	}
	size, members, _ := heddle.Head(r.p[r.off:]) // cannot fail: p is whole
	r.off += int(size)
	if isMap(lead) {
		members /= 2
	}
	return int(members)
}

func isArray(c byte) bool { return c&0xf0 == 0x90 || c == 0xdc || c == 0xdd }

func isMap(c byte) bool { return c&0xf0 == 0x80 || c == 0xde || c == 0xdf }

func (r *reader) isNil() bool { return r.err == nil && r.p[r.off] == 0xc0 }

// skip passes over n values.
func (r *reader) skip(n int) {
	for ; n > 0 && r.err == nil; n-- {
		var v heddle.Value
		rest, err := v.UnmarshalMsg(r.p[r.off:])
		if err != nil {
			r.fail("%v", err)
			return
		}
		r.off = len(r.p) - len(rest)
	}
}

func (r *reader) integer(what string) uint64 {
	if r.err != nil {
		return 0
	}
	lead := r.p[r.off]
	if lead >= 0x80 && (lead < 0xcc || lead > 0xd3) {
		r.fail("%s is no integer of 0 or more but begins with 0x%02x", what, lead)
		return 0
	}
	var n uint64
	rest, err := value.Decode(r.p[r.off:], &n, value.Limits{})
	if err != nil {
		r.fail("%s is no integer of 0 or more", what)
		return 0
	}
	r.off = len(r.p) - len(rest)
	return n
}

func (r *reader) text(what string, most int) string {
	if r.err != nil {
		return ""
	}
	var s heddle.Raw
	rest, err := s.UnmarshalMsg(r.p[r.off:])
	if err != nil || s == nil {
		r.fail("%s is no raw but begins with 0x%02x", what, r.p[r.off])
		return ""
	}
	if len(s) > most {
		r.over("bytes of "+what, most)
		return ""
	}
	r.off = len(r.p) - len(rest)
	return string(s)
}

func (r *reader) endpoints() []Endpoint {
	n := r.head(isArray, "the list of endpoints")
	if n > MaxEndpoints {
		r.over("endpoints", MaxEndpoints)
	}
	var all []Endpoint
	for ; n > 0 && r.err == nil; n-- {
		all = append(all, r.endpoint())
	}
	return all
}

func (r *reader) endpoint() Endpoint {
	n := r.head(isArray, "an endpoint")
	if r.err == nil && n < 2 {
		r.fail("an endpoint of %d elements", n)
	}
	e := Endpoint{Host: r.text("a host", MaxHost)}
	port := r.integer("a port")
	switch {
	case r.err != nil:
	case port > 65535:
		r.fail("port %d", port)
	case e.Host == "":
		r.fail("an endpoint without host")
	}
	e.Port = uint16(port)
	r.skip(n - 2)
	return e
}

// graph reads what a service can do: of v0 a map from ids to names, of v1 from
// ids to name, dispatch and upstream.
func (r *reader) graph(d heddle.Dialect, i *Info) {
	n := r.head(isMap, "the map of methods")
	if n > MaxMethods+len(controls) {
		r.over("methods", MaxMethods)
	}
	for ; n > 0 && r.err == nil; n-- {
		m := &session.Method{ID: r.integer("the id of a method"), Dispatch: session.Mute, Upstream: session.Streaming}
		if d == heddle.V0 {
			m.Name = r.text("a name", MaxName)
			i.Methods = append(i.Methods, m)
			continue
		}
		fields := r.head(isArray, "a method")
		if r.err == nil && fields < 3 {
			r.fail("a method of %d elements", fields)
		}
		m.Name = r.text("a name", MaxName)
		before := r.arms
		// Nil in place of a table would be the one before it: there is none.
		if m.Dispatch = r.next(); m.Dispatch == nil {
			m.Dispatch = session.Mute
		}
		if m.Upstream = r.next(); m.Upstream == nil {
			m.Upstream = session.Mute
		}
		r.skip(fields - 3)
		if isControl(m.ID) {
			i.Controls, r.arms = true, before
		} else {
			i.Methods = append(i.Methods, m)
		}
	}
	if len(i.Methods) > MaxMethods {
		r.over("methods", MaxMethods)
	}
	slices.SortStableFunc(i.Methods, byID)
	i.Methods = slices.CompactFunc(i.Methods, func(a, b *session.Method) bool { return a.ID == b.ID })
}

// next reads a table; nil is nil. It recurses, within what whole has allowed.
func (r *reader) next() *session.Table {
	if r.isNil() {
		r.off++
		return nil
	}
	n := r.head(isMap, "a table of messages")
	if r.arms += n; r.arms > MaxArms {
		r.over("messages", MaxArms)
		return nil
	}
	var arms []session.Arm
	for ; n > 0 && r.err == nil; n-- {
		a := session.Arm{ID: r.integer("the id of a message")}
		fields := r.head(isArray, "a message")
		if r.err == nil && fields < 2 {
			r.fail("a message of %d elements", fields)
		}
		a.Name = r.text("a name", MaxName)
		a.Next = r.next()
		r.skip(fields - 2)
		arms = append(arms, a)
	}
	if r.err != nil {
		return nil
	}
	return standard(session.NewTable(arms...))
}

// standard returns t, or what in session is the same.
func standard(t *session.Table) *session.Table {
	for _, s := range []*session.Table{session.Mute, session.Primitive, session.Streaming} {
		if slices.Equal(t.Arms(), s.Arms()) { // tables further on are standard ones already
			return s
		}
	}
	return t
}
