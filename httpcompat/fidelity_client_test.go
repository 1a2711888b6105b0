package httpcompat_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A step is something that a client does. An error says that it could not.
type step func(c *client) error

// sends sends s, and expects answers to the requests that begin in it.
func sends(s string) step {
	return func(c *client) error {
		for _, line := range strings.Split(s, "\r\n") {
			if method, rest, ok := strings.Cut(line, " "); ok && strings.Contains(rest, " HTTP/") {
				c.methods = append(c.methods, method)
			}
		}
		last := c.sent
		c.sent = make(chan struct{})
		go func(done chan struct{}) { // ends when all is written, or the connection is closed
			defer close(done)
			if last != nil {
				<-last
			}
			_, _ = io.WriteString(c.conn, s)
		}(c.sent)
		return nil
	}
}

// expect waits until the client has received s, behind what the expect before
// it had found.
func expect(s string) step {
	return func(c *client) error {
		for {
			if _, after, ok := strings.Cut(c.received()[c.seen:], s); ok {
				c.seen = len(c.received()) - len(after)
				return nil
			}
			if err := c.more(); err != nil {
				return fmt.Errorf("expected %q: %w", s, err)
			}
		}
	}
}

// noticed waits until the handler has made this note.
func noticed(line string) step {
	return func(c *client) error {
		if !c.side.notes.await(line) {
			return fmt.Errorf("the handler never noted %q", line)
		}
		return nil
	}
}

// tell says something that the handler may wait for.
func tell(line string) step {
	return func(c *client) error { c.side.notes.tell(line); return nil }
}

// halfClose ends what the client sends.
func halfClose() step {
	return func(c *client) error {
		c.half = true
		if c.sent != nil {
			<-c.sent
		}
		return c.conn.CloseWrite()
	}
}

// reset breaks the connection.
func reset() step {
	return func(c *client) error {
		if c.sent != nil {
			<-c.sent
		}
		c.gone = true
		_ = c.conn.SetLinger(0)
		return c.conn.Close()
	}
}

// A client is one connection.
type client struct {
	side    *side
	conn    *net.TCPConn
	addr    string
	methods []string // of requests that were sent
	raw     bytes.Buffer
	br      *bufio.Reader
	text    strings.Builder // raw as it is compared
	seen    int             // of raw, by expect
	half    bool
	gone    bool
	sent    chan struct{} // closed when the last send is done
}

func dialClient(t *testing.T, s *side) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{side: s, conn: conn.(*net.TCPConn), addr: conn.LocalAddr().String()}
}

func (c *client) received() string { return c.raw.String() }

// more receives something.
func (c *client) more() error {
	p := make([]byte, 4<<10)
	n, err := c.conn.Read(p)
	c.raw.Write(p[:n])
	if n > 0 {
		return nil
	}
	return err
}

// Read is the client's received bytes, those that steps have taken first.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.conn.Read(p)
	c.raw.Write(p[:n])
	return n, err
}

func (c *client) close() {
	_ = c.conn.Close()
	if c.sent != nil {
		<-c.sent
	}
}

// finish reads the answers to all requests, writes them to c.text as they are
// compared, and says how the connection was left.
func (c *client) finish(chunks bool) string {
	if c.gone {
		return "reset by the client"
	}
	taken := strings.NewReader(c.received())
	c.br = bufio.NewReader(io.MultiReader(taken, c))
	at := 0
	cut := func() string { // what was read since the last cut
		end := c.raw.Len() - c.br.Buffered() - taken.Len()
		s := c.received()[at:end]
		at = end
		return s
	}
	for i := 0; i < len(c.methods); i++ {
		if c.methods[i] == "CONNECT" {
			c.methods[i] = "GET" // net/http answers it as any other
		}
		resp, err := http.ReadResponse(c.br, &http.Request{Method: c.methods[i]})
		if err != nil {
			_ = c.conn.CloseWrite() // it may be waiting for another request
			rest, _ := io.ReadAll(c.br)
			c.text.WriteString(cut() + string(rest))
			return "ended " + kind(err)
		}
		c.text.WriteString(cut())
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			i--
			continue
		}
		_, err = io.Copy(io.Discard, resp.Body)
		body := cut()
		if len(resp.TransferEncoding) > 0 && !chunks {
			body = mergeChunks(body)
		}
		c.text.WriteString(body)
		if err != nil {
			return "broke " + kind(err)
		}
		if resp.ContentLength == -1 && len(resp.TransferEncoding) == 0 && len(c.methods) == i+1 {
			return "closed"
		}
	}
	if c.half {
		rest, err := io.ReadAll(c.br)
		c.text.Write(rest)
		return "half-closed, then " + kind(err)
	}
	_ = sends("GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n")(c)
	rest, _ := io.ReadAll(c.br)
	if strings.HasSuffix(string(rest), "sentinel") {
		return "kept"
	}
	c.text.Write(rest)
	return "closed"
}

// mergeChunks makes one chunk of all in a body, however cut off.
func mergeChunks(body string) string {
	var data strings.Builder
	for {
		line, rest, ok := strings.Cut(body, "\r\n")
		n, err := strconv.ParseInt(line, 16, 32)
		if !ok || err != nil || n == 0 {
			return fmt.Sprintf("(%d bytes in chunks)%s%s", data.Len(), data.String(), body)
		}
		k := min(int(n), len(rest))
		data.WriteString(rest[:k])
		if body = strings.TrimPrefix(rest[k:], "\r\n"); body == "" {
			return fmt.Sprintf("(%d bytes in chunks)%s", data.Len(), data.String())
		}
	}
}

// kind is what a program can tell about err.
func kind(err error) string {
	switch {
	case err == nil:
		return "nil"
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return err.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "deadline exceeded"
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return "connection gone"
	case errors.Is(err, http.ErrNotSupported):
		return "not supported"
	}
	return err.Error()
}
