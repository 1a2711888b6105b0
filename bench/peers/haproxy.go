package main

import (
	"context"
	"text/template"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

// haproxyConfig keeps connections on both sides, lets any request take any
// kept one, logs nothing, and adds the request fields that heddle's front adds.
// Without http-no-delay it holds small events back for a tenth of a second.
var haproxyConfig = template.Must(template.New("haproxy.cfg").Parse(`global
	nbthread {{.Threads}}
	maxconn {{.Conns}}

defaults
	mode http
	timeout connect 10s
	timeout client 120s
	timeout server 120s
	option forwardfor
	option http-no-delay
	http-reuse always

frontend clients
	bind {{.Addr}} backlog 4096
	http-request set-header X-Request-Id %[uuid()]
	http-request set-header X-Forwarded-Proto http
	http-request set-header X-Forwarded-Host %[req.hdr(host)]
	default_backend app

backend app
	server app unix@{{.Socket}}
`))

// startHAProxy keeps haproxy in the foreground (-db).
func startHAProxy(ctx context.Context, p place) (*stack.Stack, error) {
	return startBefore(ctx, p, "haproxy.cfg", haproxyConfig, func(config string) []string {
		return []string{"haproxy", "-db", "-f", config}
	})
}
