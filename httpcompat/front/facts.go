package front

import (
	"math/rand/v2"
	"net/http"
	"strings"
)

// The fields that the front sets, in canonical form.
const (
	requestID      = "X-Request-Id"
	forwardedFor   = "X-Forwarded-For"
	forwardedProto = "X-Forwarded-Proto"
	forwardedHost  = "X-Forwarded-Host"
	forwarded      = "Forwarded"
)

// factFields is how many fields are set at most.
const factFields = 5

// facts is where a request's new values are kept, so that they cost no
// allocation of their own.
type facts [factFields]string

// set enters value i as h's only one of that name.
func (f *facts) set(h http.Header, i int, name, value string) {
	f[i] = value
	h[name] = f[i : i+1 : i+1]
}

// enter writes on r what a proxy knows of it, and returns its id.
func (f *facts) enter(r *http.Request, t Trusted, short bool) (id string) {
	h := r.Header
	if vv := h[requestID]; len(vv) == 1 && validID(vv[0]) {
		id = vv[0]
	} else {
		id = newID(short)
		f.set(h, 0, requestID, id)
	}
	p := t.peerOf(r.RemoteAddr)
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	var fors, nodes string // what a trusted peer said before
	if p.trusted {
		fors = strings.Join(h[forwardedFor], ", ")
		if nodes = strings.Join(h[forwarded], ", "); nodes == "" || !wholeQuotes(nodes) {
			nodes = nodesOf(fors)
		}
	}
	switch {
	case p.ip != "":
		f.set(h, 1, forwardedFor, list(fors, p.ip))
	case fors != "":
		f.set(h, 1, forwardedFor, fors)
	default:
		delete(h, forwardedFor)
	}
	if !p.trusted || h.Get(forwardedProto) == "" {
		f.set(h, 2, forwardedProto, proto)
	}
	switch {
	case p.trusted && h.Get(forwardedHost) != "":
	case r.Host != "":
		f.set(h, 3, forwardedHost, r.Host)
	default:
		delete(h, forwardedHost)
	}
	var room [128]byte
	b := append(room[:0], nodes...)
	if nodes != "" {
		b = append(b, ", "...)
	}
	f.set(h, 4, forwarded, string(appendElement(b, p, r.Host, proto)))
	return id
}

// dropFacts removes from trailers what only a proxy says, and in the head: some
// programs merge the two.
func dropFacts(trailer http.Header) {
	for _, name := range [...]string{requestID, forwardedFor, forwardedProto, forwardedHost, forwarded} {
		delete(trailer, name)
	}
}

// list appends an element to what came before it.
func list(before, element string) string {
	if before == "" {
		return element
	}
	return before + ", " + element
}

// appendElement appends what this proxy says in Forwarded, RFC 7239 4.
func appendElement(b []byte, p peer, host, proto string) []byte {
	b = append(b, "for="...)
	switch {
	case p.ip == "":
		b = append(b, "unknown"...)
	case p.six:
		b = append(append(append(b, `"[`...), p.ip...), `]"`...)
	default:
		b = append(b, p.ip...)
	}
	if host != "" {
		b = appendQuoted(append(b, ";host="...), host)
	}
	return append(append(b, ";proto="...), proto...)
}

// nodesOf says X-Forwarded-For's addresses as elements of Forwarded.
func nodesOf(fors string) string {
	if fors == "" {
		return ""
	}
	var b []byte
	for addr := range strings.SplitSeq(fors, ",") {
		addr = strings.TrimSpace(addr)
		if addr == "" {
			continue
		}
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		if strings.Count(addr, ":") > 1 && !strings.HasPrefix(addr, "[") {
			addr = "[" + addr + "]"
		}
		b = appendQuoted(append(b, "for="...), addr)
	}
	return string(b)
}

// wholeQuotes says whether each quoted-string in s has its end: behind one that
// has none, what is appended would be its text.
func wholeQuotes(s string) bool {
	in := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			in = !in
		case s[i] == '\\' && in:
			i++
		}
	}
	return !in
}

// appendQuoted appends s as a token, or as a quoted-string where it is none (RFC
// 9110 5.6).
func appendQuoted(b []byte, s string) []byte {
	if s != "" && every(s, inToken) {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// maxID is how many bytes of a client's request id are kept.
const maxID = 128

// validID says whether a client's request id may be kept. It is written to
// logs and into answers.
func validID(s string) bool { return s != "" && len(s) <= maxID && every(s, inID) }

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// newID makes a request id of 16 random bytes, a short one of 8. It names a
// request and keeps no secret, so the runtime's generator will do.
func newID(short bool) string {
	var room [32]byte
	return string(appendID(room[:0], short))
}

// appendID appends a new request id.
func appendID(b []byte, short bool) []byte {
	const digits = "0123456789abcdef"
	words := 2
	if short {
		words = 1
	}
	for range words {
		n := rand.Uint64()
		for k := range 16 {
			b = append(b, digits[n>>(60-4*k)&15])
		}
	}
	return b
}
