package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/heddle-go/heddle/bench/internal/child"
	"github.com/heddle-go/heddle/loop"
)

// roleServer is this program as the server that all generators ask.
const roleServer = "generators-server"

// answer is what every request gets. It has the fields that servers send.
var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nDate: Sat, 01 Jan 2028 00:00:00 GMT\r\nContent-Length: 14\r\n\r\nHello, heddle\n")

// tell has the server behave so from now on, for requests that have not come yet, and returns
// its URL.
func tell(c *child.Child, b behaviour) (url string, err error) {
	err = c.Ask(b, &url)
	return url, err
}

// serve answers requests without a body, on one loop, until the parent leaves.
func serve() error {
	s := new(server)
	var err error
	if s.l, err = loop.New(loop.Options{}); err != nil {
		return err
	}
	ln, err := s.l.Listen("tcp", "127.0.0.1:0", func(c *loop.Conn) loop.Handler { return &conn{s: s, c: c} }, loop.ListenOptions{})
	if err != nil {
		_ = s.l.Close()
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- s.l.Run() }() // ends when the loop is closed, below
	err = child.Serve(func(request json.RawMessage) (any, error) {
		var b behaviour
		if err := json.Unmarshal(request, &b); err != nil {
			return nil, err
		}
		done := make(chan struct{})
		if err := s.l.Do(func() { s.is, s.asked = b, 0; close(done) }); err != nil {
			return nil, err
		}
		<-done
		return "http://" + ln.Addr().String() + "/", nil
	})
	_ = s.l.Close()
	return errors.Join(err, <-ran)
}

// A server is its loop's.
type server struct {
	l     *loop.Loop
	is    behaviour
	asked int       // requests that have come
	first time.Time // when the first did
}

// A conn is one connection of it. A loop.Handler.
type conn struct {
	s *server
	c *loop.Conn
}

var headEnd = []byte("\r\n\r\n")

// OnBytes answers each head.
func (c *conn) OnBytes(p []byte) (n int, err error) {
	for {
		end := bytes.Index(p[n:], headEnd)
		if end < 0 {
			return n, nil
		}
		n += end + len(headEnd)
		if err := c.s.answer(c.c); err != nil {
			return n, err
		}
	}
}

// answer answers one request, when it is to.
func (s *server) answer(c *loop.Conn) error {
	if s.is == (behaviour{}) {
		_, err := c.Send(answer, nil)
		return err
	}
	now := time.Now()
	if s.asked == 0 {
		s.first = now
	}
	came := now.Sub(s.first)
	at := s.is.answerAt(came + s.is.sleep(s.asked))
	s.asked++
	c.After(at-came, func() { _, _ = c.Send(answer, nil) }) // it never runs once the connection has ended
	return nil
}

func (c *conn) OnOpen()       {}
func (c *conn) OnEOF()        { c.c.Close(nil) }
func (c *conn) OnDrain()      {}
func (c *conn) OnClose(error) {}
