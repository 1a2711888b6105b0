package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Events of sessions that belong to a Hub begin with a NUL, which no event of an
// app has, and so nothing that an app calls a topic, a namespace or an event is
// ever one of ours.
const (
	eventMessages = "\x00m" // followed by the namespace: a stream of messages, acknowledgements come back
	eventRequest  = "\x00q" // followed by the namespace: one request, replies come back
	eventReady    = "\x00r" // the namespaces that are ready now
)

// Ours says whether a session with this event belongs to a Hub, and therefore to
// Peer.Accept.
func Ours(event string) bool { return len(event) > 0 && event[0] == 0 }

// MaxName is how many bytes a topic or the name of a namespace may have.
const MaxName = 255

// mostNamed is how many namespaces one announcement may name.
const mostNamed = 64

var (
	errShort  = errors.New("ipc: record not whole")
	errRecord = errors.New("ipc: malformed record")
	errBig    = fmt.Errorf("%w: over the limit of a message", errRecord)
)

// A record is one message as it travels in a stream.
//
// array(5): seq uint or nil, topic raw, files uint, format uint, payload raw
type record struct {
	seq     uint64 // 0: nobody waits for an acknowledgement
	topic   []byte
	files   int
	format  Format
	payload []byte
}

// recordMost is how many bytes a record takes beside topic and payload.
const recordMost = 1 + 9 + 5 + 1 + 1 + 5

func appendRecord(dst []byte, r *record) []byte {
	dst = append(dst, 0x95)
	if r.seq == 0 {
		dst = append(dst, 0xc0)
	} else {
		dst = appendUint(dst, r.seq)
	}
	dst = appendRaw(dst, r.topic)
	dst = append(dst, byte(r.files), byte(r.format))
	return appendRaw(dst, r.payload)
}

// nextRecord returns the message at the front of p, which it borrows, and its
// length. limit is of the payload. With errShort, n is how many bytes p must hold
// before asking again is of use.
func nextRecord(p []byte, limit int) (r record, n int, err error) {
	c := cursor{p: p, limit: limit}
	c.array(5)
	r.seq = c.seq()
	r.topic = c.raw(MaxName)
	files := c.uint()
	format := c.uint()
	r.payload = c.raw(limit)
	if c.err == nil && (files > MaxFiles || format > uint64(lastFormat)) {
		c.fail(errRecord)
	}
	r.files, r.format = int(files), Format(format)
	return r, c.off, c.err
}

// An ackRecord answers a message.
//
// array(3): seq uint, format uint, payload raw; or of a failure array(3): seq uint, [category int, code int], text raw
type ackRecord struct {
	seq            uint64
	failed         bool
	format         Format
	category, code int64
	data           []byte // payload or text
}

func appendAck(dst []byte, a *ackRecord) []byte {
	dst = appendUint(append(dst, 0x93), a.seq)
	if a.failed {
		dst = appendInt(append(dst, 0x92), a.category)
		dst = appendInt(dst, a.code)
	} else {
		dst = append(dst, byte(a.format))
	}
	return appendRaw(dst, a.data)
}

func nextAck(p []byte, limit int) (a ackRecord, n int, err error) {
	c := cursor{p: p, limit: limit}
	c.array(3)
	a.seq = c.uint()
	if c.more() && c.p[c.off] == 0x92 {
		a.failed = true
		c.off++
		a.category, a.code = c.int(), c.int()
	} else if format := c.uint(); format <= uint64(lastFormat) {
		a.format = Format(format)
	} else {
		c.fail(errRecord)
	}
	a.data = c.raw(limit)
	return a, c.off, c.err
}

// appendReply encodes one reply to a request.
//
// array(2): format uint, payload raw
func appendReply(dst []byte, f Format, p []byte) []byte {
	return appendRaw(append(dst, 0x92, byte(f)), p)
}

func nextReply(p []byte, limit int) (f Format, payload []byte, n int, err error) {
	c := cursor{p: p, limit: limit}
	c.array(2)
	format := c.uint()
	if format > uint64(lastFormat) {
		c.fail(errRecord)
	}
	payload = c.raw(limit)
	return Format(format), payload, c.off, c.err
}

// appendNames encodes an announcement; no name stands for every namespace.
//
// array: name raw …
func appendNames(dst []byte, names []string) []byte {
	dst = append(dst, 0xdc, byte(len(names)>>8), byte(len(names)))
	for _, n := range names {
		dst = appendRaw(dst, []byte(n))
	}
	return dst
}

func readNames(p []byte) (names []string, err error) {
	c := cursor{p: p, limit: MaxName}
	n := c.anyArray()
	if n > mostNamed {
		c.fail(errRecord)
	}
	for range n {
		if c.err == nil {
			names = append(names, string(c.raw(MaxName)))
		}
	}
	if c.err == nil && c.off != len(p) {
		c.fail(errRecord)
	}
	return names, c.err
}

// A cursor reads msgpack from p. After the first error everything reads as zero:
// errShort with off at what p must hold at least, or errRecord.
type cursor struct {
	p     []byte
	off   int
	limit int // bytes of the largest raw
	err   error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// need says whether n bytes are there behind off.
func (c *cursor) need(n int) bool {
	if c.err != nil {
		return false
	}
	if len(c.p)-c.off < n {
		c.err, c.off = errShort, c.off+n
		return false
	}
	return true
}

func (c *cursor) more() bool { return c.need(1) }

func (c *cursor) array(n int) {
	if c.need(1) {
		if c.p[c.off] != 0x90|byte(n) {
			c.fail(errRecord)
			return
		}
		c.off++
	}
}

func (c *cursor) anyArray() int {
	if !c.need(1) {
		return 0
	}
	switch b := c.p[c.off]; {
	case b&0xf0 == 0x90:
		c.off++
		return int(b & 0x0f)
	case b == 0xdc:
		return int(c.big(2))
	}
	c.fail(errRecord)
	return 0
}

// big reads the n bytes behind the one at off.
func (c *cursor) big(n int) (v uint64) {
	if !c.need(1 + n) {
		return 0
	}
	for _, b := range c.p[c.off+1 : c.off+1+n] {
		v = v<<8 | uint64(b)
	}
	c.off += 1 + n
	return v
}

func (c *cursor) uint() uint64 {
	if !c.need(1) {
		return 0
	}
	switch b := c.p[c.off]; {
	case b < 0x80:
		c.off++
		return uint64(b)
	case b >= 0xcc && b <= 0xcf:
		return c.big(1 << (b - 0xcc))
	}
	c.fail(errRecord)
	return 0
}

// seq is a number from 1, or nil, which is 0.
func (c *cursor) seq() uint64 {
	if c.need(1) && c.p[c.off] == 0xc0 {
		c.off++
		return 0
	}
	n := c.uint()
	if n == 0 {
		c.fail(errRecord)
	}
	return n
}

func (c *cursor) int() int64 {
	if !c.need(1) {
		return 0
	}
	switch b := c.p[c.off]; {
	case b >= 0xe0:
		c.off++
		return int64(int8(b))
	case b >= 0xd0 && b <= 0xd3:
		n := 1 << (b - 0xd0)
		return int64(c.big(n)<<(64-8*n)) >> (64 - 8*n)
	}
	return int64(c.uint())
}

// raw is a byte string of any kind, at most most bytes long.
func (c *cursor) raw(most int) []byte {
	if !c.need(1) {
		return nil
	}
	var n uint64
	switch b := c.p[c.off]; {
	case b&0xe0 == 0xa0:
		n = uint64(b & 0x1f)
		c.off++
	case b >= 0xd9 && b <= 0xdb: // raw 8, 16, 32
		n = c.big(1 << (b - 0xd9))
	case b >= 0xc4 && b <= 0xc6: // bin 8, 16, 32
		n = c.big(1 << (b - 0xc4))
	default:
		c.fail(errRecord)
	}
	if c.err == nil && n > uint64(most) {
		c.fail(errBig)
	}
	if c.err != nil || !c.need(int(n)) {
		return nil
	}
	p := c.p[c.off : c.off+int(n) : c.off+int(n)]
	c.off += int(n)
	return p
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= 0xff:
		return append(dst, 0xcc, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(n))
}

// appendRaw writes the old kinds of raw alone, as everywhere (PROTOCOL 8).
func appendRaw(dst, p []byte) []byte {
	switch n := len(p); {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
	return append(dst, p...)
}
