package httpcompat

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/heddle-go/heddle/session"
)

// tunnel gives the handler, who has hijacked it, the client's connection: from
// here on bytes are copied as they are, in both directions, until either side
// has ended both or the connection breaks. Time-outs meant for requests end
// here.
func (a *asking) tunnel() error {
	a.stop() // a client that half-closes says so by the end of its bytes
	if a.headSent {
		if err := a.flush(); err != nil {
			return err
		}
	}
	var rest []byte
	if a.up != nil {
		rest = a.up.halt()
		a.up = nil
	}
	_ = a.s.Close() // what follows is no body
	if err := a.s.Reopen(); err != nil {
		return err
	}
	conn, brw, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		return err
	}
	a.tunneled = true
	up := make(chan struct{})
	go func() { // ends with the client's bytes, the session, or the connection
		defer close(up)
		a.copyUp(brw.Reader, rest)
	}()
	// When the session has ended, what is left must be taken in time: the
	// handler has let the connection go, and so must we.
	stop := context.AfterFunc(a.s.Context(), func() { _ = conn.SetWriteDeadline(time.Now().Add(farewell)) })
	err = a.copyDown(conn)
	stop()
	if err != nil {
		reset(conn)
		a.s.Cancel(err)
	}
	_ = conn.Close()
	<-up
	return err
}

// farewell is how long a client may take nothing of what a connection still has
// for it, once the handler has closed it or is gone.
const farewell = 5 * time.Second

// reset ends the connection below conn, TLS and other wrappings left aside, in a
// way that the client cannot take for an orderly end.
func reset(conn net.Conn) {
	for {
		w, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = w.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}

// copyUp copies what the client sends to the session, rest first.
func (a *asking) copyUp(src io.Reader, rest []byte) {
	p := getPiece()
	defer putPiece(p)
	if _, err := a.s.Write(rest); err != nil {
		return // the session has ended, which copyDown is told
	}
	for {
		n, err := src.Read(p[:])
		if n > 0 {
			if _, err := a.s.Write(p[:n]); err != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			_ = a.s.Close()
			return
		case err != nil: // no-op if it was us who closed it
			a.s.Cancel(errors.Join(errClient, err))
			return
		}
	}
}

// copyDown copies what the handler writes to the client, until the session's
// end.
func (a *asking) copyDown(dst net.Conn) error {
	for {
		m, err := a.s.Recv()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		m.Drop() // a connection brings none
		if m.Kind != session.Chunk {
			continue
		}
		if len(m.Data) > 0 {
			if a.s.Context().Err() != nil {
				_ = dst.SetWriteDeadline(time.Now().Add(farewell))
			}
			_, err = dst.Write(m.Data)
		} else if half, ok := dst.(interface{ CloseWrite() error }); ok {
			err = half.CloseWrite()
		}
		if err != nil {
			return errors.Join(errClient, err)
		}
	}
}
