package httpcompat_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// upload is the head of a POST.
func upload(fields ...string) string { return line("POST", "/", fields...) }

func declared(n int, fields ...string) string {
	return upload(append(fields, fmt.Sprintf("Content-Length: %d", n))...)
}

var inChunks = upload("Transfer-Encoding: chunked")

// chunksOf is s as a chunked body, with chunks of n bytes.
func chunksOf(s string, n int) string {
	var b strings.Builder
	for len(s) > 0 {
		k := min(n, len(s))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", k, s[:k])
		s = s[k:]
	}
	return b.String() + "0\r\n\r\n"
}

// readAll notes a body and how it ended.
func readAll(n *notes, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	n.add("%d bytes %.20q", len(body), body)
	n.fail("end", err)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = io.WriteString(w, "read")
}

// readSome reads k bytes of the body and answers.
func readSome(k int) func(*notes, http.ResponseWriter, *http.Request) {
	return func(n *notes, w http.ResponseWriter, r *http.Request) {
		got, err := io.CopyN(io.Discard, r.Body, int64(k))
		n.add("%d bytes, %s", got, kind(err))
		_, _ = io.WriteString(w, "enough")
	}
}

func ignore(n *notes, w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ignored") }

// bodyFidelities are about how a request's body is read, and what is left of it.
var bodyFidelities = []fidelity{
	{name: "body in pieces", steps: []step{sends(declared(6)), noticed("head"), sends("abc"), noticed("abc"), sends("def")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("head")
		p := make([]byte, 3)
		_, err := io.ReadFull(r.Body, p)
		n.add("%s", p)
		n.fail("so far", err)
		readAll(n, w, r)
	}},
	{name: "chunks as they come", steps: []step{sends(inChunks), noticed("head"), sends("3\r\nabc\r\n"), noticed("abc"), sends("3\r\ndef\r\n0\r\n\r\n")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("head")
		p := make([]byte, 3)
		_, err := io.ReadFull(r.Body, p)
		n.add("%s", p)
		n.fail("so far", err)
		readAll(n, w, r)
	}},
	{name: "a long body", handler: readAll, raw: declared(3<<20) + strings.Repeat("abc", 1<<20)},
	{name: "a long body in chunks", handler: readAll, raw: inChunks + chunksOf(strings.Repeat("abc", 1<<20), 1000)},
	{name: "reads of nothing", raw: declared(3) + "abc", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		k, err := r.Body.Read(nil)
		n.add("%d %s", k, kind(err))
		readAll(n, w, r)
		k, err = r.Body.Read(nil)
		n.add("%d %s", k, kind(err))
	}},
	{name: "end with the last byte", raw: declared(3) + "abc", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 3)
		k, err := io.ReadFull(r.Body, p)
		n.add("%d %s", k, kind(err))
		k, err = r.Body.Read(p)
		n.add("%d %s", k, kind(err))
	}},

	// 100-continue.
	{name: "continue when read", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("head")
		_ = n.await("nothing came")
		readAll(n, w, r)
	}, steps: []step{sends(declared(3, "Expect: 100-continue")), noticed("head"), tell("nothing came"), expect("100 Continue\r\n\r\n"), sends("abc")}},
	{name: "continue in chunks", handler: readAll, steps: []step{sends(upload("Transfer-Encoding: chunked", "Expect: 100-Continue")), expect("100 Continue\r\n\r\n"), sends(chunksOf("abcdef", 2))}},
	{name: "continue not waited for", handler: readAll, raw: declared(3, "Expect: 100-continue") + "abc"},
	{name: "continue not read", handler: ignore, raw: declared(3, "Expect: 100-continue")},
	{name: "continue refused", handler: func(n *notes, w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 417) }, raw: declared(3, "Expect: 100-continue")},
	{name: "continue by hand", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusContinue)
		readAll(n, w, r)
	}, steps: []step{sends(declared(3, "Expect: 100-continue")), expect("100 Continue\r\n\r\n"), sends("abc")}},
	{name: "continue after hints", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "<a>")
		w.WriteHeader(http.StatusEarlyHints)
		readAll(n, w, r)
	}, steps: []step{sends(declared(3, "Expect: 100-continue")), expect("100 Continue\r\n\r\n"), sends("abc")}},
	{name: "continue with an empty body", handler: see, raw: declared(0, "Expect: 100-continue")},
	{name: "continue of 1.0", handler: readAll, raw: "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"},
	{name: "continue, read in part", handler: readSome(3), steps: []step{sends(declared(6, "Expect: 100-continue")), expect("100 Continue\r\n\r\n"), sends("abcdef")}},
	{name: "continue, read after the head", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		readAll(n, w, r)
	}, raw: declared(3, "Expect: 100-continue") + "abc", differs: "the head waits in the worker for more of the answer when the body is read, so the client is told to continue; net/http alone has decided not to. Nothing to do"},

	// Broken bodies.
	{name: "body cut off", handler: readAll, steps: []step{sends(declared(10) + "abc"), halfClose()}},
	{name: "body cut off at once", handler: readAll, steps: []step{sends(declared(10)), halfClose()}},
	{name: "chunk cut off", handler: readAll, steps: []step{sends(inChunks + "5\r\nabc"), halfClose()}},
	{name: "chunks without an end", handler: readAll, steps: []step{sends(inChunks + "3\r\nabc\r\n"), halfClose()}},
	{name: "trailer cut off", handler: readAll, steps: []step{sends(inChunks + "3\r\nabc\r\n0\r\nX-T"), halfClose()}},
	{name: "malformed chunk", handler: readAll, raw: inChunks + "3\r\nabc\r\nzz\r\n"},
	{name: "malformed end of chunk", handler: readAll, raw: inChunks + "3\r\nabcde\r\n0\r\n\r\n"},
	{name: "chunk too long to be said", handler: readAll, raw: inChunks + "fffffffffffffffff\r\nabc"},
	{name: "malformed trailer", handler: readAll, raw: inChunks + "3\r\nabc\r\n0\r\nX T\r\n\r\n"},
	{name: "body cut off and read again", steps: []step{sends(declared(10) + "abc"), halfClose()}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		readAll(n, w, r)
		readAll(n, w, r)
	}, differs: "after an unexpected end net/http says io.EOF from the second read on; sessions go on saying io.ErrUnexpectedEOF, so that half a body is never taken for a whole one. Nothing to do"},

	// Limits.
	{name: "MaxBytesReader not reached", raw: declared(3) + "abc", handler: limited(10)},
	{name: "MaxBytesReader just reached", raw: declared(10) + "0123456789", handler: limited(10)},
	{name: "MaxBytesReader exceeded", raw: declared(11) + "0123456789a", handler: limited(10),
		differs: "net/http is told by MaxBytesReader and closes the connection; no other package can be told, so it is kept. Set Connection: close with the 413"},
	{name: "MaxBytesReader exceeded by far", raw: declared(1<<20) + strings.Repeat("x", 1<<20), handler: limited(10),
		differs: "both close the connection, since too much of the body is left; net/http names Connection among the handler's fields, sessions behind them. Nothing to do"},
	{name: "MaxBytesHandler", raw: declared(20) + "01234567890123456789", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { readAll(n, w, r) }), 10).ServeHTTP(w, r)
	}, differs: "as with MaxBytesReader: net/http closes the connection. Set Connection: close with the 413"},

	// Not read to the end.
	{name: "body not read", handler: ignore, raw: declared(3) + "abc"},
	{name: "body read in part", handler: readSome(3), raw: declared(6) + "abcdef"},
	{name: "long body not read", handler: ignore, raw: declared(200<<10) + strings.Repeat("x", 200<<10)},
	{name: "longer body not read", handler: ignore, raw: declared(1<<20) + strings.Repeat("x", 1<<20)},
	{name: "longer body read in part", handler: readSome(900 << 10), raw: declared(1<<20) + strings.Repeat("x", 1<<20)},
	{name: "chunks not read", handler: ignore, raw: inChunks + chunksOf(strings.Repeat("x", 100<<10), 4000)},
	{name: "chunks read in part", handler: readSome(3), raw: inChunks + chunksOf("abcdef", 2)},
	{name: "trailers not read", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		ignore(n, w, r)
		n.add("%s", fields(r.Trailer))
	}, raw: upload("Transfer-Encoding: chunked", "Trailer: X-T") + "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"},
	{name: "many chunks not read", handler: ignore, raw: inChunks + chunksOf(strings.Repeat("x", 1<<20), 4000)},
	{name: "malformed and not read", handler: ignore, raw: inChunks + "zz\r\n"},
	{name: "next request behind a body that was not read", handler: ignore, raw: declared(5) + "abc\r\n" + line("GET", "/2")},
	{name: "body of a GET not read", handler: ignore, raw: line("GET", "/", "Content-Length: 3") + "abc"},

	// Closed.
	{name: "body closed", raw: declared(3) + "abc", handler: closed(0)},
	{name: "body closed half way", raw: declared(6) + "abcdef", handler: closed(3)},
	{name: "body closed at its end", raw: declared(3) + "abc", handler: closed(3)},
	{name: "no body closed", raw: line("GET", "/"), handler: closed(0)},
	{name: "closed while reading", steps: []step{sends(declared(6) + "abc"), noticed("reading"), sends("def")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 3))
		done := make(chan error)
		go func() { // ends with the body
			_, err := io.ReadAll(r.Body)
			done <- err
		}()
		n.add("reading")
		n.fail("close", r.Body.Close())
		err := <-done // the reader may have come first
		n.add("reader: %v", err == nil || errors.Is(err, http.ErrBodyReadAfterClose))
		_, _ = io.WriteString(w, "closed")
	}},
	{name: "read after the handler", raw: declared(3) + "abc", steps: []step{sends(declared(3) + "abc"), expect("ignored"), noticed("late: " + http.ErrBodyReadAfterClose.Error())}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		ignore(n, w, r)
		go func() { // ends with the request's context, which the handler's return ends
			<-r.Context().Done()
			for { // until the server has closed the body, which is a moment after the context's end
				switch _, err := r.Body.Read(make([]byte, 1)); err {
				case nil:
				case io.EOF:
					time.Sleep(time.Millisecond)
				default:
					n.fail("late", err)
					return
				}
			}
		}()
	}},

	// Reading and writing at once.
	{name: "read after the answer began", raw: declared(3) + "abc", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun ")
		_ = http.NewResponseController(w).Flush()
		readAll(n, w, r)
	}, differs: "net/http drops the rest of the body when the head leaves, unless EnableFullDuplex was called; a session always is full duplex, so it can still be read. Nothing to do"},
	{name: "read after the answer began, full duplex", raw: declared(3) + "abc", handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		n.fail("full duplex", rc.EnableFullDuplex())
		_, _ = io.WriteString(w, "begun ")
		_ = rc.Flush()
		readAll(n, w, r)
	}},
	{name: "echo as it comes", steps: []step{sends(inChunks + "3\r\nabc\r\n"), expect("abc"), sends("3\r\ndef\r\n"), expect("def"), sends("0\r\n\r\n")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		n.fail("full duplex", rc.EnableFullDuplex())
		p := make([]byte, 3)
		for {
			if _, err := io.ReadFull(r.Body, p); err != nil {
				n.fail("end", err)
				return
			}
			_, _ = w.Write(p)
			_ = rc.Flush()
		}
	}},
	{name: "full duplex, long body not read", raw: declared(1<<20) + strings.Repeat("x", 1<<20), handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.fail("full duplex", http.NewResponseController(w).EnableFullDuplex())
		ignore(n, w, r)
	}, differs: "both close the connection, since too much of the body is left; the front learns it before the head leaves and says Connection: close. Nothing to do"},

	// Deadlines of the body.
	{name: "read deadline", steps: []step{sends(declared(6) + "abc"), expect("late")}, handler: func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 3))
		n.fail("set", http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second)))
		_, err := r.Body.Read(make([]byte, 3))
		n.fail("read", err)
		_, _ = io.WriteString(w, "late")
	}},
}

// limited reads through a MaxBytesReader and refuses what is too long.
func limited(limit int64) func(*notes, http.ResponseWriter, *http.Request) {
	return func(n *notes, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		var e *http.MaxBytesError
		n.add("%d bytes, %v, %s", len(body), errors.As(err, &e) && e.Limit == limit, kind(err))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		}
	}
}

// closed closes the body after k bytes of it.
func closed(k int) func(*notes, http.ResponseWriter, *http.Request) {
	return func(n *notes, w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadFull(r.Body, make([]byte, k))
		n.fail("read", err)
		n.fail("close", r.Body.Close())
		n.fail("close again", r.Body.Close())
		_, err = r.Body.Read(make([]byte, 1))
		n.fail("read on", err)
		_, _ = io.WriteString(w, "closed")
	}
}
