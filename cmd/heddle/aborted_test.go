package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/heddle-go/heddle/httpcompat"
)

// aborted is a worker whose pages are for clients that leave, or leave of
// themselves:
//
//	/wait        until the client has gone; then it answers. ?head flushes before
//	/take        reads the body
//	/give        a body without end
//	/panics      panics before the head
//	/breaks      aborts within the body
//	/hijack      takes the connection over and echoes until that ends
//	/goroutines  its process, and how many there are that do or wait for something
//	/stacks      what they are
func aborted() {
	mux := http.NewServeMux()
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "head" {
			_ = http.NewResponseController(w).Flush() // the client may have gone
		}
		<-r.Context().Done()
		fmt.Fprintln(w, "bye")
	})
	mux.HandleFunc("/take", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // it breaks
	})
	mux.HandleFunc("/give", func(w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 32<<10)
		for {
			if _, err := w.Write(p); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/panics", func(http.ResponseWriter, *http.Request) { panic("a handler of the leak test") })
	mux.HandleFunc("/breaks", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		c, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		for br := bufio.NewReader(brw); ; {
			b, err := br.ReadByte()
			if err != nil {
				return
			}
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/goroutines", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, os.Getpid(), len(busy()))
	})
	mux.HandleFunc("/stacks", func(w http.ResponseWriter, r *http.Request) {
		for _, g := range busy() {
			fmt.Fprintf(w, "%s\n\n", g)
		}
	})
	log.Fatal(httpcompat.ListenAndServe("127.0.0.1:0", mux))
}

// busy gives the stacks of all goroutines but those that the worker keeps
// parked for the requests to come.
func busy() (stacks []string) {
	p := make([]byte, 4<<20)
	for g := range strings.SplitSeq(string(p[:runtime.Stack(p, true)]), "\n\n") {
		if lines := strings.SplitN(g, "\n", 3); len(lines) < 3 || !strings.Contains(lines[1], "/worker.(*pool).run(") {
			stacks = append(stacks, g)
		}
	}
	return stacks
}
