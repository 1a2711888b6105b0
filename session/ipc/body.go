package ipc

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/heddle-go/heddle/codec/value"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// A Format says how a payload is to be read.
type Format uint8

// The formats; their numbers are on the wire.
const (
	FormatNone  Format = iota // no payload at all
	FormatBytes               // bytes as they are
	FormatJSON                // one JSON value
	FormatValue               // one msgpack object, by the Hub's Values

	lastFormat = FormatValue
)

// A Body is what a message, a request or a reply carries. The zero Body is none.
type Body struct {
	format  Format
	encoded bool // data is the payload
	data    []byte
	value   any
}

// Bytes is a body that carries p as it is. p is copied by what the body is given to.
func Bytes(p []byte) Body { return Body{format: FormatBytes, encoded: true, data: p} }

// RawJSON is a body that carries p, which must be one JSON value.
func RawJSON(p []byte) Body { return Body{format: FormatJSON, encoded: true, data: p} }

// JSON is a body that carries v by encoding/json.
func JSON(v any) Body { return Body{format: FormatJSON, value: v} }

// Value is a body that carries the Go value v by the Hub's Values: nil, bools, numbers,
// text, []byte, time.Time, slices, maps, structs (by field or as tuple) and types with
// msgp's methods, unless HubOptions says otherwise. Anything else is an error that names
// its type and where it is, before a byte is sent.
func Value(v any) Body { return Body{format: FormatValue, value: v} }

// Values is how Go values travel: Append extends dst by v's encoding, Decode fills
// what v points to. Both are called from any goroutine. A nil one is that of package
// codec/value.
type Values struct {
	Append func(dst []byte, v any) ([]byte, error)
	Decode func(p []byte, v any) error
}

// withDefaults has package codec/value in place of what is nil; a value may have as many
// bytes as a message.
func (v Values) withDefaults(most int) Values {
	limits := value.Limits{Bytes: most}
	if v.Append == nil {
		v.Append = func(dst []byte, v any) ([]byte, error) {
			p, err := value.Options{Limits: limits}.Append(dst, v)
			if errors.Is(err, value.ErrTooLarge) {
				err = fmt.Errorf("%w: %w", ErrTooLarge, err)
			}
			return p, err
		}
	}
	if v.Decode == nil {
		v.Decode = func(p []byte, v any) error {
			rest, err := value.Decode(p, v, limits)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("ipc: %d bytes behind the value", len(rest))
			}
			return err
		}
	}
	return v
}

// payload returns the body's bytes: data itself, or its encoding behind dst.
func (h *Hub) payload(dst []byte, b *Body) ([]byte, error) {
	switch {
	case b.encoded:
		if b.format == FormatJSON && !jsonwire.Valid(b.data) {
			return nil, errors.New("ipc: the payload is not JSON")
		}
		return b.data, nil
	case b.format == FormatNone:
		return nil, nil
	case b.format == FormatJSON:
		p, err := json.Marshal(b.value)
		if err != nil {
			return nil, fmt.Errorf("ipc: payload: %w", err)
		}
		return p, nil
	}
	p, err := h.o.Values.Append(dst, b.value)
	if err != nil {
		return nil, fmt.Errorf("ipc: payload: %w", err)
	}
	return p, nil
}

// decode reads a payload into what v points to: *[]byte takes any, copied.
func (h *Hub) decode(f Format, p []byte, v any) error {
	if to, ok := v.(*[]byte); ok && f <= FormatBytes {
		*to = append((*to)[:0], p...)
		return nil
	}
	switch f {
	case FormatJSON:
		return json.Unmarshal(p, v)
	case FormatValue:
		return h.o.Values.Decode(p, v)
	}
	return fmt.Errorf("ipc: a payload of plain bytes does not fit into %T", v)
}

// A Reply is what a handler answered; whoever has it owns it.
type Reply struct {
	Format  Format
	Payload []byte

	hub *Hub
}

// Decode reads the reply into what v points to, by its format: a *[]byte takes
// plain bytes, anything else JSON or a value.
func (r *Reply) Decode(v any) error { return r.hub.decode(r.Format, r.Payload, v) }

// Raw is a body whose payload is encoded already, such as one that was received. p is
// copied by what the body is given to.
func Raw(f Format, p []byte) Body { return Body{format: f, encoded: f != FormatNone, data: p} }
