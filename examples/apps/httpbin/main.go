// Httpbin runs go-httpbin, a program written for net/http by others, as a
// Heddle worker: nothing but the call in main knows.
//
//	cd examples/apps && heddle run ./httpbin
//
// Started by hand it is a plain net/http server on -addr.
package main

import (
	"flag"
	"log"
	"net/http"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, handler()))
}

func handler() http.Handler {
	return httpbin.New()
}
