package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/heddle-go/heddle/httpcompat/httpcompattest"
)

// The same calls without processes: alone, and with sessions in between, under
// net/http's own HTTP/2.
func TestHandler(t *testing.T) {
	proxy := httpcompattest.NewProxy(handler())
	defer proxy.Close()
	for name, h := range map[string]http.Handler{"alone": handler(), "sessions": proxy} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(h)
			srv.Config.Protocols = new(http.Protocols)
			srv.Config.Protocols.SetUnencryptedHTTP2(true)
			srv.Start()
			defer srv.Close()
			c, err := grpc.NewClient(strings.TrimPrefix(srv.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close() // before the server, which waits for its connections
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			unary(ctx, t, c)
			streams(ctx, t, c)
			ends(ctx, t, c)
		})
	}
}
