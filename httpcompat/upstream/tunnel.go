package upstream

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
)

// farewell is how long a client may go on once the worker has closed a connection
// that was upgraded.
const farewell = 5 * time.Second

// A half can end what it sends, alone.
type half interface{ CloseWrite() error }

// tunnel makes the client's connection the worker's, until either has ended both
// directions or it breaks. Broken: the worker ended first, as it would by its
// death.
func (x *exchange) tunnel(resp *http.Response) (broken bool) {
	back, ok := resp.Body.(io.ReadWriteCloser)
	to := resp.Header.Get("Upgrade")
	if !ok || !httpcompat.Upgrades(x.r) || !strings.EqualFold(to, x.r.Header.Get("Upgrade")) {
		x.p.log().Error("upstream: the worker switched to a protocol that it was not asked for", "request", x.id, "uri", x.r.RequestURI, "to", to)
		httpcompat.Refuse(x.w, x.r, http.StatusBadGateway, "the worker's answer makes no sense")
		return true
	}
	conn, brw, err := x.rc.Hijack()
	if err != nil {
		x.p.log().Error("upstream: the connection cannot be upgraded", "request", x.id, "uri", x.r.RequestURI, "err", err)
		httpcompat.Refuse(x.w, x.r, http.StatusBadGateway, "this connection cannot be upgraded")
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{}) // time-outs meant for requests end here
	dropHops(resp.Header)
	resp.Header["Connection"], resp.Header["Upgrade"] = []string{"Upgrade"}, []string{to}
	fmt.Fprintf(brw, "HTTP/1.1 %03d %s\r\n", resp.StatusCode, http.StatusText(resp.StatusCode)) // an error: Flush has it
	_ = resp.Header.Write(brw)
	_, _ = io.WriteString(brw, "\r\n")
	if err := brw.Flush(); err != nil {
		return false
	}
	client, worker := &side{r: brw.Reader}, &side{r: back}
	up := make(chan error, 1)
	go func() { // ends with the client's bytes, or when both are closed
		_, err := io.Copy(back, client)
		if h, ok := back.(half); err == nil && ok {
			err = h.CloseWrite()
		}
		if err != nil {
			_ = back.Close()
		}
		up <- err
	}()
	_, err = io.Copy(conn, worker)
	broken = worker.ended.Load() && !client.ended.Load()
	ended := false
	select {
	case <-up:
		ended = true
	default:
	}
	if err != nil {
		httpcompat.Reset(conn)
	} else if h, ok := conn.(half); ok {
		_ = h.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(farewell))
		// The worker may take no more, so that its connection must end, too.
		defer time.AfterFunc(farewell, func() { _ = back.Close() }).Stop()
	} else {
		_ = conn.Close()
	}
	if !ended {
		if err == nil {
			<-up
		}
		_ = conn.Close()
		_ = back.Close()
		if err != nil {
			<-up
		}
	}
	return broken
}

// A side remembers that nothing more comes from it.
type side struct {
	r     io.Reader
	ended atomic.Bool
}

func (s *side) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil {
		s.ended.Store(true)
	}
	return n, err
}

var _ half = (*net.TCPConn)(nil)
