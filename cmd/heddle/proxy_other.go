//go:build !linux

package main

import "context"

// serveProxy is never reached: proxy has said before that it needs Linux.
func serveProxy(context.Context, *proxyOptions) error { return errLinux }
