//go:build !linux

package main

import (
	"context"
	"time"
)

// top is never reached: a daemon needs Linux, so none has answered.
func top(context.Context, *controlFlags, controlFlags, time.Duration, statusReply) error {
	return errLinux
}
