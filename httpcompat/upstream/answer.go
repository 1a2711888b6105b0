package upstream

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"sync"
)

// errClient is wrapped by an error in writing to the client.
var errClient = errors.New("upstream: client")

// pieces are what answers are copied in.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// inform passes a 1xx head on. The transport's goroutine.
func (x *exchange) inform(code int, fields textproto.MIMEHeader) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.headed || code == http.StatusContinue { // which the server says when the body is read
		return nil
	}
	header := x.w.Header()
	before := maps.Clone(header)
	clear(header)
	maps.Copy(header, http.Header(fields))
	dropHops(header)
	x.w.WriteHeader(code)
	clear(header)
	maps.Copy(header, before)
	return nil
}

// closeAfter has the client's connection end with the answer, if it cannot be told
// where the next request begins.
func (x *exchange) closeAfter() {
	if x.body != nil && x.r.ProtoMajor == 1 && !x.body.whole() {
		x.w.Header().Set("Connection", "close")
	}
}

// answer copies head, body and trailers. Every piece that comes is flushed, unless
// it is the last that was announced.
func (x *exchange) answer(resp *http.Response) error {
	header := x.w.Header()
	announced := len(resp.Trailer)
	offer := resp.Header.Get("Upgrade")
	dropHops(resp.Header)
	if resp.StatusCode == http.StatusUpgradeRequired && offer != "" {
		resp.Header["Connection"], resp.Header["Upgrade"] = []string{"Upgrade"}, []string{offer} // RFC 9110 15.5.22
	}
	maps.Copy(header, resp.Header)
	for _, name := range [...]string{"Content-Type", "Date"} {
		if _, ok := header[name]; !ok {
			header[name] = nil // the worker's decision; the server shall make none up
		}
	}
	for name := range resp.Trailer {
		header.Add("Trailer", name)
	}
	x.closeAfter()
	x.w.WriteHeader(resp.StatusCode)
	if err := x.copyBody(resp, announced > 0); err != nil {
		return err
	}
	for name, vv := range resp.Trailer {
		if announced == len(resp.Trailer) {
			header[name] = vv
		} else {
			header[http.TrailerPrefix+name] = vv
		}
	}
	return nil
}

// copyBody copies the body. If there are trailers the head must have left before,
// or the server would declare a length.
func (x *exchange) copyBody(resp *http.Response, trailers bool) error {
	p := pieces.Get().(*[32 << 10]byte)
	defer pieces.Put(p)
	var sent int64
	flush := trailers || resp.ContentLength < 0 && x.r.Method != http.MethodHead // a stream's head does not wait for its first piece
	for {
		if flush {
			if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return errors.Join(errClient, err)
			}
		}
		n, err := resp.Body.Read(p[:])
		if n > 0 {
			sent += int64(n)
			if _, werr := x.w.Write(p[:n]); werr != nil && !errors.Is(werr, http.ErrBodyNotAllowed) {
				return errors.Join(errClient, werr)
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		flush = sent != resp.ContentLength
	}
}
