// Registry is go-containerregistry's registry of container images, which keeps
// them in memory: so there must be one worker.
//
//	cd examples/apps && heddle run --workers 1 ./registry
package main

import (
	"flag"
	"io"
	"log"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	log.Fatal(httpcompat.ListenAndServe(*addr, registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
}
