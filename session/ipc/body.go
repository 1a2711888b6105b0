package ipc

import (
	"encoding/json"
	"errors"
	"fmt"
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

// Value is a body that carries the Go value v by the Hub's Values.
func Value(v any) Body { return Body{format: FormatValue, value: v} }

// Values is how Go values travel: Append extends dst by v's encoding, Decode fills
// what v points to. Both are called from any goroutine.
type Values struct {
	Append func(dst []byte, v any) ([]byte, error)
	Decode func(p []byte, v any) error
}

// ErrNoValues reports a Value on a hub that was given no Values.
var ErrNoValues = errors.New("ipc: this hub has no codec for values")

// payload returns the body's bytes: data itself, or its encoding behind dst.
func (h *Hub) payload(dst []byte, b *Body) ([]byte, error) {
	switch {
	case b.encoded:
		if b.format == FormatJSON && !json.Valid(b.data) {
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
	case h.o.Values.Append == nil:
		return nil, ErrNoValues
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
		if h.o.Values.Decode == nil {
			return ErrNoValues
		}
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
