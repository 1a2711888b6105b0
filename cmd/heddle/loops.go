package main

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/heddle-go/heddle/loop"
)

// Loops run the channels of every app's workers and the clients' connections.
type loops struct {
	list []*loop.Loop
	ran  sync.WaitGroup
}

// startLoops starts n of them.
func startLoops(n int, log *slog.Logger) (*loops, error) {
	ls := new(loops)
	for i := range n {
		l, err := loop.New(loop.Options{Logger: log})
		if err != nil {
			ls.close()
			return nil, fmt.Errorf("I/O loops: %w", err)
		}
		ls.list = append(ls.list, l)
		ls.ran.Go(func() { // ends when close closes the loop
			if err := l.Run(); err != nil && !errors.Is(err, loop.ErrClosed) {
				log.Error("I/O loop ended", "loop", i, "err", err)
			}
		})
	}
	return ls, nil
}

// close ends them, with what is left on them.
func (ls *loops) close() {
	for _, l := range ls.list {
		_ = l.Close() // nobody is to be told
	}
	ls.ran.Wait()
}
