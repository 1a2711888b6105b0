package workertest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/heddle-go/heddle/codec"
)

// HTTP asks the worker as the proxies of the real clouds do: the request, its body
// with it, is one chunk, and the answer a head and the body's chunks behind it
// (PROTOCOL 4). The event is "http" by convention. r's body is read to its end.
//
// RuleResponseHead and RuleResponseBody are held here. The error is Next's, or says
// that the answer was none.
func (r *Runtime) HTTP(event string, q *http.Request, o InvokeOptions) (*http.Response, error) {
	head, err := r.packRequest(q)
	if err != nil {
		return nil, err
	}
	o.First, o.Last = head, true
	c, err := r.Invoke(event, o)
	if err != nil {
		return nil, err
	}
	return c.Response()
}

// packRequest is array(5): method raw, uri raw, version raw, headers array of [name,
// value], body raw. Tornado's proxy of 0.11 says "HTTP/1.1", the others "1.1".
func (r *Runtime) packRequest(q *http.Request) ([]byte, error) {
	var body []byte
	if q.Body != nil {
		var err error
		if body, err = io.ReadAll(q.Body); err != nil {
			return nil, err
		}
	}
	uri, version := q.RequestURI, "1.1"
	if uri == "" {
		uri = q.URL.RequestURI()
	}
	if r.version == Runtime011 {
		version = "HTTP/1.1"
	}
	h := q.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Host", q.Host)
	if len(body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	var pairs []byte
	n := 0
	for name, vv := range h {
		for _, v := range vv {
			pairs = codec.AppendRawString(codec.AppendRawString(append(pairs, 0x92), name), v)
			n++
		}
	}
	p := codec.AppendRawString(codec.AppendRawString(codec.AppendRawString([]byte{0x95}, q.Method), uri), version)
	return codec.AppendRaw(append(codec.AppendArray(p, n), pairs...), body), nil
}

// Response reads the session as an answer to an HTTP request.
func (c *Call) Response() (*http.Response, error) {
	p, err := c.Next()
	if err != nil {
		return nil, fmt.Errorf("no response head: %w", err)
	}
	resp, ok := c.head(p)
	if !ok {
		return nil, fmt.Errorf("workertest: no response head: % x", clipped(p))
	}
	var body []byte
	for {
		p, err := c.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if c.r.version == Runtime011 {
			var s slips
			v, rest, err := readValue(p, 0, &s)
			if err != nil || len(rest) > 0 || v.kind != kindRaw || s.newSpec {
				c.violate(RuleResponseBody, "a chunk of the body is no raw of its own", p)
				return nil, fmt.Errorf("workertest: a chunk of the body is not packed: % x", clipped(p))
			}
			p = v.raw
		}
		body = append(body, p...)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// head is array(2): code int, headers array of [name, value].
func (c *Call) head(p []byte) (*http.Response, bool) {
	bad := func(text string) (*http.Response, bool) {
		c.violate(RuleResponseHead, text, p)
		return nil, false
	}
	var s slips
	v, rest, err := readValue(p, 0, &s)
	switch {
	case err != nil, len(rest) > 0, v.kind != kindArray, len(v.elems) != 2:
		return bad("the first chunk is no array of two")
	case s.newSpec:
		return bad("str8, bin or ext")
	case v.elems[0].kind != kindUint || v.elems[0].n < 200 || v.elems[0].n > 999:
		return bad("its code is none")
	case v.elems[1].kind != kindArray:
		return bad("its headers are no array")
	}
	code := int(v.elems[0].n)
	resp := &http.Response{StatusCode: code, Status: strconv.Itoa(code) + " " + http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header)}
	for _, f := range v.elems[1].elems {
		if f.kind != kindArray || len(f.elems) != 2 || f.elems[0].kind != kindRaw || f.elems[1].kind != kindRaw {
			return bad("a header is no pair of raws")
		}
		resp.Header.Add(string(f.elems[0].raw), string(f.elems[1].raw))
	}
	return resp, true
}

func (c *Call) violate(rule Rule, text string, frame []byte) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.violateLocked(Violation{Rule: rule, Text: text, Frame: clipped(frame)})
}
