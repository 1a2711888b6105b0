// Relay stands before one service, such as an app of a cloud, and passes what its
// clients say on, and what they are answered back, without decoding a body. Clients
// of both dialects come to one address, as far as the service has both; each has a
// connection of its own behind the relay, in the same dialect.
//
//	heddle call locator resolve shop
//	go run ./examples/relay -listen :10060 -to 127.0.0.1:45123
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"

	"github.com/heddle-go/heddle/loop"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:10060", "where clients come, host:port or unix:PATH")
	to := flag.String("to", "", "where the service is, host:port or unix:PATH")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *to); err != nil {
		log.Fatal(err)
	}
}

// run relays until ctx ends, and then ends every connection.
func run(ctx context.Context, listen, to string) error {
	l, err := loop.New(loop.Options{})
	if err != nil {
		return err
	}
	ln, err := newRelay(to, slog.Default()).listen(l, listen)
	if err != nil {
		_ = l.Close() // has nothing yet
		return err
	}
	slog.Info("relay", "listen", ln.Addr().String(), "to", to)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	return l.Run()
}

// split tells the network of an address.
func split(s string) (network, addr string) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return "unix", path
	}
	return "tcp", s
}
