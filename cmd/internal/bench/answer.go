package bench

import (
	"bytes"
	"errors"
	"math"
)

// Limits of what is read of an answer; its body may have any length.
const (
	maxHead    = 64 << 10 // bytes, of one head, and of all trailer fields
	maxLine    = 4 << 10  // bytes, of one line between chunks
	maxInterim = 16       // answers of status 1xx before one
)

var (
	errHead   = errors.New("bench: malformed head of an answer")
	errChunk  = errors.New("bench: malformed chunk of an answer")
	errTooBig = errors.New("bench: head, chunk line or trailer of an answer is too large")
	errSwitch = errors.New("bench: answer switches protocols")
)

// An answer takes an HTTP/1.x response apart as its bytes come (RFC 9112). It keeps
// nothing but where it is, so it borrows all it is given: first head until that has
// consumed something, then begin, then body until that is done.
//
// It reads what framing needs. Bare line feeds and folded lines are refused.
type answer struct {
	status  int
	closes  bool   // the connection carries nothing after this answer
	hasID   bool   // the field of the request id was there, and was one
	id      uint64 // of the request
	idAt    int    // where in the head it is, if it is there
	minor   byte   // HTTP/1.minor
	chunked bool
	length  int64 // Content-Length, -1: none

	seen    int // bytes of the head that hold no end of it
	interim int // answers of status 1xx so far
	part    part
	left    int64 // bytes, of the body or chunk
	extra   int   // bytes of trailer fields so far
}

// A headCache is the last head that came, since servers send the same one again and
// again but for the id, and what it says. It serves all connections of a driver.
type headCache struct {
	head []byte // as a whole, its end included; empty: none
	says answer
}

// take consumes the head at the front of p if it is the one that came before, any
// request's id in the place of that one's. The cached head ends where the first empty line is,
// so p's does.
func (h *headCache) take(p []byte, a *answer) (n int, ok bool) {
	n = len(h.head)
	if n == 0 || len(p) < n {
		return 0, false
	}
	id := h.says.id
	from := 0
	if at := h.says.idAt; h.says.hasID {
		from = at + idLen
		if string(p[:at]) != string(h.head[:at]) {
			return 0, false
		}
		if id, ok = parseID(p[at:from]); !ok {
			return 0, false
		}
	}
	if string(p[from:n]) != string(h.head[from:]) {
		return 0, false
	}
	*a = h.says
	a.id = id
	return n, true
}

// keep is given a head that was taken apart.
func (h *headCache) keep(head []byte, a *answer) {
	if len(head) <= maxCached {
		h.head, h.says = append(h.head[:0], head...), *a
	}
}

const maxCached = 4 << 10 // bytes

// A part of a body is what comes next.
type part uint8

const (
	partDone    part = iota
	partFixed        // left bytes
	partRest         // all until the connection's end
	partSize         // a chunk's size
	partChunk        // left bytes of a chunk
	partChunkNL      // the line's end behind them
	partTrailer      // a field, or the empty line at the end
)

// head consumes the head at the front of p, and those of interim answers before it.
// ok: it was there as a whole. idField is the name, in lower case, of the field that
// gives back the request's id. errHead, errTooBig, errSwitch.
func (a *answer) head(p []byte, idField string, cache *headCache) (n int, ok bool, err error) {
	if a.seen == 0 && a.interim == 0 {
		if n, ok = cache.take(p, a); ok {
			return n, true, nil
		}
	}
	for {
		from := max(a.seen-len("\r\n\r"), 0)
		end := bytes.Index(p[n+from:], []byte("\r\n\r\n"))
		if end < 0 {
			if a.seen = len(p) - n; a.seen > maxHead {
				return n, false, errTooBig
			}
			return n, false, nil
		}
		end += from + len("\r\n\r\n")
		a.seen = 0
		if end > maxHead {
			return n, false, errTooBig
		}
		interim := a.interim
		*a = answer{interim: interim, length: -1}
		if !a.parse(p[n:n+end-len("\r\n")], idField) {
			return n, false, errHead
		}
		n += end
		switch {
		case a.status >= 200:
			if a.interim == 0 {
				cache.keep(p[:n], a)
			}
			return n, true, nil
		case a.status == 101:
			return n, false, errSwitch
		}
		if a.interim++; a.interim > maxInterim {
			return n, false, errHead
		}
	}
}

// parse reads the lines of a head, each with its end.
func (a *answer) parse(p []byte, idField string) bool {
	// HTTP/1.1 200 OK
	if len(p) < 14 || string(p[:7]) != "HTTP/1." || p[7] < '0' || p[7] > '1' || p[8] != ' ' {
		return false
	}
	a.minor = p[7] - '0'
	for _, c := range p[9:12] {
		if c < '0' || c > '9' {
			return false
		}
		a.status = a.status*10 + int(c-'0')
	}
	if a.status < 100 || p[12] != ' ' && p[12] != '\r' {
		return false
	}
	a.closes = a.minor == 0
	whole := len(p)
	for first := true; len(p) > 0; first = false {
		end := bytes.IndexByte(p, '\n')
		if end < 1 || p[end-1] != '\r' {
			return false
		}
		if line := p[:end-1]; !first && !a.field(line, idField, whole-len(p)) {
			return false
		}
		p = p[end+1:]
	}
	return true
}

// field reads one line of a head, at that place of it.
func (a *answer) field(line []byte, idField string, at int) bool {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return false
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], blank)
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false // folded, or a space before the colon
		}
	}
	switch {
	case equalFold(name, "content-length"):
		n, ok := decimal(value)
		if !ok || a.length >= 0 && a.length != n {
			return false
		}
		a.length = n
	case equalFold(name, "transfer-encoding"):
		if a.chunked || a.minor == 0 || !equalFold(value, "chunked") {
			return false
		}
		a.chunked = true
	case equalFold(name, "connection"):
		for more := true; more; {
			var token []byte
			token, value, more = bytes.Cut(value, []byte(","))
			switch token = bytes.Trim(token, blank); {
			case equalFold(token, "close"):
				a.closes = true
			case equalFold(token, "keep-alive") && a.minor == 0:
				a.closes = false
			}
		}
	case idField != "" && equalFold(name, idField):
		a.id, a.hasID = parseID(value)
		a.idAt = at + cap(line) - cap(value) // value is cut from line
	}
	return true
}

// begin is called behind the head: bare says that the request was one whose answer
// has no body whatever its head says, as HEAD.
func (a *answer) begin(bare bool) {
	switch {
	case bare || a.status == 204 || a.status == 304:
		a.part = partDone
	case a.chunked:
		a.part = partSize
	case a.length > 0:
		a.part, a.left = partFixed, a.length
	case a.length == 0:
		a.part = partDone
	default:
		a.part, a.closes = partRest, true
	}
}

// body consumes what p has of the body; done: it was the end of it. check, if not
// nil, is lent the body's bytes piece by piece. errChunk, errTooBig.
func (a *answer) body(p []byte, check func([]byte)) (n int, done bool, err error) {
	for {
		switch a.part {
		case partDone:
			return n, true, nil
		case partFixed, partRest, partChunk:
			take := len(p) - n
			if a.part != partRest {
				take = int(min(int64(take), a.left))
				a.left -= int64(take)
			}
			if check != nil && take > 0 {
				check(p[n : n+take])
			}
			n += take
			switch {
			case a.part == partRest || a.left > 0:
				return n, false, nil
			case a.part == partFixed:
				a.part = partDone
			default:
				a.part = partChunkNL
			}
		default: // a line
			end := bytes.IndexByte(p[n:], '\n')
			if end < 0 {
				if len(p)-n > maxLine {
					err = errTooBig
				}
				return n, false, err
			}
			if end < 1 || p[n+end-1] != '\r' {
				return n, false, errChunk
			}
			if end > maxLine {
				return n, false, errTooBig
			}
			if err := a.line(p[n : n+end-1]); err != nil {
				return n, false, err
			}
			n += end + 1
		}
	}
}

// line reads a line among chunks, its end taken off.
func (a *answer) line(p []byte) error {
	switch a.part {
	case partChunkNL:
		if len(p) > 0 {
			return errChunk
		}
		a.part = partSize
	case partSize:
		size, ok := chunkSize(p)
		if !ok {
			return errChunk
		}
		if a.part, a.left = partChunk, size; size == 0 {
			a.part = partTrailer
		}
	case partTrailer:
		if len(p) == 0 {
			a.part = partDone
			return nil
		}
		if a.extra += len(p) + len("\r\n"); a.extra > maxHead {
			return errTooBig
		}
		if bytes.IndexByte(p, ':') < 1 {
			return errChunk
		}
	}
	return nil
}

// rest reports whether the end of the connection is that of the body.
func (a *answer) rest() bool { return a.part == partRest }

// chunkSize reads the line before a chunk: its size, and extensions, which mean
// nothing to us.
func chunkSize(p []byte) (n int64, ok bool) {
	if ext := bytes.IndexByte(p, ';'); ext >= 0 {
		p = p[:ext]
	}
	p = bytes.TrimRight(p, blank)
	if len(p) == 0 || len(p) > 15 { // 15 digits stay below 1<<60
		return 0, false
	}
	size, ok := hexNumber(p)
	return int64(size), ok
}

// decimal reads a number of digits and nothing else.
func decimal(p []byte) (n int64, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	for _, c := range p {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// equalFold reports whether p is lower, which is ASCII in lower case, in any case.
func equalFold(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// blank is what a field's value may have around it (RFC 9110, 5.6.3).
const blank = " \t"
