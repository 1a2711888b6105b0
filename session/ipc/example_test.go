//go:build linux

package ipc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

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

// Go values travel as they are, through package codec/value; what cannot is an error that
// names the type, before a byte is sent.
func ExampleValue() {
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
	type job struct {
		Name  string         `msg:"name"`
		At    time.Time      `msg:"at"`
		Extra map[string]any `msg:"extra,omitempty"`
	}
	hub := ipc.NewHub(ipc.HubOptions{})
	hub.Default().Handle("later", func(_ context.Context, m *ipc.Received) error {
		var j job
		if err := m.Decode(&j); err != nil {
			return err
		}
		j.At = j.At.Add(time.Hour)
		return m.Reply(ipc.Value(j))
	})
	s := ipc.NewServer(ipc.Options{Hub: hub})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	defer hub.Close(ctx)

	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Kind: "example"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	begin := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	reply, err := c.Peer().Ask(ctx, ipc.Message{Topic: "later", Body: ipc.Value(job{Name: "build", At: begin})})
	if err != nil {
		log.Fatal(err)
	}
	var j job
	if err := reply.Decode(&j); err != nil {
		log.Fatal(err)
	}
	fmt.Println(j.Name, j.At.UTC())
	err = c.Peer().Post(ctx, ipc.Message{Topic: "later", Body: ipc.Value(job{Extra: map[string]any{"result": make(chan int)}})})
	fmt.Println(err)
	// Output:
	// build 2025-01-02 04:04:05 +0000 UTC
	// ipc: payload: value: chan int at extra["result"]: a chan has no msgpack
}

// Two programs talk: the client asks and is told, the server speaks to it by itself.
func ExampleHub() {
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
	hub.Default().Handle("add", func(_ context.Context, m *ipc.Received) error {
		var n []int
		if err := m.Decode(&n); err != nil {
			return err
		}
		return m.Reply(ipc.JSON(n[0] + n[1]))
	})
	hub.Default().HandleRequest("count", func(_ context.Context, q *ipc.Question) error {
		for i := range 3 {
			if err := q.Reply(ipc.JSON(i)); err != nil {
				return err
			}
		}
		return errors.New("that is all I know")
	})
	s := ipc.NewServer(ipc.Options{Hub: hub})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	defer hub.Close(ctx)

	own := ipc.NewHub(ipc.HubOptions{})
	heard := make(chan string)
	own.Default().Handle("news", func(_ context.Context, m *ipc.Received) error {
		heard <- string(m.Payload)
		return nil
	})
	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Hub: own, Kind: "example"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reply, err := c.Peer().Ask(ctx, ipc.Message{Topic: "add", Body: ipc.JSON([]int{19, 23})})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("add: %s\n", reply.Payload)
	for reply, err := range c.Peer().Request(ctx, ipc.Query{Topic: "count"}) {
		var remote *ipc.RemoteError
		if errors.As(err, &remote) {
			fmt.Println("count:", remote.Msg)
			break
		}
		fmt.Printf("count: %s\n", reply.Payload)
	}
	if _, err := hub.Broadcast(ipc.Message{Topic: "news", Body: ipc.Bytes([]byte("the loom is free"))}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("news:", <-heard)
	// Output:
	// add: 42
	// count: 0
	// count: 1
	// count: 2
	// count: that is all I know
	// news: the loom is free
}

// The client is there before the server, which goes and comes back.
func ExampleConnector() {
	dir, err := os.MkdirTemp("", "ipc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sock")
	ctx := context.Background()

	changes := make(chan ipc.ChangeKind, 1000)
	c, err := ipc.Connect(path, ipc.ConnectorOptions{
		Retry: 10 * time.Millisecond, ReconnectMin: time.Millisecond, ReconnectMax: 10 * time.Millisecond,
		OnChange: func(ch ipc.Change) { changes <- ch.Kind },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	await := func(want ipc.ChangeKind) {
		for <-changes != want {
		}
	}
	await(ipc.Failed)
	fmt.Println("nobody is there:", c.Post(ctx, ipc.Message{Topic: "t"}))
	for _, change := range []ipc.ChangeKind{ipc.Connected, ipc.Reconnected} {
		l, err := loop.New(loop.Options{})
		if err != nil {
			log.Fatal(err)
		}
		go l.Run() // ends when the loop is closed
		hub := ipc.NewHub(ipc.HubOptions{})
		hub.Default().Handle("t", func(_ context.Context, m *ipc.Received) error {
			fmt.Printf("the server got %s\n", m.Payload)
			return nil
		})
		s := ipc.NewServer(ipc.Options{Hub: hub})
		if err := s.Listen(l, path); err != nil {
			log.Fatal(err)
		}
		await(change)
		a, err := c.Send(ctx, ipc.Message{Topic: "t", Body: ipc.JSON("a message")})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := a.Wait(ctx); err != nil {
			log.Fatal(err)
		}
		if err := errors.Join(hub.Close(ctx), s.Close(ctx), l.Close()); err != nil {
			log.Fatal(err)
		}
		await(ipc.Disconnected)
		fmt.Println("the server has gone")
	}
	// Output:
	// nobody is there: ipc: not connected
	// the server got "a message"
	// the server has gone
	// the server got "a message"
	// the server has gone
}
