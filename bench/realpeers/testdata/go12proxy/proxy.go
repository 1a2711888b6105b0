// The HTTP proxy of the Go framework (0.12) at an address of our choice: its own
// program has one built in. Arguments: --locator HOST:PORT, which the framework
// takes itself, and then the port.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/cocaine/cocaine-framework-go/cocaine12/proxy"
)

func main() {
	log.SetFlags(0)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[len(os.Args)-1], proxy.NewServer()))
}
