package front

import "bytes"

// A requestHead is the head of a request that is simple: the front answers it on
// the loop. What is accepted here is exactly what net/http's server would make of
// the same bytes; everything else leaves for that server (DESIGN D6).
//
// All slices are borrowed from the bytes that were parsed.
type requestHead struct {
	method, target []byte
	host           []byte
	fields         []field // all but Host, in their order
	length         int64   // of the body, bytes; 0: it has none
	close          bool    // Connection: close

	hasLength bool
	facts     uint8 // kinds of fields seen that concern the facts: 1<<kind
}

// A field is a header field.
type field struct {
	name, value []byte
	kind        kind
}

// A kind is what a field means to the front.
type kind uint8

const (
	other kind = iota
	kindRequestID
	kindFor
	kindProto
	kindHost // X-Forwarded-Host
	kindForwarded
	kindPragma
	kindCacheControl
)

// A reason is why a connection leaves the loop.
type reason uint8

const (
	stays reason = iota
	leavesMethod
	leavesTarget
	leavesVersion
	leavesField
	leavesHost
	leavesLength
	leavesTransfer
	leavesUpgrade
	leavesExpect
	leavesConnection
	leavesCount
	leavesSize
	leavesBody
	leavesRoute
	leavesPlain
	leavesEOF
	reasons
)

var reasonNames = [reasons]string{
	leavesMethod:     "method",          // none of the usual eight
	leavesTarget:     "target",          // not in origin form, or with odd bytes
	leavesVersion:    "version",         // not HTTP/1.1
	leavesField:      "field",           // a line that is not name: value CRLF, with plain bytes
	leavesHost:       "host",            // not exactly one, or with odd bytes
	leavesLength:     "content_length",  // more than one, or no number
	leavesTransfer:   "transfer_coding", // a chunked upload, most likely
	leavesUpgrade:    "upgrade",
	leavesExpect:     "expect",
	leavesConnection: "connection", // neither close nor keep-alive
	leavesCount:      "field_count",
	leavesSize:       "head_size",
	leavesBody:       "body_size", // more than may be uploaded
	leavesRoute:      "route",     // not to workers of ours, see Router
	leavesPlain:      "plain",     // to a worker of Cocaine's with a body over mostPlainBody, or when none on this loop is free
	leavesEOF:        "eof",       // amid a head
}

func (r reason) String() string { return reasonNames[r] }

// parse reads the head at the front of p, of at most maxFields fields, and says
// how long it is; 0: it is not whole yet. Any other reason than stays means that
// it is for net/http to say what it is.
func (h *requestHead) parse(p []byte, maxFields int) (n int, why reason) {
	line, n, why := nextLine(p)
	if n == 0 || why != stays {
		return 0, why
	}
	h.method, h.target, h.host, h.fields = nil, nil, nil, h.fields[:0]
	h.length, h.close, h.hasLength, h.facts = 0, false, false, 0
	if why := h.requestLine(line); why != stays {
		return 0, why
	}
	for {
		line, k, why := nextLine(p[n:])
		if k == 0 || why != stays {
			return 0, why
		}
		n += k
		if len(line) == 0 {
			break
		}
		name, value, ok := cutField(line)
		if !ok {
			return 0, leavesField
		}
		if why := h.enter(name, value); why != stays {
			return 0, why
		}
		if len(h.fields) > maxFields {
			return 0, leavesCount
		}
	}
	if h.host == nil {
		return 0, leavesHost
	}
	if len(h.fields) == maxFields && h.addsCacheControl() {
		return 0, leavesCount
	}
	return n, stays
}

// nextLine cuts a line off the front of p, without its end; n is 0 if it has none.
func nextLine(p []byte) (line []byte, n int, why reason) {
	i := bytes.IndexByte(p, '\n')
	switch {
	case i < 0:
		return nil, 0, stays
	case i == 0 || p[i-1] != '\r':
		return nil, 0, leavesField
	}
	return p[:i-1], i + 1, stays
}

const version = " HTTP/1.1"

func (h *requestHead) requestLine(line []byte) reason {
	i := bytes.IndexByte(line, ' ')
	if i < 0 || !usualMethod(line[:i]) {
		return leavesMethod
	}
	h.method = line[:i]
	rest := line[i+1:]
	i = len(rest) - len(version)
	if i < 0 || string(rest[i:]) != version {
		return leavesVersion
	}
	h.target = rest[:i]
	if !simpleTarget(h.target) {
		return leavesTarget
	}
	return stays
}

func usualMethod(m []byte) bool {
	switch string(m) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// Bytes by what they may be part of.
const (
	inTarget = 1 << iota
	inToken  // RFC 9110 5.6.2
	inValue
	inHost
	inID
	isHex
)

var classes = func() (t [256]uint8) {
	for c := range t {
		if c > 0x20 && c < 0x7f {
			t[c] |= inTarget
		}
		if c == '\t' || c >= 0x20 && c != 0x7f {
			t[c] |= inValue
		}
		alnum := isAlnum(byte(c))
		if alnum || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			t[c] |= inToken
		}
		if alnum || bytes.IndexByte([]byte("-._:[]"), byte(c)) >= 0 {
			t[c] |= inHost
		}
		if alnum || bytes.IndexByte([]byte("-._~:/+=@"), byte(c)) >= 0 {
			t[c] |= inID
		}
		if '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' {
			t[c] |= isHex
		}
	}
	return t
}()

// all says whether every byte of p is of the class.
func all(p []byte, class uint8) bool {
	for _, c := range p {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}

// every is all for a string.
func every(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// simpleTarget takes what url.ParseRequestURI takes, of targets in origin form
// without control bytes and bytes over 0x7e.
func simpleTarget(t []byte) bool {
	if len(t) == 0 || t[0] != '/' || !all(t, inTarget) {
		return false
	}
	path, _, _ := bytes.Cut(t, []byte("?"))
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if i+3 > len(path) || !all(path[i+1:i+3], isHex) {
			return false
		}
		path = path[i+3:]
	}
}

// cutField cuts a header line. ok: it is one, of plain bytes, and does not
// continue the line before it.
func cutField(line []byte) (name, value []byte, ok bool) {
	i := 0
	for i < len(line) && classes[line[i]]&inToken != 0 {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return nil, nil, false
	}
	name, value = line[:i], line[i+1:]
	for len(value) > 0 && isBlank(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && isBlank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return name, value, all(value, inValue)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// enter takes a field in.
func (h *requestHead) enter(name, value []byte) reason {
	k := other
	switch len(name) { // few names have to be compared
	case len("Host"):
		if is(name, "host") {
			if h.host != nil || len(value) == 0 || !all(value, inHost) {
				return leavesHost
			}
			h.host = value
			return stays
		}
	case len("Expect"):
		switch {
		case is(name, "expect"):
			return leavesExpect
		case is(name, "pragma"):
			k = kindPragma
		}
	case len("Upgrade"):
		switch {
		case is(name, "upgrade"):
			return leavesUpgrade
		case is(name, "trailer"):
			return leavesTransfer
		}
	case len("Forwarded"):
		if is(name, "forwarded") {
			k = kindForwarded
		}
	case len("Connection"):
		if is(name, "connection") {
			switch {
			case is(value, "close"):
				h.close = true
			case is(value, "keep-alive"):
			case hasToken(lend(value), "upgrade"):
				return leavesUpgrade
			default:
				return leavesConnection
			}
		}
	case len("X-Request-Id"):
		if is(name, "x-request-id") {
			k = kindRequestID
		}
	case len("Cache-Control"):
		if is(name, "cache-control") {
			k = kindCacheControl
		}
	case len("Content-Length"):
		if is(name, "content-length") {
			n, ok := decimal(value)
			if h.hasLength || !ok {
				return leavesLength
			}
			h.hasLength, h.length = true, n
		}
	case len("X-Forwarded-For"):
		if is(name, "x-forwarded-for") {
			k = kindFor
		}
	case len("X-Forwarded-Host"):
		if is(name, "x-forwarded-host") {
			k = kindHost
		}
	case len("Transfer-Encoding"):
		switch {
		case is(name, "transfer-encoding"):
			return leavesTransfer
		case is(name, "x-forwarded-proto"):
			k = kindProto
		}
	}
	h.facts |= 1 << k
	h.fields = append(h.fields, field{name, value, k})
	return stays
}

// has says whether there is a field of this kind.
func (h *requestHead) has(k kind) bool { return h.facts&(1<<k) != 0 }

// addsCacheControl says whether net/http would add a field: Cache-Control, to
// Pragma: no-cache.
func (h *requestHead) addsCacheControl() bool {
	return h.has(kindPragma) && !h.has(kindCacheControl) && string(h.first(kindPragma)) == "no-cache"
}

// is compares without regard to case; lower is in lower case.
func is(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// decimal reads digits and nothing else, of a number that any peer can hold.
func decimal(p []byte) (n int64, ok bool) {
	if len(p) == 0 || len(p) > 18 {
		return 0, false
	}
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// A lineScan looks for the end of a head that comes in pieces, each byte of which
// is looked at once.
type lineScan struct{ seen, begun int } // bytes looked at; where the last line begins

// next goes on in p, which has grown at its end, and says whether there is a whole
// head at its front. A line that is none leaves at once, as net/http answers it.
func (s *lineScan) next(p []byte) (whole bool, why reason) {
	for {
		i := bytes.IndexByte(p[s.seen:], '\n')
		if i < 0 {
			s.seen = len(p)
			return false, stays
		}
		line, n, why := nextLine(p[s.begun : s.seen+i+1])
		if why != stays {
			return false, why
		}
		first := s.begun == 0
		s.begun += n
		s.seen = s.begun
		if len(line) == 0 {
			return true, stays
		}
		if !first {
			if _, _, ok := cutField(line); !ok {
				return false, leavesField
			}
			continue
		}
		var h requestHead
		if why := h.requestLine(line); why != stays {
			return false, why
		}
	}
}
