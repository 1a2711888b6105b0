//go:build linux

package ipc_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
)

// A process answers a topic, and another one (here the same) asks.
func Example() {
	dir, err := os.MkdirTemp("", "ipc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sock")

	l, err := loop.New(loop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	go l.Run() // ends when the loop is closed
	defer l.Close()

	s := ipc.NewServer(ipc.Options{})
	s.Handle("greet", func(_ context.Context, r *ipc.Request) error {
		return r.Reply([]byte("hello, " + string(r.Payload)))
	})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer s.Close(ctx)

	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Kind: "example"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reply, err := c.Request(ctx, "greet", []byte("weaver"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", reply)
	// Output: hello, weaver
}
