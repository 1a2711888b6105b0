// Files serves a directory, with byte ranges and conditional requests, as
// http.FileServer does.
//
//	heddle run ./examples/files -- -dir /usr/share/doc
//
// Started by hand it is a plain net/http server on -addr.
package main

import (
	"flag"
	"log"
	"net/http"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	dir := flag.String("dir", ".", "directory to serve")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, handler(*dir)))
}

func handler(dir string) http.Handler {
	return http.FileServer(http.Dir(dir))
}
