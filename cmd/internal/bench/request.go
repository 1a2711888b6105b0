package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Request is one kind of request of a run. Wherever its path, header or body says
// {id}, the request's id takes its place: 16 hex digits, another one each time.
type Request struct {
	Name   string      `json:"name"`   // in reports; default the method and path
	Method string      `json:"method"` // default GET, or POST with a body
	Path   string      `json:"path"`   // with the query; default the target's
	Header http.Header `json:"header"` // Content-Length and Connection are the generator's own
	Body   string      `json:"body"`
	Event  string      `json:"event"`  // of a session, which has only this and the body; default the target's
	Pack   bool        `json:"pack"`   // of a session: it has the rest, too, packed as events want it that stand for HTTP
	Weight int         `json:"weight"` // how often, in proportion to the others'; default 1
	Status int         `json:"status"` // the answer's, else it counts as an error; default any 2xx or 3xx
	Expect string      `json:"expect"` // the answer's body, likewise; "": any
}

const (
	maxRequests = 1000
	maxRequest  = 4 << 20 // bytes of a request, head and body
	maxWeight   = 1_000_000
	idMark      = "{id}"
)

// ParseRequests reads a JSON list of requests, of one or more. What it does not know in
// them is refused: a name that is misspelt would be a request that nobody meant.
func ParseRequests(p []byte) ([]Request, error) {
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	var list []Request
	err := d.Decode(&list)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("more than one list")
		} else if err == io.EOF {
			err = nil
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("bench: %w", badRequests(p, err))
	case len(list) == 0:
		return nil, errors.New("bench: no requests")
	}
	return list, nil
}

// badRequests is err of reading p as requests, for a person.
func badRequests(p []byte, err error) error {
	var syntax *json.SyntaxError
	var other *json.UnmarshalTypeError
	line := func(offset int64) int {
		return 1 + bytes.Count(p[:max(min(offset, int64(len(p))), 1)-1], []byte("\n"))
	}
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %s", line(syntax.Offset), syntax)
	case errors.As(err, &other) && other.Field == "":
		return fmt.Errorf("line %d: want a list of requests, [{...}, {...}]; got: %s", line(other.Offset), other.Value)
	case errors.As(err, &other):
		return fmt.Errorf("line %d: %s: it cannot be a %s", line(other.Offset), other.Field, other.Value)
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return errors.New("it ends too soon")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// A template is a request as bytes, but for its id.
type template struct {
	name   string
	bytes  []byte
	ids    []int // where the id belongs
	bare   bool  // its answer has no body
	status int
	expect string
	event  string // of a session

	// What bytes is made of, for carriers.
	method, host, path, body string
	header                   http.Header // but for Host
	idField                  string      // "": none
	plain                    bool        // it has no idMark
}

// stamp puts an id in; the bytes are valid until the next stamp.
func (t *template) stamp(id uint64) []byte {
	if len(t.ids) > 0 {
		at := t.ids[0]
		putID(t.bytes[at:], id)
		for _, other := range t.ids[1:] {
			copy(t.bytes[other:other+idLen], t.bytes[at:])
		}
	}
	return t.bytes
}

// compile makes a template of r. idField: the name of the field for the id, "": none.
func (r Request) compile(target Target, idField string, closing bool) (*template, error) {
	switch {
	case target.App != "":
		return r.compileCall(target, idField)
	case r.Event != "" || r.Pack:
		return nil, errors.New("bench: an event is for an app's sessions")
	}
	if r.Method == "" {
		if r.Method = "GET"; r.Body != "" {
			r.Method = "POST"
		}
	}
	if r.Path == "" {
		r.Path = target.Path
	}
	if r.Name == "" {
		r.Name = r.Method + " " + r.Path
	}
	fail := func(format string, args ...any) (*template, error) {
		return nil, fmt.Errorf("bench: request %q: "+format, append([]any{r.Name}, args...)...)
	}
	switch {
	case !token(r.Method) || r.Method == "CONNECT":
		return fail("its method is not one")
	case !printable(r.Path) || strings.Contains(r.Path, " ") || r.Path != "*" && r.Path[0] != '/':
		return fail("its path has to begin with / and to have no space")
	case r.Status != 0 && (r.Status < 200 || r.Status > 999):
		return fail("no answer has the status %d", r.Status)
	}
	header := make(http.Header)
	for name, values := range r.Header {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	var b strings.Builder
	host := target.Host
	if h := header.Get("Host"); h != "" {
		host = h
	}
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	b.WriteString(r.Method + " " + r.Path + " HTTP/1.1\r\n")
	field("Host", host)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		switch name {
		case "Host":
			continue
		case "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "Te", "Trailer":
			return fail("%s cannot be set", name)
		}
		if strings.EqualFold(name, idField) {
			return fail("%s is set by the generator itself", name)
		}
		for _, v := range header[name] {
			if !token(name) || !printable(v) {
				return fail("%q cannot be a field's name and value", name+": "+v)
			}
			field(name, v)
		}
	}
	if idField != "" {
		field(idField, idMark)
	}
	body := strings.ReplaceAll(r.Body, idMark, strings.Repeat("0", idLen))
	if r.Body != "" || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		field("Content-Length", strconv.Itoa(len(body)))
	}
	if closing {
		field("Connection", "close")
	}
	b.WriteString("\r\n" + r.Body)
	if !printable(host) {
		return fail("%q cannot be a host", host)
	}

	header.Del("Host")
	t := &template{
		name: r.Name, bare: r.Method == "HEAD", status: r.Status, expect: r.Expect,
		method: r.Method, host: host, path: r.Path, body: r.Body, header: header, idField: idField,
	}
	if target.Web() {
		if err := t.checkWeb(); err != nil {
			return fail("%w", err)
		}
	}
	if !t.fill(b.String(), idMark) {
		return fail("it is longer than %d bytes", maxRequest)
	}
	own := 0
	if idField != "" {
		own = 1
	}
	t.plain = len(t.ids) == own
	return t, nil
}

// fill makes t's bytes and ids of text, in which mark stands for the id. It fails if
// that is too long.
func (t *template) fill(text, mark string) bool {
	for more := true; more; {
		var before string
		before, text, more = strings.Cut(text, mark)
		t.bytes = append(t.bytes, before...)
		if more {
			t.ids = append(t.ids, len(t.bytes))
			t.bytes = append(t.bytes, strings.Repeat("0", idLen)...)
		}
		if len(t.bytes) > maxRequest {
			return false
		}
	}
	return true
}

// token reports whether s is one (RFC 9110, 5.6.2).
func token(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}

// printable reports whether s has no control character.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}
