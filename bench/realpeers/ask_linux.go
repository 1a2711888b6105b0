package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service/servicetest"
)

// A cloudTransport takes HTTP requests to an app of a real runtime, as a proxy of
// Cocaine's would: it resolves the app's name and opens an enqueue for each. It is
// made of package codec alone. An error of the app's becomes a 500 whose body says
// it.
type cloudTransport struct {
	locator string // host:port
	dialect heddle.Dialect
	app     string
	event   string
}

// An appError is one that the runtime or the app's worker has answered with.
type appError struct{ text string }

func (e *appError) Error() string { return e.text }

// RoundTrip is http.RoundTripper's.
func (t *cloudTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	body := []byte(nil)
	if req.Body != nil {
		p, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = p
	}
	chunks, err := t.enqueue(req.Context(), packed(req, body))
	var app *appError
	switch {
	case errors.As(err, &app):
		return response(req, http.StatusInternalServerError, nil, []byte(app.text)), nil
	case err != nil:
		return nil, err
	case len(chunks) == 0:
		return response(req, http.StatusBadGateway, nil, []byte("an end without an answer")), nil
	}
	var head heddle.ResponseHead
	if err := codec.DecodeResponseHead(&head, chunks[0]); err != nil {
		return nil, fmt.Errorf("the answer's head: %w", err)
	}
	h := make(http.Header)
	for _, f := range head.Headers {
		h.Add(string(f.Name), string(f.Value))
	}
	return response(req, int(head.Code), h, slices.Concat(chunks[1:]...)), nil
}

func response(req *http.Request, code int, h http.Header, body []byte) *http.Response {
	return &http.Response{StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req}
}

// packed is the request as real proxies send it, PROTOCOL 4.
func packed(req *http.Request, body []byte) []byte {
	head := heddle.RequestHead{Method: heddle.Raw(req.Method), URI: heddle.Raw(req.URL.RequestURI()), Version: heddle.Raw("1.1"), Body: body}
	add := func(name, value string) {
		head.Headers = append(head.Headers, heddle.Header{Name: heddle.Raw(name), Value: heddle.Raw(value)})
	}
	add("Host", req.URL.Host)
	for name, values := range req.Header {
		for _, v := range values {
			add(name, v)
		}
	}
	if len(body) > 0 {
		add("Content-Length", strconv.Itoa(len(body)))
	}
	return codec.AppendRequestHead(nil, &head, true)
}

// enqueue gives the app one piece and returns those that it answers with.
func (t *cloudTransport) enqueue(ctx context.Context, piece []byte) ([][]byte, error) {
	addr, err := t.resolve(ctx)
	if err != nil {
		return nil, err
	}
	event := codec.AppendRawString(nil, t.event)
	if t.dialect == heddle.V0 {
		args := codec.AppendRaw(append(codec.AppendArray(nil, 2), event...), piece)
		chunks, err := t.call(ctx, addr, codec.AppendMethod(nil, heddle.V0, 1, 0, args))
		for i := 1; i < len(chunks) && err == nil; i++ { // packed once more, but for the head
			var body any
			if body, err = servicetest.Unpack(chunks[i]); err == nil {
				s, _ := body.(string)
				chunks[i] = []byte(s)
			}
		}
		return chunks, err
	}
	frames := codec.AppendMethod(nil, heddle.V1, 1, 0, append(codec.AppendArray(nil, 1), event...))
	frames = codec.AppendChunk(frames, heddle.V1, 1, piece)
	return t.call(ctx, addr, codec.AppendChoke(frames, heddle.V1, 1))
}

// resolve asks the locator where the app is.
func (t *cloudTransport) resolve(ctx context.Context) (string, error) {
	args := codec.AppendRawString(codec.AppendArray(nil, 1), t.app)
	got, err := t.call(ctx, t.locator, codec.AppendMethod(nil, t.dialect, 1, 0, args))
	if err != nil {
		return "", fmt.Errorf("resolve: %w", err)
	}
	if len(got) != 1 {
		return "", fmt.Errorf("resolve: %d results", len(got))
	}
	v, err := servicetest.Unpack(got[0])
	if err != nil {
		return "", fmt.Errorf("resolve: %w", err)
	}
	at, ok := v.([]any) // v0: [[host, port], …]; v1: [[[host, port], …], …]
	for range 3 {
		if !ok || len(at) == 0 {
			break
		}
		if host, is := at[0].(string); is && len(at) == 2 {
			return net.JoinHostPort(host, fmt.Sprint(at[1])), nil
		}
		at, ok = at[0].([]any)
	}
	return "", fmt.Errorf("resolve: cannot read %v", v)
}

// maxReply bounds what a peer may answer, in bytes.
const maxReply = 64 << 20

// call sends frames, which are session 1's, and returns the pieces of the answer:
// in v0 the chunks, in v1 what write says, or the arguments of a value.
func (t *cloudTransport) call(ctx context.Context, addr string, frames []byte) ([][]byte, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	sent := make(chan error, 1)
	go func() { // until they are sent, or nc is closed
		_, err := nc.Write(frames)
		sent <- err
	}()
	defer func() { nc.Close(); <-sent }()

	var (
		pieces  [][]byte
		pending []byte
		dec     = codec.NewDecoder(t.dialect, codec.Limits{})
		buf     = make([]byte, 64<<10)
		total   int
	)
	for total < maxReply {
		n, err := nc.Read(buf)
		total += n
		pending = append(pending, buf[:n]...)
		for {
			f, used, err := dec.Next(pending)
			if err == codec.ErrShort {
				break
			}
			if err != nil {
				return nil, err
			}
			piece, end, err := t.piece(f)
			if err != nil {
				return nil, err
			}
			if piece != nil {
				pieces = append(pieces, piece)
			}
			if end {
				return pieces, nil
			}
			pending = pending[used:]
		}
		if err != nil {
			return nil, fmt.Errorf("after %d pieces: %w", len(pieces), err)
		}
	}
	return nil, errors.New("the answer has no end")
}

// piece reads a frame of the answer. end: it was the last.
func (t *cloudTransport) piece(f codec.Frame) (piece []byte, end bool, err error) {
	v0 := t.dialect == heddle.V0
	args, err := servicetest.Unpack(f.Args)
	list, ok := args.([]any)
	if err != nil || !ok || f.Session != 1 {
		return nil, false, fmt.Errorf("message %d of session %d is none of ours: %v", f.Type, f.Session, err)
	}
	switch {
	case v0 && f.Type == heddle.TypeV0Choke, !v0 && f.Type == 2:
		return nil, true, nil
	case v0 && f.Type == heddle.TypeV0Error, !v0 && f.Type == 1:
		return nil, true, &appError{fmt.Sprint(list...)}
	case len(list) == 1 && (v0 || !isList(list[0])):
		s, _ := list[0].(string)
		return []byte(s), false, nil
	}
	return slices.Clone(f.Args), true, nil // a value
}

func isList(v any) bool {
	_, ok := v.([]any)
	return ok
}
