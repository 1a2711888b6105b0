// Master runs workers of its own program, hears what becomes of them, sends them
// messages, asks them, tells all of them news, and passes them connections: what a
// program does that is a daemon of its own.
//
//	go run ./examples/master
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"slices"

	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/engine"
)

func main() {
	var err error
	if _, started := worker.Launched(); started {
		err = work(context.Background())
	} else {
		err = master(context.Background(), os.Stdout)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// work is what a worker does.
func work(ctx context.Context) error {
	err := errors.Join(
		worker.HandleMessage("", "greet", func(_ context.Context, m *ipc.Received) error {
			var name string
			if err := m.Decode(&name); err != nil {
				return err
			}
			return m.Reply(ipc.JSON(fmt.Sprintf("worker %d greets %s", worker.Index(), name)))
		}),
		worker.HandleRequest("", "count", func(_ context.Context, q *ipc.Question) error {
			var to int
			if err := q.Decode(&to); err != nil {
				return err
			}
			for i := range to {
				if err := q.Reply(ipc.JSON(i + 1)); err != nil {
					return err
				}
			}
			return nil
		}),
		worker.HandleMessage("", "news", func(ctx context.Context, m *ipc.Received) error {
			// So the master sees that it has come.
			return worker.Post(ctx, ipc.Message{Topic: "heard", Body: ipc.Raw(m.Format, m.Payload)})
		}),
		worker.HandleMessage("", "connection", func(ctx context.Context, m *ipc.Received) error {
			files := m.TakeFiles()
			if len(files) != 1 {
				return fmt.Errorf("%d descriptors came, want 1", len(files))
			}
			c, err := ipc.Conn(files[0])
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c, "worker %d was here\n", worker.Index()); err != nil {
				_ = c.Close()
				return err
			}
			// Back with it. Once it was taken it is closed here.
			if err := worker.Post(ctx, ipc.Message{Topic: "connection", Files: []any{c}}); err != nil {
				_ = c.Close()
				return err
			}
			return nil
		}),
	)
	if err != nil {
		return err
	}
	w, err := worker.New(worker.Options{})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// master is what the program does that was started by hand.
func master(ctx context.Context, out io.Writer) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ready := make(chan *ipc.Ack, 1)
	var e *engine.Engine
	e, err = engine.New(engine.Options{
		Path: self, Workers: 2, Logger: slog.New(slog.DiscardHandler),
		OnWorker: func(ev engine.WorkerEvent) {
			if ev.Kind != engine.WorkerSpawned || ev.Worker.Index != 0 {
				return
			}
			// It has only begun: the message waits until it is ready.
			a, err := e.SendTo(ctx, ev.Worker.ID, ipc.Message{Topic: "greet", Body: ipc.JSON("the world")})
			if err != nil {
				log.Print(err)
			}
			ready <- a
		},
	})
	if err != nil {
		return err
	}
	heard := make(chan string)
	if err := e.HandleMessage("", "heard", func(ctx context.Context, from engine.WorkerInfo, m *ipc.Received) error {
		var news string
		if err := m.Decode(&news); err != nil {
			return err
		}
		select {
		case heard <- fmt.Sprintf("worker %d heard that %s", from.Index, news):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}); err != nil {
		return err
	}
	back := make(chan net.Conn, 1)
	if err := e.HandleMessage("", "connection", func(_ context.Context, from engine.WorkerInfo, m *ipc.Received) error {
		files := m.TakeFiles()
		if len(files) != 1 {
			return fmt.Errorf("worker %d sent %d descriptors, want 1", from.Index, len(files))
		}
		c, err := ipc.Conn(files[0])
		if err == nil {
			back <- c
		}
		return err
	}); err != nil {
		return err
	}
	if err := e.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Shutdown(ctx)) }()

	// A message that is acknowledged.
	if a := <-ready; a != nil {
		r, err := a.Wait(ctx)
		if err != nil {
			return err
		}
		var greeting string
		if err := r.Decode(&greeting); err != nil {
			return err
		}
		fmt.Fprintln(out, greeting)
	}

	// A request to all: each answers for itself.
	sums := make(map[int]int)
	for a, err := range e.Request(ctx, engine.Selector{}, ipc.Query{Topic: "count", Body: ipc.JSON(4)}) {
		switch {
		case err != nil:
			return err
		case a.Kind == ipc.AnswerFailed:
			return fmt.Errorf("worker %d: %w", a.From.Index, a.Err)
		case a.Kind == ipc.AnswerReply:
			var n int
			if err := a.Reply.Decode(&n); err != nil {
				return err
			}
			sums[a.From.Index] += n
		}
	}
	fmt.Fprintln(out, "sums:", sums)

	if err := broadcast(ctx, e, heard, out); err != nil {
		return err
	}
	return pass(ctx, e, back, out)
}

// broadcast tells all workers something, and waits until each has heard it.
func broadcast(ctx context.Context, e *engine.Engine, heard <-chan string, out io.Writer) error {
	d, err := e.Post(ctx, engine.Selector{}, ipc.Message{Topic: "news", Body: ipc.JSON("the loom is free")})
	if err != nil {
		return err
	}
	if d.Sent < d.Chosen {
		return fmt.Errorf("%d of %d workers did not get it: %v", d.Chosen-d.Sent, d.Chosen, d.Failed)
	}
	var lines []string
	for range d.Sent {
		select {
		case line := <-heard:
			lines = append(lines, line)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return nil
}

// pass gives worker 1 a connection that was accepted here, gets it back, and answers.
func pass(ctx context.Context, e *engine.Engine, back <-chan net.Conn, out io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	defer client.Close()
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	second, err := engine.ParseSelector("1")
	if err != nil {
		return err
	}
	d, err := e.Post(ctx, second, ipc.Message{Topic: "connection", Files: []any{c}})
	if err != nil || d.Sent != 1 {
		_ = c.Close()
		return fmt.Errorf("the connection was not passed: %+v, %w", d, err)
	}
	select {
	case c = <-back:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err = fmt.Fprintln(c, "and the master again")
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	_, err = io.Copy(out, client)
	return err
}
