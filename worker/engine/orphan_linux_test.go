package engine

import (
	"context"
	"fmt"
	"os"
	"time"
)

// playEngine is a daemon: an engine whose workers the test looks at after it
// was killed.
func playEngine() {
	if err := os.Setenv(envPlay, "worker"); err != nil {
		panic(err)
	}
	e, err := New(Options{Path: os.Args[0], Workers: 2, Loops: 2})
	if err != nil {
		panic(err)
	}
	if err := e.Start(context.Background()); err != nil {
		panic(err)
	}
	for _, w := range e.Status().Workers {
		fmt.Println(w.Pid)
	}
	time.Sleep(time.Minute)
}
