package config

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// A node is a key of a file with its value: a table's are its kids.
type node struct {
	key   string
	value any // as package toml decodes it; of a table map[string]any
	line  int // where the value, or the table's header, begins; from 1
	start int // the same as an offset in bytes
	kids  []*node
}

func (n *node) isTable() bool {
	_, ok := n.value.(map[string]any)
	return ok
}

// A probe takes whatever value there is and fails, since only the error of a
// value says where it stands.
type probe struct{ value any }

var errProbe = errors.New("config: probe")

func (p *probe) UnmarshalTOML(v any) error {
	p.value = v
	return errProbe
}

// parse reads a file. The error is that of its syntax, without the file's name;
// what stands behind it cannot be told.
func parse(text string) (*node, *Error) {
	var top map[string]toml.Primitive
	md, err := toml.Decode(text, &top)
	if err != nil {
		return nil, syntaxError(text, err)
	}
	root := &node{value: map[string]any{}, line: 1}
	root.adopt(text, &md, top)
	return root, nil
}

// adopt makes nodes of a table's values.
func (n *node) adopt(text string, md *toml.MetaData, table map[string]toml.Primitive) {
	for key, prim := range table {
		kid := &node{key: key}
		var p probe
		var at toml.ParseError
		if errors.As(md.PrimitiveDecode(prim, &p), &at) && at.Position.Line > 0 {
			kid.start = min(at.Position.Start, len(text))
			kid.line = 1 + strings.Count(text[:kid.start], "\n")
		}
		kid.value = p.value
		var below map[string]toml.Primitive
		if kid.isTable() && md.PrimitiveDecode(prim, &below) == nil {
			kid.adopt(text, md, below)
		}
		if kid.line == 0 && len(kid.kids) > 0 { // a table that only its contents imply
			kid.line, kid.start = kid.kids[0].line, kid.kids[0].start
		}
		n.kids = append(n.kids, kid)
	}
	slices.SortFunc(n.kids, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
	})
}

// twice is how package toml says that a key or a table is there again.
var twice = regexp.MustCompile(`^Key '(.*)' has already been defined\.$`)

// syntaxError says in our words what package toml refuses.
func syntaxError(text string, err error) *Error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &Error{Msg: "no TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
	}
	e := &Error{Line: pe.Position.Line, Msg: "no TOML: " + pe.Message}
	m := twice.FindStringSubmatch(pe.Message)
	if m == nil {
		return e
	}
	e.Msg = m[1] + " is there twice"
	if name, ok := strings.CutPrefix(m[1], "app."); ok && !strings.Contains(name, ".") {
		e.Msg = "[app." + name + "] is there twice: each app has a name of its own"
	}
	if first := firstLine(text, e.Line, m[1]); first > 0 {
		e.Msg += "; the first is in line " + itoa(first)
	}
	return e
}

// firstLine is where the dotted key stands in the lines before the one given,
// or 0.
func firstLine(text string, before int, dotted string) int {
	lines := strings.SplitAfter(text, "\n")
	root, err := parse(strings.Join(lines[:min(before-1, len(lines))], ""))
	if err != nil {
		return 0
	}
	var find func(n *node, prefix string) int
	find = func(n *node, prefix string) int {
		for _, kid := range n.kids {
			name := toml.Key{kid.key}.String()
			switch {
			case prefix+name == dotted:
				return kid.line
			case strings.HasPrefix(dotted, prefix+name+"."):
				return find(kid, prefix+name+".")
			}
		}
		return 0
	}
	return find(root, "")
}
