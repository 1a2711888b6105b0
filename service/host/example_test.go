//go:build linux

package host_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/heddle-go/heddle/service/host"
)

// A cloud with storage and a service of one's own, which clients of both dialects
// find by its locator.
func Example() {
	dir, err := os.MkdirTemp("", "storage")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c, err := host.Start(host.Options{Locator: "127.0.0.1:0", Storage: dir})
	if err != nil {
		log.Fatal(err)
	}
	type name struct {
		_    struct{} `msg:",tuple"`
		Name string
	}
	methods := []host.Method{
		host.Quick(0, "greet", 1, func(_ *host.Call, a *name) (host.Results, error) {
			return host.Results{"hello, " + a.Name}, nil
		}),
	}
	if err := c.Add(host.Service{Name: "greeter", Version: 1, V0: methods, V1: methods}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the locator listens at an address:", c.Addr() != "")

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: the locator listens at an address: true
}
