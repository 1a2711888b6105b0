package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"
)

// watchQuit writes to out, at each SIGQUIT, what every goroutine does and which
// requests are under way; the daemon serves on. Stop ends it.
func watchQuit(out io.Writer, requests func(io.Writer)) (stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGQUIT)
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with stop
		for {
			select {
			case <-asked:
				dumpTo(out, requests)
			case <-quit:
				return
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			signal.Stop(asked)
			close(quit)
			wg.Wait()
		})
	}
}

// dumpTo writes in parts, so that a full outlet drops as little as it must.
func dumpTo(out io.Writer, requests func(io.Writer)) {
	var b bytes.Buffer
	fmt.Fprintln(&b, "SIGQUIT: goroutines")
	_ = pprof.Lookup("goroutine").WriteTo(&b, 2) // as a crash shows them; a buffer never fails
	_, _ = out.Write(b.Bytes())                  // an outlet never fails
	b.Reset()
	fmt.Fprintln(&b, "SIGQUIT: active requests")
	requests(&b)
	fmt.Fprintln(&b, "SIGQUIT: done; serving on")
	_, _ = out.Write(b.Bytes())
}
