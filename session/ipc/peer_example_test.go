//go:build linux

package ipc_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
)

// A request has as many replies as its handler likes; who has heard enough leaves the
// range, and the handler is told.
func ExamplePeer_Request() {
	dir, err := os.MkdirTemp("", "ipc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sock")
	ctx := context.Background()

	l, err := loop.New(loop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	go l.Run() // ends when the loop is closed
	defer l.Close()
	hub := ipc.NewHub(ipc.HubOptions{})
	stopped := make(chan int)
	hub.Default().HandleRequest("squares", func(ctx context.Context, q *ipc.Question) error {
		for i := 1; ; i++ {
			if err := q.Reply(ipc.JSON(i * i)); err != nil {
				<-ctx.Done() // it is ended as well, for what else the handler has begun
				stopped <- i
				return err
			}
		}
	})
	s := ipc.NewServer(ipc.Options{Hub: hub})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)

	c, err := ipc.Dial(ctx, path, ipc.DialOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for reply, err := range c.Peer().Request(ctx, ipc.Query{Topic: "squares"}) {
		if err != nil {
			log.Fatal(err)
		}
		var n int
		if err := reply.Decode(&n); err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
		if n >= 25 {
			break
		}
	}
	fmt.Println("the handler went on for a while:", <-stopped > 5)
	// Output:
	// 1
	// 4
	// 9
	// 16
	// 25
	// the handler went on for a while: true
}

// A connection that one process has accepted is answered by another.
func ExampleMessage_files() {
	dir, err := os.MkdirTemp("", "ipc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sock")
	ctx := context.Background()

	l, err := loop.New(loop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	go l.Run() // ends when the loop is closed
	defer l.Close()
	hub := ipc.NewHub(ipc.HubOptions{})
	hub.Default().Handle("answer", func(_ context.Context, m *ipc.Received) error {
		files := m.TakeFiles() // what is not taken is closed
		if len(files) != 1 {
			return fmt.Errorf("%d descriptors came, want 1", len(files))
		}
		conn, err := ipc.Conn(files[0])
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "hello from whoever answers %s\n", m.Payload)
		return err
	})
	s := ipc.NewServer(ipc.Options{Hub: hub})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)

	c, err := ipc.Dial(ctx, path, ipc.DialOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	browser, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer browser.Close()
	conn, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Peer().Ask(ctx, ipc.Message{Topic: "answer", Body: ipc.Bytes([]byte("browsers")), Files: []any{conn}}); err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(browser)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", text)
	// Output: hello from whoever answers browsers
}
