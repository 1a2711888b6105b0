package value

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ErrTooLarge reports a value over one of the Limits. It comes wrapped with what was too large.
var ErrTooLarge = errors.New("value: over the limit")

// A TypeError reports a Go type that has no msgpack, or msgpack that does not fit the Go type it should become.
type TypeError struct {
	Type reflect.Type // what could not be written, or not be read into
	Path string       // where it is in the whole value: .Field, [index], [key]; empty for the value itself
	What string       // what is wrong with it
	Err  error        // what the type's own method returned, if it was that
}

func (e *TypeError) Unwrap() error { return e.Err }

func (e *TypeError) Error() string {
	name := "nil"
	if e.Type != nil {
		name = e.Type.String()
	}
	if e.Path == "" {
		return fmt.Sprintf("value: %s: %s", name, e.What)
	}
	return fmt.Sprintf("value: %s at %s: %s", name, strings.TrimPrefix(e.Path, "."), e.What)
}

// maxPath is how long a path gets, in bytes; what is left out is the front.
const maxPath = 256

// at puts step before the path of err, if it has one. Errors are their finder's own, so that it may.
func at(err error, step string) error {
	if te, ok := err.(*TypeError); ok && len(te.Path) < maxPath {
		te.Path = step + te.Path
		if len(te.Path) >= maxPath {
			te.Path = "…" + te.Path[len(te.Path)-maxPath:]
		}
	}
	return err
}

func atIndex(err error, i int) error { return at(err, fmt.Sprintf("[%d]", i)) }

// atKey names the entry by its key, shortened.
func atKey(err error, key any) error {
	if s, ok := key.(string); ok {
		return at(err, fmt.Sprintf("[%.40q]", s))
	}
	return at(err, fmt.Sprintf("[%.40v]", key))
}

func badType(t reflect.Type, format string, args ...any) error {
	return &TypeError{Type: t, What: fmt.Sprintf(format, args...)}
}

// method reports what a method of t returned.
func method(t reflect.Type, err error) error { return &TypeError{Type: t, What: err.Error(), Err: err} }

func tooLarge(what string, limit int) error {
	return fmt.Errorf("%w: more than %d %s", ErrTooLarge, limit, what)
}
