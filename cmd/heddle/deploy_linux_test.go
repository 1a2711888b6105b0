package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A signal that comes while an executable is opened, whose context nobody looks
// at, is not lost.
func TestSignalledWhile(t *testing.T) {
	if signalledWhile(func() {}) {
		t.Error("without a signal: true")
	}
	runtime.LockOSThread() // what a thread sends to itself has come when it returns
	defer runtime.UnlockOSThread()
	got := signalledWhile(func() {
		_, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
		defer stop()
		if err := unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	if !got {
		t.Error("with a signal: false")
	}
}
