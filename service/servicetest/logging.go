package servicetest

import (
	"slices"

	"github.com/heddle-go/heddle"
)

// An Entry is what a client has logged, above the verbosity or not. The numbers
// of levels are the runtime's (PROTOCOL.md 2.6, 3.6).
type Entry struct {
	Level   int
	Source  string
	Message string
	Attrs   []Attr // v1
}

// An Attr is one attribute of an Entry.
type Attr struct {
	Name  string
	Value any // string, int64, uint64, float64 or bool
}

// loggingMethods are PROTOCOL.md 2.6 and 3.6.
func (c *Cloud) loggingMethods() []Method {
	emit := Method{ID: 0, Name: "emit", Inline: true, Params: Takes(Number, Text, Text), Serve: c.emit}
	verbosity := Method{ID: 1, Name: "verbosity", Inline: true, Upstream: Primitive, Serve: func(call *Call) { _ = call.Value(c.verbosity()) }}
	if c.dialect == heddle.V0 {
		return []Method{emit, verbosity}
	}
	emit.Params = emit.Params.Or(Attributes)
	return []Method{emit, verbosity, {ID: 2, Name: "set_verbosity", Params: Takes(Number), Upstream: Primitive}}
}

func (c *Cloud) emit(call *Call) {
	e := Entry{Level: int(call.Int(0)), Source: call.Text(1), Message: call.Text(2)}
	if c.dialect == heddle.V1 {
		list, _ := call.Arg(3).([]any)
		for _, a := range list {
			pair := a.([]any)
			e.Attrs = append(e.Attrs, Attr{pair[0].(string), pair[1]})
		}
	}
	c.mu.Lock()
	c.logged = append(c.logged, e)
	c.mu.Unlock()
}

// Logged is all that was sent to logging.
func (c *Cloud) Logged() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.logged)
}

// SetVerbosity changes what logging answers from now on.
func (c *Cloud) SetVerbosity(level int) {
	c.mu.Lock()
	c.level = level
	c.mu.Unlock()
}

func (c *Cloud) verbosity() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.level
}
