package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/session"
)

// Bounds of JSON-RPC.
const (
	maxRPCBody   = 1 << 20  // bytes of JSON that are a call
	maxRPCChunks = 1 << 16  // pieces of a stream that make a result
	maxRPCResult = 64 << 20 // bytes of JSON that these have together
)

// Codes of JSON-RPC 2.0.
const (
	rpcParse       = -32700
	rpcInvalid     = -32600
	rpcNoMethod    = -32601
	rpcParams      = -32602
	rpcUnsupported = -32000
)

// An rpcRequest is a call of JSON-RPC 2.0, in which the method is the service's
// name, a dot and its method's, and chunks are what is said behind the call.
type rpcRequest struct {
	Version json.RawMessage   `json:"jsonrpc"`
	Method  *string           `json:"method"`
	Params  json.RawMessage   `json:"params"`
	ID      json.RawMessage   `json:"id"`
	Chunks  []json.RawMessage `json:"chunks"`

	service, method string
	args            []any
	chunks          []rpcChunk
}

// An rpcChunk is one message behind a call.
type rpcChunk struct {
	name string
	args []any
}

// An rpcError is an answer in place of a result, with status 400.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return e.Message }

// serveJSONRPC calls a method of any service, and answers as the proxies of
// Cocaine do: 200 with a result, 400 with code and message for a request that is
// none, 500 with an error for one that failed.
func (g *Gateway) serveJSONRPC(w http.ResponseWriter, r *http.Request) {
	held := g.bodies.Hold(w)
	defer held.Drop()
	body, err := held.Read(http.MaxBytesReader(w, r.Body, maxRPCBody))
	if err != nil {
		code := http.StatusBadRequest
		switch e := (*http.MaxBytesError)(nil); {
		case httpcompat.RefuseBusy(w, r, err):
			g.complain(r, http.StatusServiceUnavailable, err.Error())
			return
		case errors.As(err, &e):
			code = http.StatusRequestEntityTooLarge
		case errors.Is(err, httpcompat.ErrLateBody):
			code = http.StatusRequestTimeout
		}
		g.refuse(w, r, code, err.Error())
		return
	}
	req, err := readRPC(body)
	var result any
	if err == nil {
		ctx, cancel := r.Context(), context.CancelFunc(func() {})
		if g.o.Timeout > 0 {
			ctx, cancel = context.WithTimeoutCause(ctx, g.o.Timeout, service.ErrTimeout)
		}
		result, err = g.callRPC(ctx, r, req, held)
		cancel()
	}
	var malformed *rpcError
	switch {
	case errors.As(err, &malformed):
		g.counts.invalid.Add(1)
		g.complain(r, http.StatusBadRequest, "JSON-RPC: "+malformed.Message)
		answerRPC(w, http.StatusBadRequest, malformed)
	case httpcompat.RefuseBusy(w, r, err):
		g.complain(r, http.StatusServiceUnavailable, err.Error())
	case err != nil:
		g.counts.errors.Add(1)
		g.log.Error("gateway: JSON-RPC", "method", *req.Method, "request", r.Header.Get(headerRequestID), "err", err)
		text := err.Error()
		if errors.Is(err, service.ErrNotAvailable) {
			text = "Service not found."
		}
		answerRPC(w, http.StatusInternalServerError, map[string]any{"jsonrpc": "2.0", "error": text, "id": req.ID})
	default:
		g.counts.results.Add(1)
		answerRPC(w, http.StatusOK, map[string]any{"jsonrpc": "2.0", "result": plain(result), "id": req.ID})
	}
}

func answerRPC(w http.ResponseWriter, code int, v any) {
	p, err := json.Marshal(v)
	if err != nil { // a float that is no number
		code, p = http.StatusInternalServerError, []byte(`{"jsonrpc":"2.0","error":"the result has no JSON","id":null}`)
	}
	w.Header().Set("Content-Type", "application/json-rpc")
	w.WriteHeader(code)
	_, _ = w.Write(p) // fails if nobody is there
}

// readRPC reads a call.
func readRPC(body []byte) (*rpcRequest, error) {
	req := new(rpcRequest)
	if !json.Valid(body) {
		return nil, &rpcError{rpcParse, "Parse error: Invalid JSON was received by the server."}
	}
	invalid := &rpcError{rpcInvalid, "The JSON sent is not a valid Request object."}
	if err := json.Unmarshal(body, req); err != nil || req.Method == nil || req.Version == nil || req.Params == nil || req.ID == nil {
		return nil, invalid
	}
	i := strings.LastIndexByte(*req.Method, '.')
	if i <= 0 || i == len(*req.Method)-1 || i > maxName || len(*req.Method)-i > maxName {
		return nil, &rpcError{rpcNoMethod, "Method not found."}
	}
	req.service, req.method = (*req.Method)[:i], (*req.Method)[i+1:]
	var err error
	if req.args, err = list(req.Params); err != nil {
		return nil, &rpcError{rpcParams, "Invalid params: want an array."}
	}
	for _, raw := range req.Chunks {
		pair, err := list(raw)
		if err != nil || len(pair) == 0 || len(pair) > 2 {
			return nil, invalid
		}
		c := rpcChunk{}
		name, isText := pair[0].(string)
		c.name = name
		if len(pair) == 2 {
			args, isList := pair[1].([]any)
			isText = isText && isList
			c.args = args
		}
		if !isText {
			return nil, invalid
		}
		req.chunks = append(req.chunks, c)
	}
	return req, nil
}

// list reads an array. Numbers that have no fraction are integers.
func list(p []byte) (all []any, err error) {
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = exact(all[i])
	}
	return all, nil
}

// exact gives the numbers in v the types that msgpack has.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		var n uint64
		if i, err := v.Int64(); err == nil {
			return i
		}
		if err := json.Unmarshal([]byte(v), &n); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return math.Inf(1) // what JSON cannot say is no number of anybody's
		}
		return f
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}

// plain gives v the types that JSON has.
func plain(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, of := range v {
			m[fmt.Sprint(plain(k))] = plain(of)
		}
		return m
	}
	return v
}

// callRPC makes the call, on a connection of its own.
func (g *Gateway) callRPC(ctx context.Context, r *http.Request, req *rpcRequest, held *httpcompat.Held) (any, error) {
	name := req.service
	if seed := fieldOf(r, headerSticky); seed != nil {
		name = string(g.elect([]byte(name), seed))
	}
	s, err := g.client.NewService(service.Options{Name: name, Buffer: maxRPCResult})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ctx = session.WithTrace(ctx, trace(r.Header.Get(headerRequestID)))
	if v := fieldOf(r, lowerAuthorization); v != nil {
		ctx = service.WithHeaders(ctx, []codec.Header{{Name: []byte(lowerAuthorization), Value: v}})
	}
	m, err := service.NewAnyService(s).Method(ctx, req.method)
	switch {
	case errors.Is(err, service.ErrNoMethod):
		return nil, &rpcError{rpcNoMethod, "Method not found."}
	case err != nil:
		return nil, err
	}
	d, _ := s.Dialect()
	switch {
	case m.Upstream.Empty():
		if _, err := s.Stream(ctx, req.method, req.args...); err != nil {
			return nil, err
		}
		return nil, s.Shutdown(ctx) // nothing else says that it has left
	case m.Upstream == session.Primitive, d == heddle.V0:
		return s.Call(ctx, req.method, req.args...)
	case m.Upstream == session.Streaming && m.Dispatch == session.Streaming:
		return streamRPC(ctx, s, req, held)
	}
	return nil, &rpcError{rpcUnsupported, "Protocol type is not supported."}
}

// streamRPC says the chunks, ends our direction and returns what was answered.
func streamRPC(ctx context.Context, s *service.Service, req *rpcRequest, held *httpcompat.Held) (any, error) {
	st, err := s.Stream(ctx, req.method, req.args...)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	for _, c := range req.chunks {
		if err := st.Say(c.name, c.args...); err != nil {
			return nil, err
		}
	}
	_ = st.CloseSend() // fails if a chunk has
	result, size := []json.RawMessage{}, 0
	for {
		v, err := st.Recv()
		switch {
		case err == io.EOF: // one that is wrapped is the connection's
			return result, nil
		case err != nil:
			return nil, err
		}
		p, err := json.Marshal(plain(v))
		if err != nil {
			return nil, fmt.Errorf("gateway: a piece of the answer: %w", err)
		}
		if size += len(p); len(result) >= maxRPCChunks || size > maxRPCResult {
			return nil, fmt.Errorf("gateway: over %d pieces in the answer, or %d bytes", maxRPCChunks, maxRPCResult)
		}
		if err := held.Take(2 * int64(len(p))); err != nil { // once more when all are put together
			return nil, err
		}
		result = append(result, p)
	}
}
