// Hello answers every request with the same 14 bytes.
//
//	heddle run ./examples/hello
//
// Started by hand it is a plain net/http server on -addr.
package main

import (
	"flag"
	"io"
	"log"
	"net/http"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, handler()))
}

func handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello, heddle\n")
	})
}
