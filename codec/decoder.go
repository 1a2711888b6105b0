package codec

import (
	"fmt"

	"github.com/heddle-go/heddle"
	"github.com/tinylib/msgp/msgp"
)

// A Frame is one message, its arguments not yet decoded. Its slices borrow the bytes given to Next.
type Frame struct {
	Session uint64 // v1: the channel
	Type    uint64 // v1: the message id
	Args    []byte // whole msgpack array, header included
	Headers []byte // v1: whole msgpack array; nil when absent. HeaderTable decodes it
}

// A Decoder cuts frames off one direction of one channel.
//
// A frame that is whole is decoded at once. If it is cut off, the scanner takes over: it remembers how far
// it came, refuses what can never fit, and lets the frame be decoded when it is whole.
type Decoder struct {
	// Immutable after NewDecoder.
	dialect heddle.Dialect
	limits  Limits
	fast    int // bytes: a frame up to this length is within all limits if its depth is

	base     int64 // bytes consumed since the channel's start
	scanning bool  // the frame at the front was short at the last call
	scanner  scanner
	err      error // sticky

	v0 heddle.FrameV0 // decoded into, nothing in it outlives Next
	v1 heddle.FrameV1
}

// NewDecoder returns a Decoder of dialect d, at the start of a channel.
func NewDecoder(d heddle.Dialect, l Limits) *Decoder {
	l = l.withDefaults()
	// An object takes a byte or more, so a frame of few bytes has few objects. heddle.Value checks its
	// own depth, but only against the default.
	fast := min(l.Frame, l.Elements)
	if l.Depth < DefaultDepth {
		fast = 0
	}
	return &Decoder{dialect: d, limits: l, fast: fast}
}

// Next returns the frame at the front of p and its length n. p begins at the first byte not yet consumed:
// after an ErrShort with the same bytes as before, and more behind them.
//
// ErrShort: wait for more, at least until p holds Need bytes. *SyntaxError and ErrTooLarge (wrapped) end the channel, and
// every later call returns the same.
func (d *Decoder) Next(p []byte) (f Frame, n int, err error) {
	// f is filled field by field: a struct copied right after it was written costs more than the decoding.
	if len(p) == 0 || d.scanning {
		return d.resume(p)
	}
	switch {
	case d.dialect == heddle.V1 && (p[0] == 0x93 || p[0] == 0x94):
		m := &d.v1
		m.Headers = nil
		rest, err := m.UnmarshalMsg(p)
		n = len(p) - len(rest)
		if err == nil && n <= d.fast && isArray(m.Args) && (m.Headers == nil || isArray(m.Headers)) {
			d.base += int64(n)
			f.Session, f.Type, f.Args, f.Headers = m.Channel, m.ID, m.Args, m.Headers
			return f, n, nil
		}
	case p[0] == 0x93 && d.dialect == heddle.V0:
		m := &d.v0
		rest, err := m.UnmarshalMsg(p)
		n = len(p) - len(rest)
		if err == nil && n <= d.fast && isArray(m.Args) {
			d.base += int64(n)
			f.Session, f.Type, f.Args = m.Session, m.Type, m.Args
			return f, n, nil
		}
	}
	return d.resume(p)
}

// Need returns how many bytes p must at least hold before the frame can be whole. Calling Next earlier is no
// error, and may find out sooner that the frame is wrong.
func (d *Decoder) Need() int {
	if d.scanning {
		return d.scanner.need
	}
	return 1
}

// resume is Next for a frame that is cut off, unusual or wrong.
func (d *Decoder) resume(p []byte) (Frame, int, error) {
	if d.err != nil {
		return Frame{}, 0, d.err
	}
	if !d.scanning {
		d.scanning = true
		d.scanner.reset(d.limits)
	}
	if len(p) == 0 {
		return Frame{}, 0, ErrShort
	}
	off, what := d.shape(p)
	err := d.scanner.scan(p, d.base)
	// What is wrong first is reported, so that it does not depend on how the bytes were cut.
	if what != "" && (err == nil || err == ErrShort || off <= d.scanner.off) {
		return d.fail(&SyntaxError{Off: d.base + int64(off), What: what})
	}
	if err == ErrShort {
		return Frame{}, 0, err
	}
	if err != nil {
		return d.fail(err)
	}
	n := d.scanner.off
	f, off, err := d.decode(p[:n:n])
	if err != nil {
		return d.fail(&SyntaxError{Off: d.base + int64(off), What: err.Error()})
	}
	d.scanning = false
	d.base += int64(n)
	return f, n, nil
}

func (d *Decoder) fail(err error) (Frame, int, error) {
	d.err = err
	return Frame{}, 0, err
}

// decode decodes a frame that the scanner has found whole. The offset tells where an error is.
func (d *Decoder) decode(p []byte) (f Frame, off int, err error) {
	if d.dialect == heddle.V0 {
		if _, err = d.v0.UnmarshalMsg(p); err != nil {
			return f, 0, err
		}
		return Frame{d.v0.Session, d.v0.Type, d.v0.Args, nil}, 0, nil
	}
	d.v1.Headers = nil
	if _, err = d.v1.UnmarshalMsg(p); err != nil {
		return f, 0, err
	}
	if h := d.v1.Headers; h != nil && !isArray(h) {
		off, _ = elements(p, 3)
		return f, off, fmt.Errorf("headers are no array but begin with 0x%02x", h[0])
	}
	return Frame{d.v1.Channel, d.v1.ID, d.v1.Args, d.v1.Headers}, 0, nil
}

// shape checks as much of the first elements of a frame as p holds. An empty what: nothing is wrong yet.
func (d *Decoder) shape(p []byte) (off int, what string) {
	if !isArray(p) {
		return 0, fmt.Sprintf("frame is no array but begins with 0x%02x", p[0])
	}
	_, count, err := heddle.Head(p)
	if err != nil {
		return 0, ""
	}
	if count < 3 || d.dialect == heddle.V0 && count != 3 {
		return 0, fmt.Sprintf("frame of %d elements", count)
	}
	for i := range 2 {
		var ok bool
		if off, ok = elements(p, i); !ok {
			return 0, ""
		}
		size, _, err := heddle.Head(p[off:])
		if !isInt(p[off]) {
			return off, fmt.Sprintf("element %d of the frame is no integer but begins with 0x%02x", i, p[off])
		}
		if err != nil || uint64(len(p)-off) < size {
			return 0, ""
		}
		if _, _, err = msgp.ReadUint64Bytes(p[off:]); err != nil {
			return off, fmt.Sprintf("element %d of the frame is negative", i)
		}
	}
	if off, ok := elements(p, 2); ok && !isArray(p[off:]) {
		return off, fmt.Sprintf("arguments are no array but begin with 0x%02x", p[off])
	}
	return 0, ""
}

// elements returns the offset of element i of the array at the front of p; false: p ends before it.
func elements(p []byte, i int) (off int, ok bool) {
	size, _, err := heddle.Head(p)
	if err != nil {
		return 0, false
	}
	rest := p[size:]
	for range i {
		var v heddle.Value
		if rest, err = v.UnmarshalMsg(rest); err != nil {
			return 0, false
		}
	}
	return len(p) - len(rest), len(rest) > 0
}

func isArray(p []byte) bool { return p[0]&0xf0 == 0x90 || p[0] == 0xdc || p[0] == 0xdd }

func isInt(c byte) bool { return c < 0x80 || c >= 0xe0 || c >= 0xcc && c <= 0xd3 }

// Detect tells the dialect of a channel by its first frame: 0 as the first element is a v0 message type or
// method, and no v1 channel. ErrShort: p does not reach that far. *SyntaxError: no frame of either dialect.
//
// A heartbeat looks the same in both and is taken for v1; no peer's first frame is one.
func Detect(p []byte) (heddle.Dialect, error) {
	if len(p) == 0 {
		return 0, ErrShort
	}
	if !isArray(p) {
		return 0, &SyntaxError{What: fmt.Sprintf("frame is no array but begins with 0x%02x", p[0])}
	}
	size, count, err := heddle.Head(p)
	if err != nil {
		return 0, ErrShort
	}
	if count < 3 {
		return 0, &SyntaxError{What: fmt.Sprintf("frame of %d elements", count)}
	}
	if uint64(len(p)) == size {
		return 0, ErrShort
	}
	first, _, err := msgp.ReadUint64Bytes(p[size:])
	switch {
	case err == msgp.ErrShortBytes:
		return 0, ErrShort
	case err != nil:
		return 0, &SyntaxError{Off: int64(size), What: "element 0 of the frame is no integer of 0 or more"}
	case first == 0:
		return heddle.V0, nil
	}
	return heddle.V1, nil
}
