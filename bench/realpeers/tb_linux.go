package main

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// bench is as much of a testing.TB as package servicetest needs outside tests.
func bench(name string) *tb { return &tb{name: name} }

type tb struct {
	testing.TB // nil: what is not below is not called
	name       string

	mu      sync.Mutex
	cleanup []func()
	errors  []string
}

func (*tb) Helper()        {}
func (t *tb) Name() string { return t.name }

func (t *tb) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors = append(t.errors, fmt.Sprintf(format, args...))
}

func (t *tb) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func (t *tb) Fatal(args ...any) {
	panic(fmt.Sprint(args...))
}

func (t *tb) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (t *tb) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanup = append(t.cleanup, f)
}
