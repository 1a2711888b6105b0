// Reverseproxy is httputil.ReverseProxy before a unix socket, as one would
// write it with care: connections to the program are kept, copies go through
// pooled buffers, and requests get the fields that heddle's front adds.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "host:port to serve on")
	socket := flag.String("to", "", "unix socket of the program")
	flag.Parse()
	target := &url.URL{Scheme: "http", Host: "app"}
	srv := &http.Server{Addr: *listen, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.Handler = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			r.Out.Header.Set("X-Request-Id", rand.Text())
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", *socket)
			},
			MaxIdleConnsPerHost: 16384, // more than a load has connections
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true, // pass on what the client asks for
		},
		BufferPool: new(buffers),
	}
	log.Fatal(srv.ListenAndServe())
}

// buffers are of 32 KiB, as those that ReverseProxy makes itself.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
