//go:build !linux

package main

import (
	"context"
	"errors"
)

var errLinux = errors.New("needs Linux")

// serve is never reached: run has said before that it needs Linux.
func serve(context.Context, *runOptions) error { return errLinux }
