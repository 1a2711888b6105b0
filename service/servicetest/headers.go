package servicetest

import (
	"bytes"
	"fmt"

	"github.com/heddle-go/heddle/codec"
)

// headers reads the fourth element of a frame: its entries, and raw its bytes.
// What the runtime wants of an entry's types is checked here, the tables are
// codec's (PROTOCOL.md 3.2).
func (c *conn) headers(entries []node, raw []byte) (hs []codec.Header, bad string) {
	for i, e := range entries {
		switch {
		case e.kind == kindUint:
		case e.kind != kindArray || len(e.list) != 3:
			return nil, fmt.Sprintf("entry %d is neither an index nor an array of 3", i)
		case e.list[0].kind != kindBool:
			return nil, fmt.Sprintf("entry %d has %v where a bool is wanted", i, e.list[0].kind)
		case e.list[1].kind != kindUint && e.list[1].kind != kindRaw:
			return nil, fmt.Sprintf("entry %d has %v as its name", i, e.list[1].kind)
		case e.list[2].kind != kindRaw:
			return nil, fmt.Sprintf("entry %d has %v as its value", i, e.list[2].kind)
		}
	}
	hs, err := c.table.Decode(nil, raw)
	if err != nil {
		return nil, err.Error()
	}
	for i, h := range hs { // literals borrow raw
		hs[i] = codec.Header{Name: bytes.Clone(h.Name), Value: bytes.Clone(h.Value)}
	}
	return hs, ""
}

var traceNames = [3]string{"trace_id", "span_id", "parent_id"}

// traceOf returns the trace of a call, nils unless it has all three headers. The
// runtime closes the connection when it cannot read them, or the bit beside
// them (src/session.cpp, extract_trace).
func traceOf(headers []codec.Header) (trace [3][]byte, bad string) {
	first := func(name string) []byte {
		for _, h := range headers {
			if string(h.Name) == name {
				return h.Value
			}
		}
		return nil
	}
	for i, name := range traceNames {
		if trace[i] = first(name); trace[i] == nil {
			return [3][]byte{}, ""
		}
	}
	for i, name := range traceNames {
		if len(trace[i]) != 8 {
			return trace, fmt.Sprintf("%s has %d bytes, want 8", name, len(trace[i]))
		}
	}
	if bit := first("trace_bit"); bit != nil && string(bit) != "0" && string(bit) != "1" {
		return trace, fmt.Sprintf("trace_bit is %q, want 0 or 1", bit)
	}
	return trace, ""
}

// frameV1 is a frame as the runtime sends it: always four elements, the trace
// first among the headers and zero when there is none (PROTOCOL.md 3.2).
func frameV1(channel, id uint64, args []any, trace [3][]byte) []byte {
	p := appendUint(appendUint([]byte{0x94}, channel), id)
	p = appendValue(p, args)
	p = append(p, 0x93)
	for i, name := range traceNames {
		p = appendValue(append(p, 0x93, 0xc2), name)
		if trace[i] == nil {
			p = appendValue(p, make([]byte, 8))
		} else {
			p = appendValue(p, trace[i])
		}
	}
	return p
}

func appendFrameV0(dst []byte, typ, session uint64, args ...any) []byte {
	dst = appendUint(appendUint(append(dst, 0x93), typ), session)
	return appendValue(dst, append([]any{}, args...))
}
