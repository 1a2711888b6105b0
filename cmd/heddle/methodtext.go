package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/session"
)

// oldMsgpack is what every peer of a cloud reads (PROTOCOL 1).
var oldMsgpack = value.Options{Old: true}

// jsonArgument is a word of the command line as a value: JSON, or else text. Of JSON
// {"base64":"..."} is bytes, and {"msgpack":VALUE} the bytes of that value.
func jsonArgument(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return text, nil
	}
	return wireOf(v)
}

// wireOf is a value of JSON's as it goes over the wire.
func wireOf(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		var u uint64
		if json.Unmarshal([]byte(v), &u) == nil {
			return u, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = wireOf(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if len(v) == 1 {
			if text, ok := v["base64"].(string); ok {
				p, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return nil, fmt.Errorf("what is behind base64 is none: %w", err)
				}
				return p, nil
			}
			if inner, ok := v["msgpack"]; ok {
				if inner, err = wireOf(inner); err != nil {
					return nil, err
				}
				return oldMsgpack.Append(nil, inner)
			}
		}
		for k := range v {
			if v[k], err = wireOf(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// A methodPrinter prints what a service says.
type methodPrinter struct {
	*methodCall
	w       io.Writer
	dialect heddle.Dialect
}

// message prints one.
func (p *methodPrinter) message(m service.Message) error {
	var args []any
	if _, err := value.Decode(m.Args, &args, value.Limits{}); err != nil {
		return fmt.Errorf("%s: what the service says cannot be read: %w", p.what(), err)
	}
	if p.dialect == heddle.V0 && !p.raw { // whose values are packed once more
		args = p.unpacked(args)
	}
	if p.unpack {
		args = p.unpacked(args)
	}
	if p.raw {
		return p.bytes(args)
	}
	for i := range args {
		args[i] = shown(args[i])
	}
	var line any
	standard := m.Name == "value" || m.Name == "write"
	switch {
	case p.asJSON || !standard:
		if args == nil {
			args = []any{}
		}
		line = map[string]any{"message": m.Name, "args": args}
	case len(args) == 0:
		return nil
	case len(args) == 1:
		line = args[0]
	default:
		line = args
	}
	_, err := fmt.Fprintf(p.w, "%s\n", plainJSON(marshal(line)))
	return err
}

// unpacked are the arguments with what is in those that are msgpack.
func (p *methodPrinter) unpacked(args []any) []any {
	for i, a := range args {
		b, ok := rawOf(a)
		if !ok || len(b) == 0 {
			continue
		}
		var v any
		if rest, err := value.Decode(b, &v, value.Limits{}); err == nil && len(rest) == 0 {
			args[i] = v
		}
	}
	return args
}

// bytes writes arguments as they are: bytes, or msgpack.
func (p *methodPrinter) bytes(args []any) error {
	for _, a := range args {
		b, ok := rawOf(a)
		if !ok {
			var err error
			if b, err = oldMsgpack.Append(nil, a); err != nil {
				return err
			}
		}
		if _, err := p.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func rawOf(v any) (p []byte, ok bool) {
	switch v := v.(type) {
	case string:
		return []byte(v), true
	case []byte:
		return v, true
	}
	return nil, false
}

// shown is a value as JSON has it: bytes are text, or an object with their base64.
func shown(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = shown(v[i])
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = shown(v[k])
		}
		return v
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[fmt.Sprint(k)] = shown(x)
		}
		return m
	}
	if b, ok := rawOf(v); ok {
		if utf8.Valid(b) {
			return string(b)
		}
		return map[string]any{"base64": base64.StdEncoding.EncodeToString(b)}
	}
	return jsonOf(v)
}

// isControl says whether an id is of one of the control messages that every graph of
// runtime 0.12.14 names.
func isControl(id uint64) bool {
	switch id {
	case heddle.MethodGoaway, heddle.MethodPing, heddle.MethodSettings, heddle.MethodRevoke:
		return true
	}
	return false
}

// A listedMethod is one of --list --json.
type listedMethod struct {
	ID       uint64   `json:"id"`
	Name     string   `json:"name"`
	Dispatch []string `json:"dispatch,omitempty"` // what may be said after the call, first
	Upstream []string `json:"upstream,omitempty"` // and what is answered
}

// list prints the methods.
func (p *methodPrinter) list(s *service.Service, methods []*session.Method) error {
	d, _ := s.Dialect()
	tab := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, m := range methods {
		if isControl(m.ID) {
			continue
		}
		l := listedMethod{ID: m.ID, Name: m.Name}
		if d == heddle.V1 { // the graphs of v0 name methods only
			l.Dispatch, l.Upstream = armsOf(m.Dispatch), armsOf(m.Upstream)
		}
		var err error
		switch {
		case p.asJSON:
			err = json.NewEncoder(p.w).Encode(l)
		case d == heddle.V0:
			_, err = fmt.Fprintf(tab, "%d\t%s\n", l.ID, plainText(l.Name))
		default:
			_, err = fmt.Fprintf(tab, "%d\t%s\t%s\t-> %s\n", l.ID, plainText(l.Name), plainText(strings.Join(l.Dispatch, "|")), plainText(strings.Join(l.Upstream, "|")))
		}
		if err != nil {
			return err
		}
	}
	return tab.Flush()
}

// armsOf names what a direction may carry first.
func armsOf(t *session.Table) (names []string) {
	if t == nil {
		return nil
	}
	for _, a := range t.Arms() {
		if !isControl(a.ID) {
			names = append(names, a.Name)
		}
	}
	return names
}
