package httpcompat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// controlFidelities are about http.ResponseController, and handlers that give
// up.
var controlFidelities = []fidelity{
	// Flush.
	answers("flushed between", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "two")
	}),
	answers("flushed before", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, page)
	}),
	answers("flushed alone", func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() }),
	answers("flushed last", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, page)
		w.(http.Flusher).Flush()
	}),
	answers("flushed twice", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, page)
		w.(http.Flusher).Flush()
		w.(http.Flusher).Flush()
	}),
	answers("flushed, 1.0", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "two")
	}, oldAlive),
	answers("flushed, HEAD", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "two")
	}, headLine()),
	answers("flushed 204", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(204)
		w.(http.Flusher).Flush()
	}),
	answers("flushed with a length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "6")
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "def")
	}),
	{name: "flushed at once", steps: []step{sends(line("GET", "/")), expect("one"), tell("one seen"), expect("two")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_, _ = io.WriteString(w, "one")
		n.fail("flush", rc.Flush())
		n.add("%v", n.await("one seen"))
		_, _ = io.WriteString(w, "two")
	}},
	{name: "head flushed at once", steps: []step{sends(line("GET", "/")), expect("X-A: 1"), tell("head seen")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "1")
		n.fail("flush", http.NewResponseController(w).Flush())
		n.add("%v", n.await("head seen"))
	}},
	{name: "events", steps: []step{sends(line("GET", "/")), expect("data: 0\n\n"), tell("0"), expect("data: 1\n\n"), tell("1"), expect("data: 2\n\n"), tell("2")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			_ = n.await(fmt.Sprint(i))
		}
	}},

	// Deadlines.
	noting("write deadline", func(n *notes, w http.ResponseWriter) {
		n.fail("set", http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)))
		n.put(w, "in time")
	}),
	noting("write deadline lifted", func(n *notes, w http.ResponseWriter) {
		rc := http.NewResponseController(w)
		n.fail("set", rc.SetWriteDeadline(time.Now().Add(time.Millisecond)))
		n.fail("lift", rc.SetWriteDeadline(time.Time{}))
		n.put(w, "in time")
	}),
	{name: "write deadline of a client that does not read", cut: true, steps: []step{sends(line("GET", "/")), noticed("late")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.Flush()
		n.fail("set", rc.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		p := make([]byte, 64<<10)
		for {
			if _, err := w.Write(p); err != nil {
				n.fail("write", err)
				n.fail("flush", rc.Flush())
				break
			}
		}
		n.add("late")
	}},
	noting("read deadline without a body", func(n *notes, w http.ResponseWriter) {
		n.fail("set", http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour)))
		n.put(w, "x")
	}),
	{name: "read deadline, body in time", raw: declared(3) + "abc", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.fail("set", http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour)))
		readAll(n, w, r)
	}},
	{name: "server's read time-out", steps: []step{sends(declared(6) + "abc"), expect("read")}, set: func(srv *http.Server) { srv.ReadTimeout = 300 * time.Millisecond }, handler: readAll},
	noting("full duplex without a body", func(n *notes, w http.ResponseWriter) {
		n.fail("full duplex", http.NewResponseController(w).EnableFullDuplex())
		n.put(w, "x")
	}),
	noting("controller of a wrapped writer", func(n *notes, w http.ResponseWriter) {
		rc := http.NewResponseController(wrapped{w})
		n.fail("full duplex", rc.EnableFullDuplex())
		n.fail("read deadline", rc.SetReadDeadline(time.Time{}))
		n.fail("write deadline", rc.SetWriteDeadline(time.Time{}))
		n.fail("flush", rc.Flush())
	}),

	// Handlers that give up.
	answers("panic", func(w http.ResponseWriter, r *http.Request) { panic("on purpose") }),
	answers("panic with an error", func(w http.ResponseWriter, r *http.Request) { panic(io.ErrNoProgress) }),
	answers("panic of the runtime", func(w http.ResponseWriter, r *http.Request) { var s []string; _ = s[len(r.Host)] }),
	answers("panic behind a head", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); panic("on purpose") }),
	answers("panic behind a write", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "abc"); panic("on purpose") }),
	{name: "panic behind a flush", steps: []step{sends(line("GET", "/")), expect("abc"), tell("seen")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		_ = n.await("seen")
		panic("on purpose")
	}},
	{name: "panic behind all that was said", steps: []step{sends(line("GET", "/")), expect("abc"), tell("seen")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		_ = n.await("seen")
		panic("on purpose")
	}},
	{name: "panic behind much", raw: line("GET", "/"), handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, much)
		panic("on purpose")
	}, differs: "what was written and not flushed: net/http drops the last bytes of it, sessions deliver all that had left the worker. Both break the transfer"},
	{name: "panic with a body on its way", steps: []step{sends(declared(10) + "abc"), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) { panic("on purpose") }},
	answers("abort", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }),
	answers("abort behind a head", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); panic(http.ErrAbortHandler) }),
	answers("abort behind a write", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		panic(http.ErrAbortHandler)
	}),
	{name: "abort behind a flush", steps: []step{sends(line("GET", "/")), expect("abc"), tell("seen")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		_ = n.await("seen")
		panic(http.ErrAbortHandler)
	}},
	{name: "abort, 1.0", steps: []step{sends(old), expect("abc"), tell("seen")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		_ = n.await("seen")
		panic(http.ErrAbortHandler)
	}, differs: "an answer that ends where its connection does looks whole when net/http breaks it off; a front resets the connection. Nothing to do"},
	answers("abort wrapped", func(w http.ResponseWriter, r *http.Request) { panic(fmt.Errorf("x: %w", http.ErrAbortHandler)) }),
	{name: "panic recovered", raw: line("GET", "/"), handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		defer func() { n.add("%v", recover()); http.Error(w, "sorry", 500) }()
		w.Header().Set("X-A", "1")
		panic("on purpose")
	}},
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// lifeFidelities are about clients that leave.
var lifeFidelities = []fidelity{
	{name: "half-closed with the request", steps: []step{sends(line("GET", "/")), halfClose()}, handler: untilGone},
	{name: "half-closed during the answer", steps: []step{sends(line("GET", "/")), expect("begun"), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun ")
		w.(http.Flusher).Flush()
		untilGone(n, w, r)
	}},
	{name: "half-closed, a long answer", steps: []step{sends(line("GET", "/")), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		untilGone(n, w, r)
		n.put(w, strings.Repeat(much, 40))
	}},
	{name: "half-closed with the body", steps: []step{sends(declared(3) + "abc"), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		readAll(n, w, r)
		untilGone(n, w, r)
	}},
	{name: "half-closed with requests waiting", steps: []step{sends(line("GET", "/1") + line("GET", "/2")), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("%s", r.RequestURI)
		_, _ = io.WriteString(w, "answer to "+r.RequestURI)
	}},
	{name: "half-closed, 1.0", steps: []step{sends(old), halfClose()}, handler: untilGone},
	{name: "reset during the answer", steps: []step{sends(line("GET", "/")), expect("begun"), reset(), noticed("gone: context canceled")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		n.add("gone: %v", r.Context().Err())
	}},
	{name: "reset, and writes fail", steps: []step{sends(line("GET", "/")), expect("begun"), reset(), noticed("over")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				n.add("write fails: %v", !errors.Is(err, os.ErrDeadlineExceeded))
				break
			}
		}
		n.add("flush fails: %v", http.NewResponseController(w).Flush() != nil)
		n.add("over")
	}},
	{name: "reset while the body is read", steps: []step{sends(declared(10) + "abc"), noticed("abc"), reset(), noticed("gone: context canceled")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 3)
		_, _ = io.ReadFull(r.Body, p)
		n.add("%s", p)
		_, err := r.Body.Read(p)
		n.fail("read", err)
		<-r.Context().Done()
		n.add("gone: %v", r.Context().Err())
	}},
	{name: "CloseNotify", steps: []step{sends(line("GET", "/")), noticed("waiting"), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		gone := w.(interface{ CloseNotify() <-chan bool }).CloseNotify()
		n.add("waiting")
		n.add("gone: %v", <-gone)
		_, _ = io.WriteString(w, "answer")
	}},
	{name: "context after the handler", steps: []step{sends(line("GET", "/")), expect("x"), noticed("after: done: context canceled")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("during: %s", live(r.Context()))
		context.AfterFunc(r.Context(), func() { n.add("after: %s", live(r.Context())) })
		_, _ = io.WriteString(w, "x")
	}},
	{name: "context during a body", raw: declared(3) + "abc", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		readAll(n, w, r)
		n.add("%s", live(r.Context()))
		_, ok := r.Context().Deadline()
		n.add("deadline: %v, cause: %v", ok, context.Cause(r.Context()))
	}},
}

// untilGone waits for the client's end and answers all the same.
func untilGone(n *notes, w http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	n.add("gone: %v", r.Context().Err())
	n.put(w, "still answered")
}
