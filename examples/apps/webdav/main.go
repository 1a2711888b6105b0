// Webdav serves files by golang.org/x/net/webdav: those of a directory, or of its
// own memory, where they also have properties. Locks are in the worker's memory in
// any case, so there must be one worker.
//
//	cd examples/apps && heddle run --workers 1 ./webdav -- -dir /srv/files
package main

import (
	"flag"
	"log"

	"golang.org/x/net/webdav"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	dir := flag.String("dir", "", "directory to serve (default: memory)")
	flag.Parse()
	h := &webdav.Handler{FileSystem: webdav.NewMemFS(), LockSystem: webdav.NewMemLS()}
	if *dir != "" {
		h.FileSystem = webdav.Dir(*dir)
	}
	log.Fatal(httpcompat.ListenAndServe(*addr, h))
}
