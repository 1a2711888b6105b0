package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/heddle-go/heddle/httpcompat"
	"github.com/heddle-go/heddle/session/ipc"
	"github.com/heddle-go/heddle/worker"
)

// talks is a worker that is there for its messages and requests. It says on standard
// output what it gets.
func talks() {
	for _, ns := range []string{"", "lib"} {
		must(worker.HandleMessage(ns, "", func(_ context.Context, m *ipc.Received) error {
			fmt.Printf("got %s in %s from %s: %s\n", m.Topic, m.Namespace, m.From.Kind, m.Payload)
			return nil
		}))
	}
	for topic, h := range map[string]ipc.RequestHandler{
		"echo": func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.Raw(q.Format, q.Payload)) },
		"who":  func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.JSON(worker.Index())) },
		"asker": func(_ context.Context, q *ipc.Question) error {
			return q.Reply(ipc.JSON(fmt.Sprint(q.From.Kind, " ", q.From.Pid > 0)))
		},
		"count":  count,
		"midway": midway,
		"odd":    odd,
		"hang":   hang,
		"big":    func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.JSON(strings.Repeat("x", 2<<20))) },
		"quiet":  func(context.Context, *ipc.Question) error { return nil },
		"die":    func(context.Context, *ipc.Question) error { os.Exit(7); return nil },
		"panic":  func(context.Context, *ipc.Question) error { panic("out of tea") },
		"status": func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.JSON("the app's own")) },
		"stop":   func(_ context.Context, q *ipc.Question) error { return q.Reply(ipc.JSON("the app's own")) },
		"others": others,
		"write": func(_ context.Context, q *ipc.Question) error {
			for _, f := range q.TakeFiles() {
				fmt.Fprintln(f, "written by", worker.Index())
				f.Close()
			}
			return nil
		},
		"daemon": func(ctx context.Context, q *ipc.Question) error {
			_, err := worker.Ask(ctx, ipc.Message{Topic: "status"})
			return err
		},
		"index": func(_ context.Context, q *ipc.Question) error {
			if worker.Index() == 1 {
				return hang(context.Background(), q)
			}
			return q.Reply(ipc.JSON(worker.Index()))
		},
	} {
		must(worker.HandleRequest("", topic, h))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/hold", func(_ http.ResponseWriter, r *http.Request) { fmt.Println("holds"); <-r.Context().Done() })
	log.Fatal(httpcompat.ListenAndServe("127.0.0.1:0", mux))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// count replies {"n"} times.
func count(_ context.Context, q *ipc.Question) error {
	var asked struct{ N int }
	if err := q.Decode(&asked); err != nil {
		return err
	}
	for i := range asked.N {
		if err := q.Reply(ipc.JSON(i)); err != nil {
			return err
		}
	}
	return nil
}

// midway fails behind two replies.
func midway(_ context.Context, q *ipc.Question) error {
	for i := range 2 {
		if err := q.Reply(ipc.JSON(map[string]int{"item": i})); err != nil {
			return err
		}
	}
	return errors.New("the shelf is\nempty")
}

// odd replies with whatever there may be.
func odd(_ context.Context, q *ipc.Question) error {
	var b ipc.Body
	for _, b = range []ipc.Body{
		{}, ipc.JSON(nil), ipc.RawJSON([]byte("{ \"a\": [1,\n 2] }")), ipc.JSON(true), ipc.JSON("text"),
		ipc.Bytes([]byte("plain <words>\n")), ipc.Bytes([]byte{0, 0xff, 0xfe}),
		ipc.Value(map[any]any{"at": time.Unix(1700000000, 0).UTC(), 7: []byte{1, 2}, "list": []any{1, nil, "x", 2.5}}),
	} {
		if err := q.Reply(b); err != nil {
			return err
		}
	}
	return nil
}

// hang answers nobody.
func hang(ctx context.Context, q *ipc.Question) error {
	fmt.Printf("hangs %s\n", q.Payload)
	<-ctx.Done()
	fmt.Printf("was canceled %s\n", q.Payload)
	return ctx.Err()
}

// others asks whom {"workers"} names who they are.
func others(ctx context.Context, q *ipc.Question) error {
	var asked struct{ Workers string }
	if err := q.Decode(&asked); err != nil {
		return err
	}
	var found []string
	for a, err := range worker.RequestTo(ctx, asked.Workers, ipc.Query{Topic: "who"}) {
		switch {
		case err != nil:
			return err
		case a.Kind == ipc.AnswerReply:
			var i int
			if err := json.Unmarshal(a.Reply.Payload, &i); err != nil {
				return err
			}
			found = append(found, fmt.Sprintf("%d=%d", a.From.Index, i))
		case a.Kind == ipc.AnswerFailed:
			return a.Err
		}
	}
	if err := worker.PostTo(ctx, asked.Workers, ipc.Message{Topic: "asked"}); err != nil {
		return err
	}
	return q.Reply(ipc.JSON(strings.Join(found, " ")))
}
