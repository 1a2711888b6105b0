package servicetest

import (
	"fmt"
	"slices"

	"github.com/heddle-go/heddle"
)

// A Type is what an argument must be.
type Type struct {
	name string
	ok   func(n node) bool
}

// The types that real services ask for (the traits of runtime 0.12). Text is a
// raw, and so are bytes.
var (
	Text    = Type{"raw", func(n node) bool { return n.kind == kindRaw }}
	Number  = Type{"integer", func(n node) bool { return n.kind == kindUint || n.kind == kindInt }}
	Counter = Type{"integer of 0 or more", func(n node) bool { return n.kind == kindUint }}
	Bool    = Type{"bool", func(n node) bool { return n.kind == kindBool }}
	Map     = Type{"map", func(n node) bool { return n.kind == kindMap }}
	Any     = Type{"anything", func(node) bool { return true }}
	Texts   = ListOf(Text)

	// ErrorCode is [category, code], the first argument of an error of dialect v1.
	ErrorCode = TupleOf(Number, Number)

	// Attributes is what logging.emit takes: an array of [name, scalar].
	Attributes = ListOf(TupleOf(Text, Type{"scalar", func(n node) bool {
		return n.kind == kindRaw || n.kind == kindFloat || n.kind == kindUint || n.kind == kindInt || n.kind == kindBool
	}}))
)

// ListOf is an array of any length.
func ListOf(member Type) Type {
	return Type{"array of " + member.name, func(n node) bool {
		return n.kind == kindArray && !slices.ContainsFunc(n.list, func(m node) bool { return !member.ok(m) })
	}}
}

// TupleOf is an array of at least these members. What follows them is not
// looked at.
func TupleOf(members ...Type) Type {
	return Type{fmt.Sprintf("array of %d", len(members)), func(n node) bool {
		if n.kind != kindArray || len(n.list) < len(members) {
			return false
		}
		for i, m := range members {
			if !m.ok(n.list[i]) {
				return false
			}
		}
		return true
	}}
}

// Params is what a message carries.
type Params struct {
	Types    []Type
	Optional int // how many of them, from the end, may be missing
}

// Takes is Params of which none is optional.
func Takes(types ...Type) Params { return Params{Types: types} }

// Or adds parameters that may be missing.
func (p Params) Or(types ...Type) Params {
	return Params{append(slices.Clone(p.Types), types...), p.Optional + len(types)}
}

// check tells what is wrong with an argument list; further arguments than those
// declared are nobody's concern.
func (p Params) check(args []node) *badArgs {
	if need := len(p.Types) - p.Optional; len(args) < need {
		return &badArgs{fmt.Sprintf("argument sequence length mismatch - expected at least %d, got %d", need, len(args)), "too few arguments"}
	}
	for i, t := range p.Types[:min(len(args), len(p.Types))] {
		if !t.ok(args[i]) {
			return &badArgs{"argument type mismatch", fmt.Sprintf("argument %d is %v (0x%02x), want %s", i, args[i].kind, args[i].lead, t.name)}
		}
	}
	return nil
}

// badArgs is in v0's words, and in ours.
type badArgs struct{ reply, what string }

// A Table is what one direction of a channel may carry next (PROTOCOL.md 3.1).
// A nil one, or one without arms, carries nothing more.
type Table struct{ Arms []Arm }

// An Arm is one message of a Table. Next is the table after it: nil is the same
// one again.
type Arm struct {
	ID     uint64
	Name   string
	Params Params
	Next   *Table
}

// End is a table without arms: what an arm that ends its direction leads to.
var End = &Table{}

var errorArm = Arm{1, "error", Takes(ErrorCode).Or(Text), End}

// Primitive is one value, of any results, or an error.
var Primitive = &Table{[]Arm{{0, "value", Params{}, End}, errorArm}}

// Streaming is any number of writes, and then a close or an error.
var Streaming = StreamOf(Text)

// StreamOf is Streaming of pieces of these types.
func StreamOf(types ...Type) *Table {
	return &Table{[]Arm{{0, "write", Takes(types...), nil}, errorArm, {2, "close", Params{}, End}}}
}

// arm returns the message id of t.
func (t *Table) arm(id uint64) (Arm, bool) {
	if t != nil {
		for _, a := range t.Arms {
			if a.ID == id {
				return a, true
			}
		}
	}
	return Arm{}, false
}

// named returns the message of t with that name.
func (t *Table) named(name string) (Arm, bool) {
	if t != nil {
		for _, a := range t.Arms {
			if a.Name == name {
				return a, true
			}
		}
	}
	return Arm{}, false
}

func (t *Table) empty() bool { return t == nil || len(t.Arms) == 0 }

// A Method is one that a service has.
type Method struct {
	ID     uint64
	Name   string
	Params Params

	// Dispatch is what the caller may send after the call, Upstream what it
	// gets. In dialect v0 a caller sends nothing more, and Upstream must be
	// Primitive, a stream, or nil.
	Dispatch, Upstream *Table

	// Serve answers a call, on a goroutine of its own. What it leaves open of an
	// answer ends when it returns: as Value without results, or Close. It must
	// return soon after the call's context is done. A nil Serve is a method that
	// the runtime declares and does not have.
	Serve func(c *Call)

	// Inline methods are served before the next message of the connection is read,
	// as those of the runtime's own services are. Serve must not wait.
	Inline bool

	// Raw methods have chunks of v0 that are not packed once more, as an app's
	// enqueue has.
	Raw bool
}

// Ids of v1's control messages.
const (
	goaway   = 65532
	ping     = 65533
	settings = 65534
	revoke   = 65535
)

// controls are in the graphs of every service of runtime 0.12.14.
var controls = []Arm{{ID: goaway, Name: "goaway"}, {ID: ping, Name: "ping"}, {ID: settings, Name: "settings"}, {ID: revoke, Name: "revoke"}}

// discard is what the caller of publish and routing may send after the call. The
// real graph has the control messages there, too.
var discard = func() *Table {
	t := &Table{[]Arm{{ID: 0, Name: "discard", Next: End}}}
	for _, c := range controls {
		t.Arms = append(t.Arms, Arm{ID: c.ID, Name: c.Name, Next: End})
	}
	return t
}()

// Graph returns the methods as the locator's answer describes them: of v0 a map
// from ids to names, of v1 their whole graphs, control messages included. It
// must not be nested over 64 deep, and so must not have a loop but Arm.Next nil.
func Graph(d heddle.Dialect, methods []Method) Packed {
	m := make(map[uint64]any, len(methods)+len(controls))
	for _, method := range methods {
		if d == heddle.V0 {
			m[method.ID] = method.Name
			continue
		}
		m[method.ID] = []any{method.Name, method.Dispatch.describe(0), method.Upstream.describe(0)}
	}
	if d == heddle.V1 {
		for _, c := range controls {
			m[c.ID] = []any{c.Name, End.describe(0), Primitive.describe(0)}
		}
	}
	return Pack(m)
}

func (t *Table) describe(depth int) map[uint64]any {
	if depth > maxDepth {
		panic("servicetest: a graph has a loop; Arm.Next nil is the same table again")
	}
	m := map[uint64]any{}
	if t.empty() {
		return m
	}
	for _, a := range t.Arms {
		if a.Next == nil {
			m[a.ID] = []any{a.Name, nil}
		} else {
			m[a.ID] = []any{a.Name, a.Next.describe(depth + 1)}
		}
	}
	return m
}
