//go:build !linux

package main

import (
	"context"
	"errors"
	"net"
)

var errLinux = errors.New("needs Linux")

// listenUnix is written for Linux only, as run is.
func listenUnix(string) (net.Listener, error) { return nil, errLinux }

// serve is never reached: run has said before that it needs Linux.
func serve(context.Context, *runOptions) error { return errLinux }
