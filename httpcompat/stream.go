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

// writer is w as the handler gets it.
func (w *response) writer() http.ResponseWriter {
	if w.req.ProtoMajor >= 2 {
		return streamResponse{w}
	}
	return w
}
