package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// patience is how long a script waits for what should take moments.
const patience = 30 * time.Second

// TestMain makes this binary, by the name it is started with, heddle itself
// and the programs that scripts use.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"heddle":  main,
		"client":  client,
		"app":     appProgram,
		"aborted": aborted,
		"quits":   func() { os.Exit(0) },
		"fails":   fails,
		"panics":  panics,
		"mute":    mute,
		"watches": watches,
		"talks":   talks,
		"foreign": foreignProgram,
		"calls":   callsProgram,
	})
}

// leakChecked fails a run that leaves goroutines.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
