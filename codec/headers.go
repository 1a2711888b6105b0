package codec

import (
	"fmt"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// Bounds of the headers of one frame. An index of one byte can stand for a stored entry of 4096, hence the
// second bound.
const (
	MaxHeaders     = 256
	MaxHeaderBytes = 256 << 10 // names and values, and 32 for each
)

// Sizes of the dynamic table (PROTOCOL.md 3.2; the cost of an entry is RFC 7541, 4.1).
const (
	tableBytes    = 4096
	entryCost     = 32
	maxEntries    = tableBytes / entryCost
	firstDynamic  = 83
	firstTraceRow = 80
)

// A Header is one entry of a v1 frame's fourth element: trace ids, authorization and the like. HTTP
// headers travel elsewhere, see heddle.Header.
type Header struct{ Name, Value []byte }

// A HeaderTable decodes the headers of one direction of one channel. The zero value is a table as at the
// channel's start. Every frame's headers must pass through it, even those of frames that are dropped.
type HeaderTable struct {
	ring  *[maxEntries]Header // nil until the peer stores an entry
	first int                 // the oldest entry is ring[first]
	count int
	bytes int // cost of the entries
}

// Decode appends the headers in raw, a whole msgpack array, to dst. Literals borrow raw; entries of the
// tables stay valid and must not be written to. An empty raw has no headers. The errors, *SyntaxError and
// ErrTooLarge, end the channel.
func (t *HeaderTable) Decode(dst []Header, raw []byte) ([]Header, error) {
	if len(raw) == 0 {
		return dst, nil
	}
	count, p, err := msgp.ReadArrayHeaderBytes(raw)
	if err != nil {
		return dst, &SyntaxError{What: "headers are no array"}
	}
	if count > MaxHeaders {
		return dst, tooLarge(0, "too many headers")
	}
	out, total := dst, 0
	for range count {
		var h Header
		off := len(raw) - len(p)
		if h, p, err = t.next(p); err != nil {
			return dst, &SyntaxError{Off: int64(off), What: err.Error()}
		}
		if total += len(h.Name) + len(h.Value) + entryCost; total > MaxHeaderBytes {
			return dst, tooLarge(int64(off), "headers too long")
		}
		out = append(out, h)
	}
	return out, nil
}

// next decodes the header at the front of p: an index, or array(3) of store bool, name index or raw, value raw.
func (t *HeaderTable) next(p []byte) (h Header, rest []byte, err error) {
	if len(p) > 0 && isInt(p[0]) {
		h, rest, err = t.index(p)
		return h, rest, err
	}
	n, p, err := msgp.ReadArrayHeaderBytes(p)
	if err != nil {
		return h, p, fmt.Errorf("header: %w", err)
	}
	if n != 3 {
		return h, p, fmt.Errorf("header of %d elements", n)
	}
	store, p, err := msgp.ReadBoolBytes(p)
	if err != nil {
		return h, p, fmt.Errorf("header store flag: %w", err)
	}
	var name, value heddle.Raw
	if len(p) > 0 && isInt(p[0]) {
		if h, p, err = t.index(p); err != nil {
			return h, p, err
		}
		name = h.Name
	} else if p, err = name.UnmarshalMsg(p); err != nil {
		return h, p, fmt.Errorf("header name: %w", err)
	}
	if p, err = value.UnmarshalMsg(p); err != nil {
		return h, p, fmt.Errorf("header value: %w", err)
	}
	if store {
		t.store(name, value)
	}
	return Header{name, value}, p, nil
}

// index decodes the index at the front of p and looks it up.
func (t *HeaderTable) index(p []byte) (h Header, rest []byte, err error) {
	i, rest, err := msgp.ReadUint64Bytes(p)
	if err != nil {
		return h, rest, fmt.Errorf("header index: %w", err)
	}
	switch {
	case i == 0 || i >= firstDynamic+uint64(t.count):
		return h, rest, fmt.Errorf("header index %d is not in the table", i)
	case i < firstDynamic:
		return staticTable[i], rest, nil
	}
	return t.ring[(t.first+t.count-1-int(i-firstDynamic))%maxEntries], rest, nil
}

// store puts a copy of name and value at the front of the dynamic table, and evicts from its end what
// then is too much. An entry over the table's size leaves it empty.
func (t *HeaderTable) store(name, value []byte) {
	cost := len(name) + len(value) + entryCost
	for t.count > 0 && t.bytes+cost > tableBytes {
		old := &t.ring[t.first]
		t.bytes -= len(old.Name) + len(old.Value) + entryCost
		*old = Header{}
		t.first = (t.first + 1) % maxEntries
		t.count--
	}
	if cost > tableBytes {
		return
	}
	if t.ring == nil {
		t.ring = new([maxEntries]Header)
	}
	own := append(append(make([]byte, 0, len(name)+len(value)), name...), value...)
	t.ring[(t.first+t.count)%maxEntries] = Header{own[:len(name):len(name)], own[len(name):]}
	t.count++
	t.bytes += cost
}
