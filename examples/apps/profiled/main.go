// Profiled has net/http/pprof beside its own work, as many programs do.
//
//	cd examples/apps && heddle run ./profiled
//	go tool pprof http://127.0.0.1:8080/debug/pprof/profile?seconds=5
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof" // for its handlers, in http.DefaultServeMux

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "see /debug/pprof/") })
	log.Fatal(httpcompat.ListenAndServe(*addr, nil))
}
