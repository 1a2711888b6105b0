package httpcompat

import (
	"io"
	"net/http"
	"time"
)

// A streamResponse is a response under HTTP/2, where there is no connection to
// hijack nor to copy to: it has what net/http's has there, but for Push.
type streamResponse struct{ w *response }

var _ interface {
	http.ResponseWriter
	http.Flusher
	io.StringWriter
} = streamResponse{}

func (s streamResponse) Header() http.Header               { return s.w.Header() }
func (s streamResponse) WriteHeader(code int)              { s.w.WriteHeader(code) }
func (s streamResponse) Write(p []byte) (int, error)       { return s.w.Write(p) }
func (s streamResponse) WriteString(p string) (int, error) { return s.w.WriteString(p) }
func (s streamResponse) Flush()                            { s.w.Flush() }
func (s streamResponse) FlushError() error                 { return s.w.FlushError() }
func (s streamResponse) SetReadDeadline(t time.Time) error { return s.w.SetReadDeadline(t) }
func (s streamResponse) EnableFullDuplex() error           { return s.w.EnableFullDuplex() }
func (s streamResponse) CloseNotify() <-chan bool          { return s.w.CloseNotify() }

// SetWriteDeadline is for http.ResponseController.
func (s streamResponse) SetWriteDeadline(t time.Time) error { return s.w.SetWriteDeadline(t) }

// multiplexed says that the client's connection is not the request's alone. The
// preface of HTTP/2 is a request of HTTP/1, by which a handler may take the
// connection over and speak the rest itself.
func (w *response) multiplexed() bool { return w.req.ProtoMajor >= 2 && w.req.Method != "PRI" }

// writer is w as the handler gets it.
func (w *response) writer() http.ResponseWriter {
	if w.multiplexed() {
		return streamResponse{w}
	}
	return w
}
