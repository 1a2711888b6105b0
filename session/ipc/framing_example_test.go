//go:build linux

package ipc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/session/ipc/jsonwire"
)

// A server answers Nodesockd's lines of JSON, on the socket where its other clients speak frames.
func ExampleLineHandler() {
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
	s := ipc.NewServer(ipc.Options{Lines: func(_ context.Context, l *ipc.Line) (any, error) {
		switch l.Type {
		case "set-worker-count":
			var q struct{ Count int }
			if err := json.Unmarshal(l.Data, &q); err != nil {
				return nil, err
			}
			return map[string]int{"was": 2, "is": q.Count}, nil
		case "count-down": // a stream, whose last reply is returned
			for i := 2; i > 0; i-- {
				if err := l.Reply(i); err != nil {
					return nil, err
				}
			}
			return 0, nil
		}
		return nil, ipc.ErrUnknownType
	}})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	defer s.Close(context.Background())

	c, err := net.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewScanner(c)
	for _, line := range []string{
		`{"type":"set-worker-count","id":"a","data":{"count":3}}`,
		`{"type":"count-down","id":"b"}`,
		`{"type":"dance","id":"c"}`,
	} {
		fmt.Fprintln(c, line)
		for in.Scan() {
			fmt.Println(in.Text())
			var m struct {
				Done   bool
				Errors []string
			}
			if json.Unmarshal(in.Bytes(), &m) != nil || m.Done || m.Errors != nil {
				break
			}
		}
	}
	// Output:
	// {"type":"reply","requestId":"a","done":true,"data":{"is":3,"was":2}}
	// {"type":"reply","requestId":"b","data":2}
	// {"type":"reply","requestId":"b","data":1}
	// {"type":"reply","requestId":"b","done":true,"data":0}
	// {"type":"reply","requestId":"c","errors":["ipc: unknown type \"dance\""]}
}

// A hub whose clients are those of socket-ipc: the client here speaks its JSON, too.
func ExampleOptions_framing() {
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
	hub.Default().Handle("add", func(ctx context.Context, m *ipc.Received) error {
		var n []int
		if err := m.Decode(&n); err != nil {
			return err
		}
		return m.Peer.Post(ctx, ipc.Message{Topic: "sum", Body: ipc.JSON(n[0] + n[1])})
	})
	s := ipc.NewServer(ipc.Options{Hub: hub, Framing: jsonwire.SocketIPC})
	if err := s.Listen(l, path); err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)

	own := ipc.NewHub(ipc.HubOptions{})
	sums := make(chan string)
	own.Default().Handle("sum", func(_ context.Context, m *ipc.Received) error {
		sums <- string(m.Payload)
		return nil
	})
	c, err := ipc.Dial(ctx, path, ipc.DialOptions{Hub: own, Framing: jsonwire.SocketIPC})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Peer().Post(ctx, ipc.Message{Topic: "add", Body: ipc.JSON([]int{19, 23})}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-sums)
	// Output: 42
}
