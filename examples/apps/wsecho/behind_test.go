package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// A client is what the two libraries have in common.
type client interface {
	write(text bool, p []byte) error
	read() (text bool, p []byte, err error)
	ping() error              // returns when the pong has come, while somebody reads
	close(code int) error     // says goodbye
	closeCode(err error) int  // of an error of read
	fragments(p []byte) error // one binary message in several frames
	end()
}

type gorillaClient struct {
	*gorilla.Conn
	pong chan string
}

func dialGorilla(url string, compress bool) (client, error) {
	d := gorilla.Dialer{EnableCompression: compress, HandshakeTimeout: 20 * time.Second}
	c, _, err := d.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	g := &gorillaClient{c, make(chan string, 1)}
	c.SetPongHandler(func(s string) error { g.pong <- s; return nil })
	c.SetReadDeadline(time.Now().Add(time.Minute))
	c.SetWriteDeadline(time.Now().Add(time.Minute))
	return g, nil
}

func (c *gorillaClient) write(text bool, p []byte) error {
	kind := gorilla.BinaryMessage
	if text {
		kind = gorilla.TextMessage
	}
	return c.WriteMessage(kind, p)
}

func (c *gorillaClient) read() (bool, []byte, error) {
	kind, p, err := c.ReadMessage()
	return kind == gorilla.TextMessage, p, err
}

func (c *gorillaClient) ping() error {
	if err := c.WriteControl(gorilla.PingMessage, []byte("there?"), time.Now().Add(10*time.Second)); err != nil {
		return err
	}
	if err := c.write(true, []byte("after the ping")); err != nil { // gorilla sees pongs while it reads
		return err
	}
	if _, _, err := c.read(); err != nil {
		return err
	}
	select {
	case s := <-c.pong:
		if s != "there?" {
			return fmt.Errorf("pong %q", s)
		}
		return nil
	default:
		return errors.New("no pong before the message behind the ping")
	}
}

func (c *gorillaClient) close(code int) error {
	return c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, "bye"), time.Now().Add(10*time.Second))
}

func (c *gorillaClient) closeCode(err error) int {
	if e := (*gorilla.CloseError)(nil); errors.As(err, &e) {
		return e.Code
	}
	return -1
}

func (c *gorillaClient) fragments(p []byte) error {
	w, err := c.NextWriter(gorilla.BinaryMessage)
	if err != nil {
		return err
	}
	for len(p) > 0 { // a frame for each time that gorilla's buffer of 4 KiB is full
		n := min(len(p), 5000)
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return w.Close()
}

func (c *gorillaClient) end() { c.Conn.Close() }

type coderClient struct {
	*coder.Conn
	ctx    context.Context
	cancel func()
}

func dialCoder(url string, compress bool) (client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	mode := coder.CompressionDisabled
	if compress {
		mode = coder.CompressionContextTakeover
	}
	c, _, err := coder.Dial(ctx, url, &coder.DialOptions{CompressionMode: mode})
	if err != nil {
		cancel()
		return nil, err
	}
	c.SetReadLimit(maxMessage)
	return &coderClient{c, ctx, cancel}, nil
}

func (c *coderClient) write(text bool, p []byte) error {
	kind := coder.MessageBinary
	if text {
		kind = coder.MessageText
	}
	return c.Write(c.ctx, kind, p)
}

func (c *coderClient) read() (bool, []byte, error) {
	kind, p, err := c.Read(c.ctx)
	return kind == coder.MessageText, p, err
}

func (c *coderClient) ping() error {
	read := make(chan error, 1)
	go func() { // ends with the message behind the ping
		_, _, err := c.read()
		read <- err
	}()
	if err := c.Ping(c.ctx); err != nil {
		return err
	}
	if err := c.write(true, []byte("after the ping")); err != nil {
		return err
	}
	return <-read
}

func (c *coderClient) close(code int) error { return c.Close(coder.StatusCode(code), "bye") }

func (c *coderClient) closeCode(err error) int { return int(coder.CloseStatus(err)) }

func (c *coderClient) fragments(p []byte) error {
	w, err := c.Writer(c.ctx, coder.MessageBinary)
	if err != nil {
		return err
	}
	for len(p) > 0 { // a frame each
		n := min(len(p), 5000)
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return w.Close()
}

func (c *coderClient) end() { c.cancel(); c.CloseNow() }

// Each library as the client of each, with sessions in between.
func TestBehind(t *testing.T) {
	url := "ws" + strings.TrimPrefix(behind.Heddle(t, "wsecho", []string{"--workers", "2"}), "http")
	for name, dial := range map[string]func(string, bool) (client, error){"gorilla": dialGorilla, "coder": dialCoder} {
		for _, server := range []string{"gorilla", "coder"} {
			for _, compress := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s, compressed %v", name, server, compress), func(t *testing.T) {
					c, err := dial(url+"/"+server, compress)
					if err != nil {
						t.Fatal(err)
					}
					defer c.end()
					talk(t, c)
					if c, err = dial(url+"/"+server, compress); err != nil {
						t.Fatal(err)
					}
					defer c.end()
					isLeft(t, c)
				})
			}
		}
	}
}

// The server may say goodbye first, with a code of its own.
func isLeft(t *testing.T, c client) {
	if err := c.write(true, []byte(leave)); err != nil {
		t.Fatal(err)
	}
	if _, p, err := c.read(); c.closeCode(err) != left || !strings.Contains(err.Error(), goodbye) {
		t.Errorf("left with %q, %v; want %d %s", p, err, left, goodbye)
	}
}

func talk(t *testing.T, c client) {
	long := make([]byte, 64<<20)
	rand.Read(long[:1<<20]) // the rest packs well
	messages := []struct {
		text bool
		p    []byte
	}{{true, []byte("hello")}, {true, nil}, {true, []byte("grüße")}, {false, []byte{0, 255, 1}}, {false, long[:100<<10]}, {false, long}}
	for _, m := range messages {
		written := make(chan error, 1)
		go func() { written <- c.write(m.text, m.p) }() // ends with the message, or the connection
		text, p, err := c.read()
		if err != nil || text != m.text || !bytes.Equal(p, m.p) {
			t.Fatalf("%d bytes, text %v: got %d, text %v, %v", len(m.p), m.text, len(p), text, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	if err := c.fragments(long[:200<<10]); err != nil {
		t.Fatal(err)
	}
	if _, p, err := c.read(); err != nil || !bytes.Equal(p, long[:200<<10]) {
		t.Fatalf("fragments: %d bytes, %v", len(p), err)
	}
	if err := c.ping(); err != nil {
		t.Fatalf("ping: %v", err)
	}

	// Both directions at once: the answers are read while more is written.
	const n = 2000
	written := make(chan error, 1)
	go func() { // ends with its messages, or the connection
		for i := range n {
			if err := c.write(true, fmt.Appendf(nil, "message %d", i)); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for i := range n {
		if _, p, err := c.read(); err != nil || string(p) != fmt.Sprintf("message %d", i) {
			t.Fatalf("message %d: %q, %v", i, p, err)
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}

	const code = 4001
	if g, ok := c.(*gorillaClient); ok {
		if err := g.close(code); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.read(); g.closeCode(err) != code {
			t.Errorf("closed with %v", err)
		}
		return
	}
	if err := c.close(code); err != nil { // waits for the other's close frame
		t.Errorf("close: %v", err)
	}
}
