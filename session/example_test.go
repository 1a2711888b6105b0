package session_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/session"
)

// A whole small worker on the low-level face: it introduces itself and answers
// every invoke of the event "greet".
func Example_channel() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "engine.sock")
	engine, err := net.Listen("unix", path) // stands in for a real engine
	if err != nil {
		fmt.Println(err)
		return
	}

	l, err := loop.New(loop.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	go l.Run() // ends with Close
	defer l.Close()

	ready := make(chan *session.Channel, 1)
	var ch *session.Channel
	ch, err = session.Dial(l, "unix", path, session.Callbacks{
		OnConnect: func() {
			ch := <-ready
			ch.Send(heddle.ControlChannel, codec.AppendHandshake(nil, heddle.V1, "me", nil))
			ready <- ch
		},
		OnInvoke: func(sid uint64, event []byte) {
			ch := <-ready
			ch.Send(sid, codec.AppendChunk(nil, heddle.V1, sid, []byte("hello from "+string(event))))
			ch.Send(sid, codec.AppendChoke(nil, heddle.V1, sid))
			ready <- ch
		},
	}, session.ChannelOptions{Dialect: heddle.V1})
	if err != nil {
		fmt.Println(err)
		return
	}
	ready <- ch

	nc, err := engine.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	frames := make([]byte, 0, 256)
	nc.Write(codec.AppendInvoke(nil, heddle.V1, 2, "greet", -1))
	for dec := codec.NewDecoder(heddle.V1, codec.Limits{}); ; {
		n, err := nc.Read(frames[len(frames):cap(frames)])
		if err != nil {
			fmt.Println(err)
			return
		}
		frames = frames[:len(frames)+n]
		for {
			f, n, err := dec.Next(frames)
			if err != nil {
				break
			}
			fmt.Printf("session %d, message %d, %d bytes of arguments\n", f.Session, f.Type, len(f.Args))
			if frames = frames[n:]; f.Session == 2 && f.Type == heddle.MsgClose {
				return
			}
		}
	}
	// Output:
	// session 1, message 0, 4 bytes of arguments
	// session 2, message 0, 18 bytes of arguments
	// session 2, message 2, 1 bytes of arguments
}
