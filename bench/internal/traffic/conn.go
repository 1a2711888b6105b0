package traffic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// A conn is a client's connection.
type conn struct {
	net.Conn
	br      *bufio.Reader
	release func() bool // forget that the traffic's end closes it
}

func (t *Traffic) dial() (*conn, error) {
	d := net.Dialer{Timeout: t.o.Patience}
	nc, err := d.DialContext(t.ctx, "tcp", t.o.Addr)
	if err != nil {
		return nil, fmt.Errorf("no connection: %w", err)
	}
	return &conn{Conn: nc, br: bufio.NewReader(nc), release: context.AfterFunc(t.ctx, func() { nc.Close() })}, nil
}

// close may be called of none.
func (c *conn) close() {
	if c != nil {
		c.release()
		c.Close()
	}
}

// rest waits for as long as d and says whether the connection is good for
// another request then: neither has it ended nor did anything come unasked.
func (c *conn) rest(d time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, err := c.br.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// request sends a request's head.
func (c *conn) request(tk ticket, line string, fields ...string) error {
	var b strings.Builder
	b.WriteString(line + " HTTP/1.1\r\nHost: lifecycle.test\r\nX-Request-Id: " + tk.id + "\r\n")
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(c, b.String())
	if err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	return nil
}

// closing is the field of a kind's connections.
func (tk ticket) closing() []string {
	if table[tk.kind].kept {
		return nil
	}
	return []string{"Connection: close"}
}

// response reads an answer's head, which must have the status.
func (c *conn) response(method string, status int) (*http.Response, answer, error) {
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		return nil, answer{}, fmt.Errorf("reading the answer's head: %w", err)
	}
	a := answer{worker: resp.Header.Get("X-Worker"), marker: resp.Header.Get("X-Marker"), last: resp.Close}
	switch {
	case resp.StatusCode != status:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // for whoever reads why
		err := fmt.Errorf("status %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
		if resp.StatusCode == http.StatusServiceUnavailable {
			err = fmt.Errorf("%w: %s", errRefused, strings.TrimSpace(string(text)))
		}
		return nil, a, err
	case a.worker == "" || a.marker == "":
		return nil, a, errors.New("the answer does not say who gave it")
	case status == http.StatusOK && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0:
		return nil, a, errors.New("the answer does not say where it ends")
	}
	return resp, a, nil
}

// small reads a small answer: the line, and what follows.
func (c *conn) small(tk ticket, method, more string) (answer, error) {
	resp, a, err := c.response(method, http.StatusOK)
	if err != nil {
		return a, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, fmt.Errorf("reading the answer: %w", err)
	}
	if want := a.marker + " " + a.worker + " " + tk.id + "\n" + more; string(body) != want {
		return a, fmt.Errorf("wrong bytes: %.100q, not %.100q", body, want)
	}
	return a, nil
}
