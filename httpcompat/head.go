package httpcompat

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"unsafe"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
)

// errHead is wrapped by what is wrong with a head that could be decoded and
// still is none of a request or a response.
var errHead = errors.New("httpcompat: malformed head")

// maxFields is how many header fields a head may have, the limit of the root
// messages (RequestHead, ResponseHead, Info, Trailers).
const maxFields = 1024

// undecodable is why a head could not be decoded.
func undecodable(err error) error {
	if errors.Is(err, codec.ErrTooLarge) {
		return fmt.Errorf("%w: it may have %d fields: %w", errHead, maxFields, err)
	}
	return errHead
}

// An arena is the one string that every string of a decoded head is cut from,
// so that a head costs one allocation whatever it holds. Handlers may keep its
// strings, so it is never pooled; keeping one keeps the whole head.
type arena struct {
	text string
	from []byte // what text is a copy of: the head as it was decoded
}

// newArena copies data, from which the heads given to cut were decoded.
func newArena(data []byte) arena { return arena{string(data), data} }

// cut returns the string that raw was in the head. The offset of one borrowed
// slice in another is something only their addresses tell.
func (a *arena) cut(raw heddle.Raw) string {
	if len(raw) == 0 {
		return ""
	}
	off := uintptr(unsafe.Pointer(unsafe.SliceData(raw))) - uintptr(unsafe.Pointer(unsafe.SliceData(a.from)))
	return a.text[off : off+uintptr(len(raw))]
}

// fields makes an http.Header of headers. All values are cut from one backing
// array; a Host field is returned instead of entered, as net/http has it.
//
// Names rarely repeat, so each is entered without being looked up. When the
// map has not grown one did, and everything is entered again the careful way.
func (a *arena) fields(headers []heddle.Header) (h http.Header, host string, err error) {
	h = make(http.Header, len(headers))
	values := make([]string, len(headers))
	entered := 0
	for i := range headers {
		name, ok := canonical(a.cut(headers[i].Name))
		value := a.cut(headers[i].Value)
		if !ok || !validValue(value) {
			return nil, "", errHead
		}
		values[i] = value
		if name == "Host" {
			if host == "" {
				host = value
			}
			continue
		}
		h[name] = values[i : i+1 : i+1]
		if entered++; len(h) != entered {
			return a.repeatedFields(headers)
		}
	}
	return h, host, nil
}

// repeatedFields is fields for headers whose names repeat.
func (a *arena) repeatedFields(headers []heddle.Header) (h http.Header, host string, err error) {
	h = make(http.Header, len(headers))
	for i := range headers {
		name, ok := canonical(a.cut(headers[i].Name))
		value := a.cut(headers[i].Value)
		switch {
		case !ok || !validValue(value):
			return nil, "", errHead
		case name != "Host":
			h[name] = append(h[name], value)
		case host == "":
			host = value
		}
	}
	return h, host, nil
}

// fill fills r from the head in sc, which was decoded from data. u becomes
// r.URL, local is the address that the request arrived at, and id its name. Plain is the
// form of Cocaine's peers: the body is in the head and nothing is known beyond
// it.
func (sc *scratch) fill(r *http.Request, u *requestURL, data []byte, plain bool) (local, id string, err error) {
	head := &sc.req
	if plain {
		// The body is the last of the five elements: what is in front of it
		// is all that strings are cut from.
		data = data[:len(data)-len(head.Body)]
	}
	a := newArena(data)
	r.Method, r.RequestURI = a.cut(head.Method), a.cut(head.URI)
	if !validName(r.Method) {
		return "", "", errHead
	}
	if r.Proto, r.ProtoMajor, r.ProtoMinor, err = protocol(string(head.Version)); err != nil {
		return "", "", err
	}
	if r.Header, r.Host, err = a.fields(head.Headers); err != nil {
		return "", "", err
	}
	if err = u.parse(r.Method, r.RequestURI); err != nil {
		return "", "", err
	}
	r.URL = &u.URL
	if plain {
		r.ContentLength = int64(len(head.Body))
		r.Header.Del("Transfer-Encoding")
		r.RemoteAddr = plainRemote(r.Header)
	} else {
		local, id = sc.fillExtra(r, &a)
	}
	if u.Host != "" {
		r.Host = u.Host // of a request in absolute form, RFC 9112 3.2.2
	}
	return local, id, nil
}

// fillExtra takes what only Heddle ends tell each other.
func (sc *scratch) fillExtra(r *http.Request, a *arena) (local, id string) {
	x := &sc.req.Extra
	r.ContentLength = max(x.ContentLength, -1)
	r.RemoteAddr = a.cut(x.RemoteAddr)
	r.Close = x.Close
	if len(x.Host) > 0 {
		r.Host = a.cut(x.Host)
	}
	for _, te := range x.TransferEncoding {
		r.TransferEncoding = append(r.TransferEncoding, a.cut(te))
	}
	if len(x.Trailer) > 0 {
		r.Trailer = make(http.Header, len(x.Trailer))
		for _, name := range x.Trailer {
			r.Trailer[http.CanonicalHeaderKey(a.cut(name))] = nil
		}
	}
	if x.TLS.Version != 0 {
		r.TLS = connectionState(&x.TLS, a)
	}
	return a.cut(x.LocalAddr), a.cut(x.RequestID)
}

// connectionState is what a handler may know of its client's TLS connection.
// The one certificate has a subject and nothing else; it is there only if the
// front has verified it.
func connectionState(t *heddle.TLSInfo, a *arena) *tls.ConnectionState {
	cs := &tls.ConnectionState{
		Version:            uint16(t.Version),
		HandshakeComplete:  true,
		CipherSuite:        uint16(t.CipherSuite),
		NegotiatedProtocol: a.cut(t.Protocol),
		ServerName:         a.cut(t.ServerName),
	}
	if len(t.PeerSubject) > 0 {
		cert := &x509.Certificate{RawSubject: append([]byte(nil), t.PeerSubject...)}
		var rdn pkix.RDNSequence
		if _, err := asn1.Unmarshal(cert.RawSubject, &rdn); err == nil {
			cert.Subject.FillFromRDNSequence(&rdn)
			cs.PeerCertificates = []*x509.Certificate{cert}
			cs.VerifiedChains = [][]*x509.Certificate{{cert}}
		}
	}
	return cs
}

// plainRemote is a client's address as far as a Cocaine proxy tells it: by a
// header, without a port. Handlers split it, so it must have one.
func plainRemote(h http.Header) string {
	ip := h.Get("X-Real-Ip")
	switch {
	case ip == "":
		return "0.0.0.0:0"
	case strings.Contains(ip, ":"):
		return "[" + strings.Trim(ip, "[]") + "]:0"
	}
	return ip + ":0"
}

// protocol reads a version, with or without the word before it.
func protocol(v string) (proto string, major, minor int, err error) {
	switch v {
	case "1.1", "HTTP/1.1":
		return "HTTP/1.1", 1, 1, nil
	case "1.0", "HTTP/1.0":
		return "HTTP/1.0", 1, 0, nil
	case "2.0", "HTTP/2.0":
		return "HTTP/2.0", 2, 0, nil
	case "3.0", "HTTP/3.0":
		return "HTTP/3.0", 3, 0, nil
	}
	if digit, ok := strings.CutPrefix(v, "HTTP/1."); ok && len(digit) == 1 && '2' <= digit[0] && digit[0] <= '9' {
		minor := int(digit[0] - '0')
		return "HTTP/1." + decimal(int64(minor)), 1, minor, nil
	}
	return "", 0, 0, errHead
}

// version is protocol's reverse.
func version(r *http.Request) string {
	switch {
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		return "1.0"
	case r.ProtoMajor == 2:
		return "2.0"
	case r.ProtoMajor == 3:
		return "3.0"
	case r.ProtoMajor == 1 && 1 < r.ProtoMinor && r.ProtoMinor <= 9:
		return "HTTP/1." + decimal(int64(r.ProtoMinor))
	}
	return "1.1"
}

// expectsContinue says whether r's client waits for 100-continue.
func expectsContinue(r *http.Request) bool {
	return hasToken(r.Header["Expect"], "100-continue") && r.ProtoAtLeast(1, 1)
}

// extraOf is what a Heddle worker is told of r beyond the five elements.
func extraOf(r *http.Request, local string) heddle.RequestExtra {
	x := heddle.RequestExtra{
		RemoteAddr:    raw(r.RemoteAddr),
		LocalAddr:     raw(local),
		RequestID:     raw(r.Header.Get("X-Request-Id")),
		ContentLength: r.ContentLength,
		Host:          raw(r.Host),
		Close:         r.Close,
	}
	for _, te := range r.TransferEncoding {
		x.TransferEncoding = append(x.TransferEncoding, raw(te))
	}
	for name := range r.Trailer {
		x.Trailer = append(x.Trailer, raw(name))
	}
	if t := r.TLS; t != nil {
		x.TLS = heddle.TLSInfo{
			Version:     uint64(t.Version),
			CipherSuite: uint64(t.CipherSuite),
			ServerName:  raw(t.ServerName),
			Protocol:    raw(t.NegotiatedProtocol),
		}
		if len(t.VerifiedChains) > 0 && len(t.PeerCertificates) > 0 {
			x.TLS.PeerSubject = t.PeerCertificates[0].RawSubject
		}
	}
	return x
}

// AppendRequestHead appends r's head, no frame, as it goes to a Heddle worker.
// Local is the address that the request arrived at, "" if nobody knows.
func AppendRequestHead(dst []byte, r *http.Request, local string) []byte {
	dst, _ = appendRequestHead(dst, r, local)
	return dst
}

// appendRequestHead is AppendRequestHead and says whether a worker will take it:
// a head of too many fields is none.
func appendRequestHead(dst []byte, r *http.Request, local string) (head []byte, ok bool) {
	dst = appendRequestLine(append(dst, 0x96), r, version(r))
	n := countFields(r.Header)
	dst = appendFields(codec.AppendArray(dst, n), r.Header)
	dst = codec.AppendRaw(dst, nil)
	x := extraOf(r, local)
	dst, _ = x.MarshalMsg(dst) // fails for no value of these types
	return dst, n <= maxFields && len(x.Trailer) <= maxFields
}

// appendPlainHead is appendRequestHead in the form of Cocaine's peers: the body in
// it, Host and Content-Length among the headers, and no trace of how the client had
// framed the body.
func appendPlainHead(dst []byte, r *http.Request, body []byte) (head []byte, ok bool) {
	as := "1.1" // others would be no HTTP to those that make text of it again
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		as = "1.0"
	}
	dst = appendRequestLine(append(dst, 0x95), r, as)
	h := r.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	dropHops(h)
	h.Del("Expect")
	if r.Host != "" {
		h["Host"] = []string{r.Host}
	}
	if len(body) > 0 || h.Get("Content-Length") != "" {
		h["Content-Length"] = []string{decimal(int64(len(body)))}
	}
	n := countFields(h)
	dst = appendFields(codec.AppendArray(dst, n), h)
	return codec.AppendRaw(dst, body), n <= maxFields
}

func appendRequestLine(dst []byte, r *http.Request, version string) []byte {
	uri := r.RequestURI
	if uri == "" && (r.Method != "CONNECT" || *r.URL != (url.URL{})) { // made by a program, not by a server
		uri = r.URL.RequestURI()
	}
	return codec.AppendRawString(codec.AppendRawString(codec.AppendRawString(dst, r.Method), uri), version)
}

// countFields is how many name and value pairs h has.
func countFields(h http.Header) (n int) {
	for _, vv := range h {
		n += len(vv)
	}
	return n
}

// appendFields appends h's pairs; the array's head comes from the caller.
//
// array(2): name raw, value raw; for each
func appendFields(dst []byte, h http.Header) []byte {
	for name, vv := range h {
		for _, v := range vv {
			dst = appendField(dst, name, v)
		}
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	return codec.AppendRawString(codec.AppendRawString(append(dst, 0x92), name), value)
}

// appendHeader appends a header of a response, and returns of how many pairs it
// was. What cannot be sent is dealt with as net/http does: an invalid name is
// dropped, a line break in a value becomes a space, and with HTTP/2 (major 2) the
// value is dropped.
func appendHeader(dst []byte, name string, vv []string, major int) (head []byte, n int) {
	if !validName(name) {
		return dst, 0
	}
	for _, v := range vv {
		valid := validValue(v)
		switch {
		case major < 2:
			if !valid {
				v = strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
			}
			v = textproto.TrimString(v)
		case !valid:
			continue
		}
		dst = appendField(dst, name, v)
		n++
	}
	return dst, n
}

// appendStatus appends a status code, which has three digits.
func appendStatus(dst []byte, code int) []byte {
	switch {
	case code < 0x80:
		return append(dst, byte(code))
	case code < 0x100:
		return append(dst, 0xcc, byte(code))
	}
	return append(dst, 0xcd, byte(code>>8), byte(code))
}

// raw lends s as bytes, which must not be written to.
func raw(s string) heddle.Raw { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// token are the bytes of methods and of header names, RFC 9110 5.6.2.
var token = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !token[s[i]] {
			return false
		}
	}
	return s != ""
}

// canonical returns a header's name in canonical form, and whether it is one.
// Nearly every name already is, which one pass tells.
func canonical(name string) (string, bool) {
	upper := true
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !token[c] {
			return "", false
		}
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			return textproto.CanonicalMIMEHeaderKey(name), validName(name)
		}
		upper = c == '-'
	}
	return name, name != ""
}

// validValue refuses what could be read as the end of a field. Other control
// bytes are as harmless in a worker as they are in the client's request.
func validValue(s string) bool {
	return strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0
}
